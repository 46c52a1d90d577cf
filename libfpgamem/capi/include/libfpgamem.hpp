// SPDX-License-Identifier: MIT OR Apache-2.0
//
// libfpgamem for C++17: handles that free themselves, owners that are types, and exceptions. All of it
// is a thin cover of libfpgamem.h, which says what each call does; get() gives the handle for the rest.

#ifndef LIBFPGAMEM_HPP
#define LIBFPGAMEM_HPP

#include <cerrno>
#include <chrono>
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

// Makes a call whose last arguments are the places for what it gives and for the error.
template <typename T, typename Call, typename... Arguments> T got(Call call, Arguments... arguments) {
	T value{};
	check(call, arguments..., &value);
	return value;
}

// A handle that frees itself.
template <auto close> struct Close {
	template <typename T> void operator()(T *handle) const { close(handle); }
};
template <typename T, auto close> using Handle = std::unique_ptr<T, Close<close>>;
using BufferHandle = Handle<fpgamem_buffer_t, fpgamem_free>;

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
	friend class Arena;
	explicit AnyBuffer(BufferHandle handle) noexcept : handle_(std::move(handle)) {}
	BufferHandle handle_;
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
		return static_cast<T *>(got<void *>(fpgamem_data, get()));
	}
	// Keeps the first `mid` bytes, and gives the rest, which has an owner of its own.
	[[nodiscard]] Buffer split(std::size_t mid) {
		return Buffer(BufferHandle(got<fpgamem_buffer_t *>(fpgamem_split, get(), mid)));
	}
	// Takes what follows back; if it throws, both are as they were.
	void join(Buffer &&next) {
		check(fpgamem_join, get(), next.get());
		(void)next.handle_.release();
	}

private:
	friend class Device;
	friend class Arena;
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
	static Device open_u_dma_buf(const std::string &path)
		{ return opened(fpgamem_open_u_dma_buf, path.c_str()); }
	static Device emulated(const fpgamem_emulated_options_t &options = {})
		{ return opened(fpgamem_open_emulated, &options); }

	Buffer alloc(std::size_t bytes, const fpgamem_alloc_options_t &options = {}) const {
		return Buffer(BufferHandle(got<fpgamem_buffer_t *>(fpgamem_alloc_with, get(), bytes, &options)));
	}
	fpgamem_info_t info() const { return got<fpgamem_info_t>(fpgamem_get_info, get()); }
	bool is_emulated() const noexcept { return fpgamem_is_emulated(get()); }

	// Runs a model of the accelerator, int(fpgamem_fpga_memory_t *); what it throws comes out here.
	template <typename Model> void run(Model &&model) const {
		std::pair<Model &, std::exception_ptr> call(model, nullptr);
		auto enter = [](void *context, fpgamem_fpga_memory_t *memory) noexcept -> int {
			auto &called = *static_cast<std::pair<Model &, std::exception_ptr> *>(context);
			try {
				return called.first(memory);
			} catch (...) {
				called.second = std::current_exception();
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
	template <typename... Arguments> static Device opened(Arguments... open)
		{ return Device(got<fpgamem_device_t *>(open...)); }
	Handle<fpgamem_device_t, fpgamem_close> handle_;
};

// Small buffers that share allocations, and may outlive it.
class Arena {
public:
	explicit Arena(const Device &device, const fpgamem_arena_options_t &options = {})
		: handle_(got<fpgamem_arena_t *>(fpgamem_arena_open, device.get(), &options)) {}
	Buffer alloc(std::size_t bytes) const
		{ return Buffer(BufferHandle(got<fpgamem_buffer_t *>(fpgamem_arena_alloc, get(), bytes))); }
	fpgamem_arena_t *get() const noexcept { return handle_.get(); }

private:
	Handle<fpgamem_arena_t, fpgamem_arena_close> handle_;
};

// Registers of an accelerator, by offset in bytes, and its interrupt.
class Registers {
public:
	// UNSAFE: the caller promises that the device, as it is told by these registers, accesses no memory
	// of programs but buffers that it owns.
	static Registers open_unsafe(const std::string &name, std::size_t index = 0)
		{ return opened(fpgamem_registers_open_unsafe, name.c_str(), index); }
	// UNSAFE: as open_unsafe(). For devices that share a name.
	static Registers open_node_unsafe(const std::string &path, std::size_t index = 0)
		{ return opened(fpgamem_registers_open_node_unsafe, path.c_str(), index); }
	// The model outlives the registers, and does not throw. It has size(), read(offset),
	// write(offset, value), which says whether a run starts, run(memory), and interrupt().
	template <typename Model> static Registers emulated(const Device &device, Model &model) {
		fpgamem_register_model_t functions{};
		functions.context = &model;
		functions.bytes = model.size();
		functions.read = [](void *context, std::size_t offset) noexcept -> std::uint32_t
			{ return static_cast<Model *>(context)->read(offset); };
		functions.write = [](void *context, std::size_t offset, std::uint32_t value) noexcept -> bool
			{ return static_cast<Model *>(context)->write(offset, value); };
		functions.run = [](void *context, fpgamem_fpga_memory_t *memory) noexcept -> int
			{ return static_cast<Model *>(context)->run(memory); };
		functions.interrupt = [](void *context) noexcept -> bool
			{ return static_cast<Model *>(context)->interrupt(); };
		return opened(fpgamem_registers_emulated, device.get(), &functions);
	}
	std::size_t size() const noexcept { return fpgamem_registers_size(get()); }
	std::uint32_t read32(std::size_t offset) const
		{ return got<std::uint32_t>(fpgamem_registers_read32, get(), offset); }
	std::uint64_t read64(std::size_t offset) const
		{ return got<std::uint64_t>(fpgamem_registers_read64, get(), offset); }
	void write32(std::size_t offset, std::uint32_t value) const
		{ check(fpgamem_registers_write32, get(), offset, value); }
	void write64(std::size_t offset, std::uint64_t value) const
		{ check(fpgamem_registers_write64, get(), offset, value); }
	void write_addr(std::size_t offset, const DeviceBuffer &buffer) const
		{ check(fpgamem_registers_write_addr, get(), offset, buffer.device_addr()); }
	std::uint32_t poll32(std::size_t offset, std::uint32_t mask, std::uint32_t wanted,
			     std::chrono::milliseconds limit) const
		{ return got<std::uint32_t>(fpgamem_registers_poll32, get(), offset, mask, wanted, count(limit)); }
	void enable_interrupt() const { check(fpgamem_registers_enable_interrupt, get()); }
	// Throws FPGAMEM_E_TIMEOUT if none comes.
	void wait_interrupt(std::chrono::milliseconds limit) const
		{ check(fpgamem_registers_wait_interrupt, get(), count(limit)); }
	fpgamem_registers_t *get() const noexcept { return handle_.get(); }

private:
	explicit Registers(fpgamem_registers_t *registers) noexcept : handle_(registers) {}
	template <typename... Arguments> static Registers opened(Arguments... open)
		{ return Registers(got<fpgamem_registers_t *>(open...)); }
	static std::uint32_t count(std::chrono::milliseconds limit) {
		const auto count = limit.count();
		return count < 0 ? 0 : count > UINT32_MAX ? UINT32_MAX : static_cast<std::uint32_t>(count);
	}
	Handle<fpgamem_registers_t, fpgamem_registers_close> handle_;
};

} // namespace fpgamem

#endif // LIBFPGAMEM_HPP
