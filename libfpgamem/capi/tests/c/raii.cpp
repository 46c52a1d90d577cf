// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Tests of the C++ header, on the emulated device with --emulated, else on the board's.

#include <cstdio>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <vector>

#include <libfpgamem.hpp>

using fpgamem::Arena;
using fpgamem::Buffer;
using fpgamem::Device;
using fpgamem::DeviceBuffer;
using fpgamem::Direction;
using fpgamem::Error;
using fpgamem::Registers;

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

void buffers_are_split_and_joined() {
	const Device own = device();
	const auto before = own.info().free_bytes;
	{
		Buffer low = own.alloc(1000);
		low.data()[999] = 9;
		Buffer high = low.split(64);
		CHECK(low.size() == 64 && high.size() == 936 && high.data() == low.data() + 64);
		CHECK(code_of([&] { (void)low.split(64); }) == FPGAMEM_E_SPLIT);
		CHECK(code_of([&] { high.join(std::move(low)); }) == FPGAMEM_E_NOT_ADJACENT);
		CHECK(low.size() == 64 && high.size() == 936);
		low.join(std::move(high));
		CHECK(low.size() == 1000 && low.data()[999] == 9 && high.get() == nullptr);
	}
	CHECK(own.info().free_bytes == before);
}

void pieces_outlive_their_arena() {
	const Device own = device();
	auto arena = std::make_unique<Arena>(own);
	const Buffer piece = arena->alloc(272);
	arena.reset();
	piece.data()[271] = 1;
	CHECK(piece.size() == 272 && piece.data()[271] == 1);
}

// Fills 64 bytes from the address in registers 0 and 4 on, when the value is written to register 8, and
// asks for an interrupt until 0 is written.
struct Filler {
	std::uint32_t words[3] = {};

	static constexpr std::size_t size() { return sizeof(words); }
	std::uint32_t read(std::size_t offset) { return words[offset / 4]; }
	bool write(std::size_t offset, std::uint32_t value) {
		words[offset / 4] = value;
		return offset == 8 && value != 0;
	}
	int run(fpgamem_fpga_memory_t *memory) {
		const std::vector<unsigned char> bytes(64, static_cast<unsigned char>(words[2]));
		const std::uint64_t addr = std::uint64_t{words[1]} << 32 | words[0];
		return fpgamem_fpga_write(memory, addr, bytes.data(), bytes.size());
	}
	bool interrupt() const { return words[2] != 0; }
};

void model_is_driven_by_its_registers() {
	using namespace std::chrono_literals;
	const Device own = Device::emulated();
	Filler model;
	const Registers registers = Registers::emulated(own, model);
	CHECK(registers.size() == 12);
	DeviceBuffer owned = own.alloc(64).hand_over(Direction::from_device);
	registers.write_addr(0, owned);
	registers.enable_interrupt();
	CHECK(code_of([&] { registers.wait_interrupt(1ms); }) == FPGAMEM_E_TIMEOUT);
	registers.write32(8, 5);
	registers.wait_interrupt(1s);
	CHECK(registers.poll32(8, 1, 1, 0ms) == 5);
	const Buffer filled = std::move(owned).take_back_unsafe();
	CHECK(filled.data()[0] == 5 && filled.data()[63] == 5);
	registers.write64(0, 0);
	CHECK(registers.read64(0) == 0 && registers.read32(8) == 5);
	CHECK(code_of([&] { registers.write32(8, 1); }) == FPGAMEM_E_BUS);
	CHECK(code_of([&] { registers.read32(12); }) == FPGAMEM_E_REGISTER);
	CHECK(code_of([] { Registers::open_unsafe("nothing"); }) == FPGAMEM_E_NO_REGISTERS);
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
	{"buffers_are_split_and_joined", buffers_are_split_and_joined},
	{"pieces_outlive_their_arena", pieces_outlive_their_arena},
	{"model_is_driven_by_its_registers", model_is_driven_by_its_registers},
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
