// SPDX-License-Identifier: MIT OR Apache-2.0
//
// libfpgamem for C++17: handles that free themselves, owners that are types, and exceptions. All of it
// is a thin cover of libfpgamem.h, which says what each call does; get() gives the handle for the rest.

#ifndef LIBFPGAMEM_HPP
#define LIBFPGAMEM_HPP

#include <cerrno>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <libfpgamem.h>

namespace fpgamem {

// What a failed call threw.
class Error : public std::runtime_error {
public:
	explicit Error(const fpgamem_error_t &error)
		: std::runtime_error(error.message), code_(error.code), errno_(error.errno_value) {}
	std::uint32_t code() const noexcept { return code_; } // one of FPGAMEM_E_*
	int errno_value() const noexcept { return errno_; }

private:
	std::uint32_t code_;
	int errno_;
};

// Makes a call whose last argument is the place for the error, and throws what it says.
template <typename Call, typename... Arguments> void check(Call call, Arguments... arguments) {
	fpgamem_error_t error{};
	if (call(arguments..., &error) != 0)
		throw Error(error);
}

enum class Direction : std::uint32_t {
	to_device = FPGAMEM_TO_DEVICE,
	from_device = FPGAMEM_FROM_DEVICE,
	bidirectional = FPGAMEM_BIDIRECTIONAL,
};

struct CloseDevice { void operator()(fpgamem_device_t *device) const { fpgamem_close(device); } };
struct FreeBuffer { void operator()(fpgamem_buffer_t *buffer) const { fpgamem_free(buffer); } };

// What a buffer has whoever owns it.
class AnyBuffer {
public:
	std::size_t size() const noexcept { return fpgamem_size(get()); }
	std::uint64_t device_addr() const noexcept { return fpgamem_device_addr(get()); }
	std::uint64_t phys_addr() const noexcept { return fpgamem_phys_addr(get()); }
	void sync_for_device(std::size_t offset, std::size_t bytes) const
		{ check(fpgamem_sync_for_device, get(), offset, bytes); }
	void sync_for_cpu(std::size_t offset, std::size_t bytes) const
		{ check(fpgamem_sync_for_cpu, get(), offset, bytes); }
	void read(std::size_t offset, void *to, std::size_t bytes) const
		{ check(fpgamem_read, get(), offset, to, bytes); }
	void write(std::size_t offset, const void *from, std::size_t bytes) const
		{ check(fpgamem_write, get(), offset, from, bytes); }
	fpgamem_buffer_t *get() const noexcept { return handle_.get(); }

protected:
	friend class Device;
	using Handle = std::unique_ptr<fpgamem_buffer_t, FreeBuffer>;
	explicit AnyBuffer(Handle handle) noexcept : handle_(std::move(handle)) {}
	Handle handle_;
};

class Buffer;

// A buffer that the device owns. Its destructor gives the memory to nobody: take it back first.
class DeviceBuffer : public AnyBuffer {
public:
	// UNSAFE: the caller promises that no device accesses the memory any more. A buffer from which
	// this was moved has no memory; if it throws, the buffer is as it was.
	[[nodiscard]] Buffer take_back_unsafe() &&;

private:
	friend class Buffer;
	using AnyBuffer::AnyBuffer;
};

// A buffer that the CPU owns: bytes.
class Buffer : public AnyBuffer {
public:
	[[nodiscard]] DeviceBuffer hand_over(Direction direction) && {
		check(fpgamem_hand_over, get(), static_cast<std::uint32_t>(direction));
		return DeviceBuffer(std::move(handle_));
	}
	template <typename T = unsigned char> T *data() const {
		void *data = nullptr;
		check(fpgamem_data, get(), &data);
		return static_cast<T *>(data);
	}

private:
	friend class Device;
	friend class DeviceBuffer;
	using AnyBuffer::AnyBuffer;
};

inline Buffer DeviceBuffer::take_back_unsafe() && {
	check(fpgamem_take_back_unsafe, get());
	return Buffer(std::move(handle_));
}

class Device {
public:
	static Device open() { return opened(fpgamem_open); }
	static Device open(std::uint32_t index) { return opened(fpgamem_open_index, index); }
	static Device open(const std::string &path) { return opened(fpgamem_open_path, path.c_str()); }
	static Device emulated(const fpgamem_emulated_options_t &options = {})
		{ return opened(fpgamem_open_emulated, &options); }

	Buffer alloc(std::size_t bytes, const fpgamem_alloc_options_t &options = {}) const {
		fpgamem_buffer_t *buffer = nullptr;
		check(fpgamem_alloc_with, get(), bytes, &options, &buffer);
		return Buffer(AnyBuffer::Handle(buffer));
	}
	fpgamem_info_t info() const {
		fpgamem_info_t info{};
		check(fpgamem_get_info, get(), &info);
		return info;
	}
	bool is_emulated() const noexcept { return fpgamem_is_emulated(get()); }

	// Runs a model of the accelerator, int(fpgamem_fpga_memory_t *); what it throws comes out here.
	template <typename Model> void run(Model &&model) const {
		std::pair<Model &, std::exception_ptr> call(model, nullptr);
		auto enter = [](void *context, fpgamem_fpga_memory_t *memory) noexcept -> int {
			auto &call = *static_cast<std::pair<Model &, std::exception_ptr> *>(context);
			try {
				return call.first(memory);
			} catch (...) {
				call.second = std::current_exception();
				return ECANCELED;
			}
		};
		fpgamem_error_t error{};
		const int status = fpgamem_emulated_run(get(), enter, &call, &error);
		if (call.second)
			std::rethrow_exception(call.second);
		if (status != 0)
			throw Error(error);
	}
	fpgamem_device_t *get() const noexcept { return handle_.get(); }

private:
	explicit Device(fpgamem_device_t *device) noexcept : handle_(device) {}
	template <typename Open, typename... Arguments>
	static Device opened(Open open, Arguments... arguments) {
		fpgamem_device_t *device = nullptr;
		check(open, arguments..., &device);
		return Device(device);
	}
	std::unique_ptr<fpgamem_device_t, CloseDevice> handle_;
};

} // namespace fpgamem

#endif // LIBFPGAMEM_HPP
