// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Tests of the C++ header, on the emulated device with --emulated, else on the board's.

#include <cstdio>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <vector>

#include <libfpgamem.hpp>

using fpgamem::Buffer;
using fpgamem::Device;
using fpgamem::DeviceBuffer;
using fpgamem::Direction;
using fpgamem::Error;

namespace {

bool on_emulated, current_failed;

Device device() {
	return on_emulated ? Device::emulated({1 << 20, 0, 0, FPGAMEM_POLICY_NEVER, false, {}}) : Device::open();
}

#define CHECK(condition)                                                                  \
	do {                                                                              \
		if (!(condition)) {                                                       \
			std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			current_failed = true;                                            \
		}                                                                         \
	} while (0)

template <typename Call> std::uint32_t code_of(Call call) {
	try {
		call();
		return 0;
	} catch (const Error &error) {
		CHECK(error.errno_value() != 0 && std::strlen(error.what()) > 0);
		return error.code();
	}
}

// Bytes cannot be asked of what the device owns, and no handle has two owners.
template <typename T, typename = void> struct has_data : std::false_type {};
template <typename T>
struct has_data<T, std::void_t<decltype(std::declval<T &>().data())>> : std::true_type {};
static_assert(has_data<Buffer>::value && !has_data<DeviceBuffer>::value);
static_assert(!std::is_copy_constructible_v<Buffer> && !std::is_copy_constructible_v<DeviceBuffer>);
static_assert(std::is_nothrow_move_constructible_v<Buffer>);
static_assert(!std::is_convertible_v<Buffer, DeviceBuffer>);

void buffers_free_themselves() {
	const Device own = device();
	const auto before = own.info().free_bytes;
	{
		Buffer buffer = own.alloc(100);
		buffer.data()[99] = 1;
		CHECK(own.info().free_bytes < before && buffer.size() == 100);
		Buffer moved = std::move(buffer);
		CHECK(moved.data<std::uint32_t>()[0] == 0 && buffer.get() == nullptr);
		DeviceBuffer owned = std::move(moved).hand_over(Direction::bidirectional);
		const Buffer back = std::move(owned).take_back_unsafe();
		CHECK(back.data()[99] == 1);
	}
	CHECK(own.info().free_bytes == before);
}

void moved_from_buffers_fail() {
	const Device own = device();
	Buffer buffer = own.alloc(100);
	const Buffer other = std::move(buffer);
	CHECK(code_of([&] { buffer.data(); }) == FPGAMEM_E_ARGUMENT);
	CHECK(code_of([&] { (void)std::move(buffer).hand_over(Direction::to_device); }) ==
	      FPGAMEM_E_ARGUMENT);
}

void errors_are_thrown_with_what_the_library_says() {
	CHECK(code_of([] { Device::open("/nonexistent/fpgamem"); }) == FPGAMEM_E_OPEN);
	const Device own = device();
	CHECK(code_of([&] { own.alloc(0); }) == FPGAMEM_E_LENGTH);
	const Buffer buffer = own.alloc(100);
	CHECK(code_of([&] { buffer.sync_for_cpu(0, 101); }) == FPGAMEM_E_RANGE);
	try {
		buffer.sync_for_device(90, 11);
	} catch (const Error &error) {
		CHECK(std::string(error.what()).find("[90, 101)") != std::string::npos);
		CHECK(error.errno_value() == ERANGE);
	}
}

void owned_bytes_are_copied() {
	const Device own = device();
	const DeviceBuffer buffer = own.alloc(100).hand_over(Direction::bidirectional);
	std::uint32_t there = 0x12345678, back = 0;
	buffer.write(96, &there, sizeof(there));
	buffer.read(96, &back, sizeof(back));
	CHECK(back == there);
}

void model_may_be_any_function_and_throw() {
	const Device own = Device::emulated();
	Buffer buffer = own.alloc(4);
	const std::uint64_t addr = buffer.device_addr();
	DeviceBuffer owned = std::move(buffer).hand_over(Direction::bidirectional);
	int runs = 0;
	own.run([&](fpgamem_fpga_memory_t *memory) {
		const std::vector<unsigned char> bytes = {1, 2, 3, 4};
		runs++;
		return fpgamem_fpga_write(memory, addr, bytes.data(), bytes.size());
	});
	buffer = std::move(owned).take_back_unsafe();
	CHECK(runs == 1 && buffer.data()[3] == 4);

	bool caught = false;
	try {
		own.run([](fpgamem_fpga_memory_t *) -> int { throw std::runtime_error("on purpose"); });
	} catch (const std::runtime_error &error) {
		caught = std::string_view(error.what()) == "on purpose";
	}
	CHECK(caught);
	CHECK(code_of([&] { own.run([](fpgamem_fpga_memory_t *) { return 3; }); }) == FPGAMEM_E_MODEL);
}

const struct {
	const char *name;
	void (*run)();
} tests[] = {
	{"buffers_free_themselves", buffers_free_themselves},
	{"moved_from_buffers_fail", moved_from_buffers_fail},
	{"errors_are_thrown_with_what_the_library_says", errors_are_thrown_with_what_the_library_says},
	{"owned_bytes_are_copied", owned_bytes_are_copied},
	{"model_may_be_any_function_and_throw", model_may_be_any_function_and_throw},
};

} // namespace

int main(int argc, char **argv) {
	unsigned int passed = 0, wrong = 0;
	for (int i = 1; i < argc; i++)
		on_emulated |= std::string_view(argv[i]) == "--emulated";
	for (const auto &test : tests) {
		current_failed = false;
		try {
			test.run();
		} catch (const std::exception &error) {
			std::fprintf(stderr, "%s: %s\n", test.name, error.what());
			current_failed = true;
		}
		std::printf("test %s ... %s\n", test.name, current_failed ? "FAILED" : "ok");
		(current_failed ? wrong : passed)++;
	}
	std::printf("\ntest result: %s. %u passed; %u failed; 0 ignored\n", wrong ? "FAILED" : "ok",
		    passed, wrong);
	return wrong != 0;
}
