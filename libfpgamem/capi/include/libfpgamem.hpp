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

struct CloseDevice { void operator()(fpgamem_device_t *device) const { fpgamem_close(device); } };
struct FreeBuffer { void operator()(fpgamem_buffer_t *buffer) const { fpgamem_free(buffer); } };
struct CloseArena { void operator()(fpgamem_arena_t *arena) const { fpgamem_arena_close(arena); } };
struct CloseRegisters {
	void operator()(fpgamem_registers_t *registers) const { fpgamem_registers_close(registers); }
};

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
	// Keeps the first `mid` bytes, and gives the rest, which has an owner of its own.
	[[nodiscard]] Buffer split(std::size_t mid) {
		fpgamem_buffer_t *rest = nullptr;
		check(fpgamem_split, get(), mid, &rest);
		return Buffer(Handle(rest));
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
	template <typename Open, typename... Arguments>
	static Device opened(Open open, Arguments... arguments) {
		fpgamem_device_t *device = nullptr;
		check(open, arguments..., &device);
		return Device(device);
	}
	std::unique_ptr<fpgamem_device_t, CloseDevice> handle_;
};

// Small buffers that share allocations, and may outlive it.
class Arena {
public:
	explicit Arena(const Device &device, const fpgamem_arena_options_t &options = {}) {
		fpgamem_arena_t *arena = nullptr;
		check(fpgamem_arena_open, device.get(), &options, &arena);
		handle_.reset(arena);
	}
	Buffer alloc(std::size_t bytes) const {
		fpgamem_buffer_t *buffer = nullptr;
		check(fpgamem_arena_alloc, get(), bytes, &buffer);
		return Buffer(AnyBuffer::Handle(buffer));
	}
	fpgamem_arena_t *get() const noexcept { return handle_.get(); }

private:
	std::unique_ptr<fpgamem_arena_t, CloseArena> handle_;
};

// Registers of an accelerator, by offset in bytes, and its interrupt.
class Registers {
public:
	// UNSAFE: the caller promises that the device, as it is told by these registers, accesses no memory
	// of programs but buffers that it owns.
	static Registers open_unsafe(const std::string &name, std::size_t index = 0) {
		fpgamem_registers_t *registers = nullptr;
		check(fpgamem_registers_open_unsafe, name.c_str(), index, &registers);
		return Registers(registers);
	}
	// UNSAFE: as open_unsafe(). For devices that share a name.
	static Registers open_node_unsafe(const std::string &path, std::size_t index = 0) {
		fpgamem_registers_t *registers = nullptr;
		check(fpgamem_registers_open_node_unsafe, path.c_str(), index, &registers);
		return Registers(registers);
	}
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
		fpgamem_registers_t *registers = nullptr;
		check(fpgamem_registers_emulated, device.get(), &functions, &registers);
		return Registers(registers);
	}
	std::size_t size() const noexcept { return fpgamem_registers_size(get()); }
	std::uint32_t read32(std::size_t offset) const {
		std::uint32_t value = 0;
		check(fpgamem_registers_read32, get(), offset, &value);
		return value;
	}
	std::uint64_t read64(std::size_t offset) const {
		std::uint64_t value = 0;
		check(fpgamem_registers_read64, get(), offset, &value);
		return value;
	}
	void write32(std::size_t offset, std::uint32_t value) const
		{ check(fpgamem_registers_write32, get(), offset, value); }
	void write64(std::size_t offset, std::uint64_t value) const
		{ check(fpgamem_registers_write64, get(), offset, value); }
	void write_addr(std::size_t offset, const DeviceBuffer &buffer) const
		{ check(fpgamem_registers_write_addr, get(), offset, buffer.device_addr()); }
	std::uint32_t poll32(std::size_t offset, std::uint32_t mask, std::uint32_t wanted,
			     std::chrono::milliseconds limit) const {
		std::uint32_t value = 0;
		check(fpgamem_registers_poll32, get(), offset, mask, wanted, count(limit), &value);
		return value;
	}
	void enable_interrupt() const { check(fpgamem_registers_enable_interrupt, get()); }
	// Throws FPGAMEM_E_TIMEOUT if none comes.
	void wait_interrupt(std::chrono::milliseconds limit) const
		{ check(fpgamem_registers_wait_interrupt, get(), count(limit)); }
	fpgamem_registers_t *get() const noexcept { return handle_.get(); }

private:
	explicit Registers(fpgamem_registers_t *registers) noexcept : handle_(registers) {}
	static std::uint32_t count(std::chrono::milliseconds limit) {
		const auto count = limit.count();
		return count < 0 ? 0 : count > UINT32_MAX ? UINT32_MAX : static_cast<std::uint32_t>(count);
	}
	std::unique_ptr<fpgamem_registers_t, CloseRegisters> handle_;
};

} // namespace fpgamem

#endif // LIBFPGAMEM_HPP
