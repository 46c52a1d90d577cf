/* SPDX-License-Identifier: MIT OR Apache-2.0 */

#ifndef LIBFPGAMEM_H
#define LIBFPGAMEM_H

/*
 * libfpgamem: physically contiguous buffers that CPU and FPGA share.
 *
 *   fpgamem_alloc() -> owned by the CPU          fpgamem_hand_over() ->  owned by the device
 *                      fpgamem_data()     <- fpgamem_take_back_unsafe()  fpgamem_device_addr()
 *
 * A call that can fail returns 0 or a number of errno.h, with the details in *error, and then has no
 * effect. Handles and places for answers are pointers to what they say, or null, which fails; `error`
 * may be null. Lengths and offsets are in bytes. No call throws, or keeps a pointer that it was given,
 * apart from those in a model of registers. There is no state but that of the handles.
 *
 * The ABI of the driver has a header of its own, fpgamem/fpgamem.h. A program may include both.
 *
 * Made from the Rust source by the test `header` of fpgamem-capi.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Number of this interface. It is raised when something is added; a library with a higher number
// runs programs that were built with a lower one.
#define FPGAMEM_API_VERSION 1

// A null pointer, an unknown number, or a reserved field that is not 0. EINVAL
#define FPGAMEM_E_ARGUMENT 1

// The call is for a buffer that the other side owns. EBUSY
#define FPGAMEM_E_BUSY 2

// The node could not be opened; errno_value is that of open(2).
#define FPGAMEM_E_OPEN 3

// The file is no node of the driver that it should be of. ENOTTY
#define FPGAMEM_E_NOT_A_NODE 4

// Library and driver speak different versions of the ABI. EPROTONOSUPPORT
#define FPGAMEM_E_ABI 5

// The pool has no room. ENOMEM
#define FPGAMEM_E_NO_ROOM 6

// No buffer has such a length. EINVAL
#define FPGAMEM_E_LENGTH 7

// No buffer has such an alignment. EINVAL
#define FPGAMEM_E_ALIGNMENT 8

// The range is not inside the buffer. ERANGE
#define FPGAMEM_E_RANGE 9

// The memory could not be mapped; errno_value is that of mmap(2) or madvise(2).
#define FPGAMEM_E_MAP 10

// No emulated region has such sizes. EINVAL
#define FPGAMEM_E_REGION 11

// The address is in no live buffer of this process. EFAULT
#define FPGAMEM_E_NOT_FOUND 12

// The device has been unbound from its driver. ENODEV
#define FPGAMEM_E_UNBOUND 13

// The handle belongs to the process that this one was forked from. EPERM
#define FPGAMEM_E_FORKED 14

// The emulated accelerator accessed what is no buffer. EIO
#define FPGAMEM_E_BUS 15

// The model of the emulated accelerator says that it failed. EIO
#define FPGAMEM_E_MODEL 16

// The device is not an emulated one. EOPNOTSUPP
#define FPGAMEM_E_NOT_EMULATED 17

// The driver refused the call for another reason; errno_value is its answer.
#define FPGAMEM_E_IOCTL 18

// The driver answered what cannot be. EPROTO
#define FPGAMEM_E_ANSWER 19

// Another process has the node of u-dma-buf. EBUSY
#define FPGAMEM_E_IN_USE 20

// The device has no such buffers. EOPNOTSUPP
#define FPGAMEM_E_UNSUPPORTED 21

// An error inside of the library. ENOTRECOVERABLE
#define FPGAMEM_E_INTERNAL 22

// No buffer is split there. EINVAL
#define FPGAMEM_E_SPLIT 23

// The second buffer does not begin where the first one ends, or is of another allocation. EINVAL
#define FPGAMEM_E_NOT_ADJACENT 24

// No UIO device has the name (ENODEV), or more than one has it (ENOTUNIQ).
#define FPGAMEM_E_NO_REGISTERS 25

// The window has no register of such a width at the offset. ERANGE
#define FPGAMEM_E_REGISTER 26

// The device has no interrupt (EOPNOTSUPP), or errno_value is that of poll(2), read(2) or write(2).
#define FPGAMEM_E_INTERRUPT 27

// What was waited for has not happened in time. ETIMEDOUT
#define FPGAMEM_E_TIMEOUT 28

// Bytes of a message, its end included.
#define FPGAMEM_MESSAGE_BYTES 504

// The driver can make write-combine buffers.
#define FPGAMEM_HAS_WRITE_COMBINE (1 << 0)

// The coherency of the port can be chosen per buffer.
#define FPGAMEM_HAS_COHERENCY (1 << 1)

// Many ranges can be synchronised in one call into the driver.
#define FPGAMEM_HAS_SYNC_VECTOR (1 << 2)

// Memory that the device may still write to is kept back when its user goes.
#define FPGAMEM_HAS_QUARANTINE (1 << 3)

// No other process can access the memory of a buffer.
#define FPGAMEM_GUARANTEES_ISOLATION (1 << 0)

// Many processes can allocate at the same time.
#define FPGAMEM_GUARANTEES_SHARING (1 << 1)

// Memory that the device may still write to is kept back when its process dies.
#define FPGAMEM_GUARANTEES_QUARANTINE (1 << 2)

// The port that the device uses is as the device tree says for the pool.
#define FPGAMEM_PORT_DEFAULT 0

// The port snoops the CPU's caches: handing over is a memory barrier.
#define FPGAMEM_PORT_COHERENT 1

// The port does not snoop: handing over maintains the cache lines of the buffer.
#define FPGAMEM_PORT_NONCOHERENT 2

// The CPU wrote, the device reads. Before it runs, the caches are cleaned.
#define FPGAMEM_TO_DEVICE 0

// The device writes, the CPU will read. Before and after, the caches are cleaned and invalidated.
#define FPGAMEM_FROM_DEVICE 1

// The CPU wrote, the device reads and writes, the CPU will read. As FPGAMEM_FROM_DEVICE.
#define FPGAMEM_BIDIRECTIONAL 2

// The emulated caches do nothing unasked.
#define FPGAMEM_POLICY_NEVER 0

// They write dirty lines back at any time, by chance from the seed.
#define FPGAMEM_POLICY_EVICT 1

// They drop clean lines and fetch them again at any time, by chance from the seed.
#define FPGAMEM_POLICY_PREFETCH 2

// Buffers that share allocations, so that a thousand small tensors do not take a thousand blocks.
//
// They are the same buffers as those of fpgamem_alloc(), with an owner and addresses each, cut from
// chunks in whole cache lines. A buffer keeps its chunk, and the arena need not outlive it.
//
// Every call may be made from any thread, also at the same time; fpgamem_arena_close() is the last one.
typedef struct fpgamem_arena_t fpgamem_arena_t;

// A buffer: memory that is contiguous for the FPGA, with an owner at any time. It is the CPU's when it
// is new, and changes hands by fpgamem_hand_over() and fpgamem_take_back_unsafe().
//
// Every call may be made from any thread, also at the same time; fpgamem_free() is the last one. What
// fpgamem_data() gave is the program's own affair.
//
// In a child of fork no call reaches the buffer of its parent: it fails with FPGAMEM_E_FORKED, or, if
// it cannot fail, does nothing.
typedef struct fpgamem_buffer_t fpgamem_buffer_t;

// An open device: one pool of the driver, or an emulated one.
//
// Every call may be made from any thread, also at the same time; fpgamem_close() is the last one.
typedef struct fpgamem_device_t fpgamem_device_t;

// Memory as the emulated FPGA sees it, during a run of a model.
typedef struct fpgamem_fpga_memory_t fpgamem_fpga_memory_t;

// A window of registers, and the interrupt of their device. Offsets are in bytes from the first register.
//
// A write to a register comes after everything that the program did before it, as the device sees it: the
// stores to buffers, and the cache maintenance of fpgamem_hand_over(). A read comes before everything
// that follows. So a device that is started by a write finds what was handed over.
//
// Every call may be made from any thread, also at the same time; fpgamem_registers_close() is the last
// one. A thread that waits for the interrupt keeps no other from the registers.
//
// In a child of fork no call reaches the registers of its parent: it fails with FPGAMEM_E_FORKED, or, if
// it cannot fail, does nothing.
typedef struct fpgamem_registers_t fpgamem_registers_t;

// What went wrong. A call that fails fills it in; one that succeeds leaves it alone. Every call takes
// a null pointer instead.
typedef struct fpgamem_error_t {
        // One of FPGAMEM_E_*.
        uint32_t code;
        // What the call returned: a number of errno.h.
        int32_t errno_value;
        // The same for people, with the numbers involved and, where there is one, the way out: one line,
        // UTF-8, which ends with a zero.
        char message[FPGAMEM_MESSAGE_BYTES];
} fpgamem_error_t;

// A pool, at the moment of the call. Sizes are in bytes.
typedef struct fpgamem_info_t {
        // Bits FPGAMEM_HAS_*, and others that this library does not know.
        uint64_t features;
        // First physical address of the region.
        uint64_t phys_addr;
        // The address that the FPGA uses for it.
        uint64_t device_addr;
        // Size of the region.
        uint64_t region_bytes;
        // Allocation unit: every buffer takes whole ones.
        uint64_t block_bytes;
        // In free blocks.
        uint64_t free_bytes;
        // Kept back because the device may still write to it: neither free nor in a live buffer.
        uint64_t quarantined_bytes;
        // For how long, in milliseconds; 0 if never.
        uint32_t quarantine_ms;
        // Live buffers of all processes.
        uint32_t nr_buffers;
        // ABI number of the driver.
        uint32_t abi;
        // Smallest data cache line; 0 where the driver does not know it.
        uint32_t cache_line_bytes;
        // Ranges that start and end at multiples of this share no cache line: 64 on ZynqMP.
        uint32_t line_bytes;
        // Bits FPGAMEM_GUARANTEES_*: what the device promises beyond contiguous memory that is 0.
        uint32_t guarantees;
        // The port snoops the CPU's caches, for a buffer that does not say otherwise.
        bool coherent;
        // 0 so far.
        uint64_t reserved[8];
} fpgamem_info_t;

// Where memory lies that the program has a pointer to.
typedef struct fpgamem_place_t {
        // Physical address.
        uint64_t phys_addr;
        // The same as the FPGA uses it.
        uint64_t device_addr;
        // Bytes from there on that are contiguous in both.
        uint64_t contiguous_bytes;
} fpgamem_place_t;

// How a buffer is to be, apart from its length. All 0 is what fpgamem_alloc() does.
typedef struct fpgamem_alloc_options_t {
        // Alignment of the first physical address: a power of two up to 1 GiB, 0 for the block size.
        uint64_t align;
        // One of FPGAMEM_PORT_*.
        uint32_t port;
        // Mapped write-combine instead of cached: for what the CPU writes once, front to back, and hardly
        // reads.
        bool write_combine;
        // Must be 0.
        uint64_t reserved[4];
} fpgamem_alloc_options_t;

// Bytes of a buffer.
typedef struct fpgamem_range_t {
        // The buffer.
        const struct fpgamem_buffer_t *buffer;
        // Its first byte.
        size_t offset;
        // How many.
        size_t bytes;
} fpgamem_range_t;

// How an arena is to be. All 0 is chunks of 512 KiB and pieces of at most 256 KiB, cached.
typedef struct fpgamem_arena_options_t {
        // Bytes of a chunk, at most 2 MiB; 0 for 512 KiB.
        size_t chunk_bytes;
        // Longest buffer that is a piece of a chunk, longer ones are allocations of their own; 0 for 256
        // KiB.
        size_t largest_piece;
        // How all buffers are mapped and reached. An alignment is that of chunks and of allocations of
        // their own.
        struct fpgamem_alloc_options_t alloc;
        // Bytes of freed buffers that are kept, 32 of them at most, for the next ones of the same capacity; 0
        // for none. Where it is not 0 buffers are not cleared: they have what an earlier one of this arena left.
        uint64_t reuse_bytes;
        // Must be 0.
        uint64_t reserved[3];
} fpgamem_arena_options_t;

// What an arena holds now.
typedef struct fpgamem_arena_usage_t {
        // Live buffers.
        size_t buffers;
        // Bytes that were asked for by them.
        size_t bytes;
        // Bytes held from the pool: whole blocks.
        size_t held_bytes;
        // Mappings that hold them.
        size_t mappings;
        // Allocations from the pool so far.
        uint64_t allocations;
        // 0 so far.
        uint64_t reserved[4];
} fpgamem_arena_usage_t;

// How an emulated device is to be. All 0 is 64 MiB in blocks of 16 KiB at 0x40000000, of a port that
// does not snoop, with caches that do nothing unasked.
typedef struct fpgamem_emulated_options_t {
        // Size of the region: whole blocks; 0 for 64 MiB. Memory is taken for what is touched of it.
        uint64_t region_bytes;
        // Allocation unit: a power of two, 4 KiB to 2 MiB; 0 for 16 KiB.
        uint64_t block_bytes;
        // What chance starts from.
        uint64_t seed;
        // One of FPGAMEM_POLICY_*: what the caches do unasked to memory that the device owns. A right
        // program computes the same under all; one that forgets a sync does not under at least one.
        uint32_t policy;
        // The port snoops the caches, for a buffer that does not say otherwise.
        bool coherent;
        // Must be 0.
        uint64_t reserved[4];
} fpgamem_emulated_options_t;

// A model of what the FPGA computes: does the work of one start. It sees memory by the addresses that a
// program puts into the FPGA's registers, through fpgamem_fpga_read() and fpgamem_fpga_write(). It
// returns 0, or another number if it failed, and must not throw.
typedef int (*fpgamem_model_t)(void *context, struct fpgamem_fpga_memory_t *memory);

// What the emulated caches have done so far, in lines.
typedef struct fpgamem_counts_t {
        // Cleaned because the program wanted it.
        uint64_t cleaned;
        // Cleaned and invalidated because the program wanted it.
        uint64_t invalidated;
        // Written back unasked.
        uint64_t evicted;
        // Fetched again unasked.
        uint64_t fetched;
} fpgamem_counts_t;

// A model of an accelerator with its registers. Its functions are called with `context`, from whichever
// thread uses the registers, never two at a time. They must not throw, nor use the handle that they are
// called by. `context` stays valid until that is closed.
typedef struct fpgamem_register_model_t {
        // Passed to the functions.
        void *context;
        // Bytes of registers.
        size_t bytes;
        // Answers a read of the 32 bits at an offset, a multiple of 4 below the length.
        uint32_t (*read)(void *context, size_t offset);
        // Takes a write of the 32 bits at an offset, a multiple of 4 below the length; says whether it starts
        // a run.
        bool (*write)(void *context, size_t offset, uint32_t value);
        // Does the work of one start.
        fpgamem_model_t run;
        // Says whether the model asks for an interrupt now. Null where it never does.
        bool (*interrupt)(void *context);
        // Must be 0.
        uint64_t reserved[4];
} fpgamem_register_model_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Number of the interface of the library that runs: at least FPGAMEM_API_VERSION of the header that
// the program was built with, or it lacks what the program may call.
uint32_t fpgamem_api_version(void);

// Release of the library that runs, as text: "0.1.0".
const char *fpgamem_version(void);

// Opens the node that the environment variable FPGAMEM_DEVICE names, or /dev/fpgamem0 where it is not
// set or empty. *device is a new handle, for fpgamem_close().
//
// Fails with FPGAMEM_E_OPEN, FPGAMEM_E_NOT_A_NODE, FPGAMEM_E_ABI.
int fpgamem_open(struct fpgamem_device_t **device,
                 struct fpgamem_error_t *error);

// Opens /dev/fpgamemN, N being `index`. Otherwise as fpgamem_open().
int fpgamem_open_index(uint32_t index,
                       struct fpgamem_device_t **device,
                       struct fpgamem_error_t *error);

// Opens a node by its path. Otherwise as fpgamem_open().
int fpgamem_open_path(const char *path,
                      struct fpgamem_device_t **device,
                      struct fpgamem_error_t *error);

// Opens a node of the u-dma-buf driver, like /dev/udmabuf0, to cut buffers from its one buffer: for
// boards whose kernel cannot load the fpgamem driver. Nothing ever chooses it but this call. Every
// program that may open the node sees all of its memory, one process at a time allocates, and the
// memory of a process that dies is given to the next one at once: fpgamem_info_t.guarantees.
//
// Fails with FPGAMEM_E_OPEN, FPGAMEM_E_NOT_A_NODE, FPGAMEM_E_IN_USE, FPGAMEM_E_REGION.
int fpgamem_open_u_dma_buf(const char *path,
                           struct fpgamem_device_t **device,
                           struct fpgamem_error_t *error);

// Closes a device. Its buffers stay what they are; the node is closed with the last of them.
//
// Null is nothing to do. In a child of fork, the device of a parent that is an emulated one stays.
void fpgamem_close(struct fpgamem_device_t *device);

// Describes the pool.
//
// Fails with FPGAMEM_E_UNBOUND; in a child of fork on its parent's emulated device, with
// FPGAMEM_E_FORKED.
int fpgamem_get_info(const struct fpgamem_device_t *device,
                     struct fpgamem_info_t *info,
                     struct fpgamem_error_t *error);

// The longest buffer that can be allocated now at an alignment of `align` bytes, a power of two up to
// 1 GiB. Fails as fpgamem_get_info(), and with FPGAMEM_E_ARGUMENT.
int fpgamem_largest_free(const struct fpgamem_device_t *device,
                         uint64_t align,
                         uint64_t *bytes,
                         struct fpgamem_error_t *error);

// Buffers that were freed while the device owned them, through this open file, and the bytes that they
// take in the pool. Above 0, the program forgets fpgamem_take_back_unsafe(). Either pointer may be
// null.
void fpgamem_abandoned(const struct fpgamem_device_t *device,
                       uint64_t *buffers,
                       uint64_t *bytes);

// Looks up where a pointer into a buffer of this device, or to anywhere inside one, leads. It takes no
// system call. A buffer knows its own addresses: fpgamem_device_addr().
//
// Fails with FPGAMEM_E_NOT_FOUND.
int fpgamem_place_of(const struct fpgamem_device_t *device,
                     const void *pointer,
                     struct fpgamem_place_t *place,
                     struct fpgamem_error_t *error);

// Looks up where this process has a physical address, which is in a buffer of this device or anywhere
// inside one. It takes no system call. *address says nothing about who owns the memory;
// *contiguous_bytes are contiguous from there on, and `contiguous_bytes` may be null.
//
// Fails with FPGAMEM_E_NOT_FOUND.
int fpgamem_address_of(const struct fpgamem_device_t *device,
                       uint64_t phys_addr,
                       void **address,
                       uint64_t *contiguous_bytes,
                       struct fpgamem_error_t *error);

// Allocates a buffer of `bytes`, all 0, cached, aligned to the block size. *buffer is a new handle, for
// fpgamem_free().
//
// Fails with FPGAMEM_E_NO_ROOM, FPGAMEM_E_LENGTH, FPGAMEM_E_MAP, FPGAMEM_E_UNBOUND; in a child of fork
// on its parent's emulated device, with FPGAMEM_E_FORKED.
int fpgamem_alloc(const struct fpgamem_device_t *device,
                  size_t bytes,
                  struct fpgamem_buffer_t **buffer,
                  struct fpgamem_error_t *error);

// Allocates a buffer as the options say, which may be null. Otherwise as fpgamem_alloc(); fails also
// with FPGAMEM_E_ALIGNMENT and FPGAMEM_E_ARGUMENT.
int fpgamem_alloc_with(const struct fpgamem_device_t *device,
                       size_t bytes,
                       const struct fpgamem_alloc_options_t *options,
                       struct fpgamem_buffer_t **buffer,
                       struct fpgamem_error_t *error);

// Frees a buffer. Null is nothing to do.
//
// One that the device owns is not given to anybody else, because nobody has said that the device is
// done with it: it stays mapped until the process ends, fpgamem_abandoned() counts it, and after the
// end of the process the driver keeps it back for fpgamem_info_t.quarantine_ms.
void fpgamem_free(struct fpgamem_buffer_t *buffer);

// *data is the first byte of a buffer that the CPU owns. It may be used until the buffer is handed
// over or freed, and is the same whenever the CPU owns the buffer.
//
// Fails with FPGAMEM_E_BUSY while the device owns the buffer (fpgamem_read() and fpgamem_write() do
// not), and with FPGAMEM_E_FORKED.
int fpgamem_data(const struct fpgamem_buffer_t *buffer, void **data, struct fpgamem_error_t *error);

// Length in bytes, as it was asked for, or as a split or a join has left it. 0 for null.
size_t fpgamem_size(const struct fpgamem_buffer_t *buffer);

// Bytes that the buffer takes in the pool: its length rounded up to whole blocks, or, of a part, to its
// end. 0 for null.
size_t fpgamem_capacity(const struct fpgamem_buffer_t *buffer);

// First address as the FPGA uses it: what goes into its registers. 0 for null.
uint64_t fpgamem_device_addr(const struct fpgamem_buffer_t *buffer);

// First physical address: what the CPU puts on the bus. 0 for null.
uint64_t fpgamem_phys_addr(const struct fpgamem_buffer_t *buffer);

// Says whether the device owns the buffer: whether it was handed over and not taken back. False for
// null, and in a child of fork.
bool fpgamem_is_device_owned(const struct fpgamem_buffer_t *buffer);

// Hands a buffer over to the device. `direction` is one of FPGAMEM_TO_DEVICE, FPGAMEM_FROM_DEVICE,
// FPGAMEM_BIDIRECTIONAL.
//
// When this has returned 0, all that the CPU wrote is visible to the device, which may be told to
// start. What fpgamem_data() gave must not be used until the buffer is taken back. On aarch64 it is no
// system call.
//
// Fails with FPGAMEM_E_BUSY if the device owns the buffer, FPGAMEM_E_ARGUMENT, FPGAMEM_E_UNBOUND,
// FPGAMEM_E_FORKED; then the owner is who it was.
int fpgamem_hand_over(const struct fpgamem_buffer_t *buffer,
                      uint32_t direction,
                      struct fpgamem_error_t *error);

// Takes a buffer back from the device, with what the caches need for the direction of its hand-over.
//
// UNSAFE: the caller promises that no device accesses the memory any more, for instance because the
// accelerator has reported that it is done. Nothing can check that. On aarch64 it is no system call.
//
// Fails with FPGAMEM_E_BUSY if the CPU owns the buffer, FPGAMEM_E_UNBOUND, FPGAMEM_E_FORKED; then the
// owner is who it was.
int fpgamem_take_back_unsafe(const struct fpgamem_buffer_t *buffer,
                             struct fpgamem_error_t *error);

// Address of the byte at `offset` as the FPGA uses it. It takes no system call.
//
// Fails with FPGAMEM_E_RANGE if there is no such byte, FPGAMEM_E_FORKED.
int fpgamem_device_addr_of(const struct fpgamem_buffer_t *buffer,
                           size_t offset,
                           uint64_t *device_addr,
                           struct fpgamem_error_t *error);

// Physical address of the byte at `offset`. Otherwise as fpgamem_device_addr_of().
int fpgamem_phys_addr_of(const struct fpgamem_buffer_t *buffer,
                         size_t offset,
                         uint64_t *phys_addr,
                         struct fpgamem_error_t *error);

// Offset of the byte that the FPGA calls by an address. It takes no system call.
//
// Fails with FPGAMEM_E_NOT_FOUND if it is not one of the buffer's, FPGAMEM_E_FORKED.
int fpgamem_offset_of(const struct fpgamem_buffer_t *buffer,
                      uint64_t device_addr,
                      size_t *offset,
                      struct fpgamem_error_t *error);

// Makes what the CPU wrote to a range of bytes visible to the device: cleans its cache lines. For parts
// of buffers whose owner stays who it is. An empty range is nothing to do. On aarch64 it is no system
// call.
//
// Fails with FPGAMEM_E_RANGE (nothing was done), FPGAMEM_E_UNBOUND, FPGAMEM_E_FORKED.
int fpgamem_sync_for_device(const struct fpgamem_buffer_t *buffer,
                            size_t offset,
                            size_t bytes,
                            struct fpgamem_error_t *error);

// Makes what the device wrote to a range of bytes visible to the CPU: cleans and invalidates its cache
// lines, so what the CPU wrote is never discarded. Otherwise as fpgamem_sync_for_device().
int fpgamem_sync_for_cpu(const struct fpgamem_buffer_t *buffer,
                         size_t offset,
                         size_t bytes,
                         struct fpgamem_error_t *error);

// Copies `bytes` from `offset` of a buffer on to `to`, whoever owns it, by accesses that may run beside
// the device's: naturally aligned 1, 2, 4 or 8 bytes are one access.
//
// It reads what the CPU's caches hold: fpgamem_sync_for_cpu() comes first.
//
// Fails with FPGAMEM_E_RANGE (nothing was copied), FPGAMEM_E_ARGUMENT, FPGAMEM_E_FORKED.
int fpgamem_read(const struct fpgamem_buffer_t *buffer,
                 size_t offset,
                 void *to,
                 size_t bytes,
                 struct fpgamem_error_t *error);

// Copies `bytes` from `from` to a buffer from `offset` on, whoever owns it, as fpgamem_read() the other
// way.
//
// It writes into the CPU's caches: fpgamem_sync_for_device() comes afterwards, and the device must not
// write to the same fpgamem_info_t.line_bytes.
int fpgamem_write(const struct fpgamem_buffer_t *buffer,
                  size_t offset,
                  const void *from,
                  size_t bytes,
                  struct fpgamem_error_t *error);

// Hands `count` buffers over to the device, each as fpgamem_hand_over(), and waits once for the caches
// of all of them.
//
// Fails as fpgamem_hand_over(), and with FPGAMEM_E_ARGUMENT if a buffer is there twice; then none is
// handed over.
int fpgamem_hand_over_all(struct fpgamem_buffer_t *const *buffers,
                          size_t count,
                          uint32_t direction,
                          struct fpgamem_error_t *error);

// Takes `count` buffers back from the device, each as fpgamem_take_back_unsafe(), and waits once for
// the caches of all of them.
//
// UNSAFE: the caller promises that no device accesses the memory of any of them any more.
//
// Fails as fpgamem_take_back_unsafe(), and with FPGAMEM_E_ARGUMENT if a buffer is there twice; then
// none is taken back.
int fpgamem_take_back_all_unsafe(struct fpgamem_buffer_t *const *buffers,
                                 size_t count,
                                 struct fpgamem_error_t *error);

// Makes what the CPU wrote to `count` ranges visible to the device, each as fpgamem_sync_for_device(),
// and waits once for the caches of all of them. A buffer may be there more than once.
//
// Fails as fpgamem_sync_for_device(); where a range is wrong, nothing was done.
int fpgamem_sync_ranges_for_device(const struct fpgamem_range_t *ranges,
                                   size_t count,
                                   struct fpgamem_error_t *error);

// Makes what the device wrote to `count` ranges visible to the CPU, each as fpgamem_sync_for_cpu().
// Otherwise as fpgamem_sync_ranges_for_device().
int fpgamem_sync_ranges_for_cpu(const struct fpgamem_range_t *ranges,
                                size_t count,
                                struct fpgamem_error_t *error);

// Splits a buffer that the CPU owns in two. `buffer` keeps its first `mid` bytes; *rest is a new handle
// of those from there on, for fpgamem_free(). `mid` is a multiple of fpgamem_info_t.line_bytes above 0
// and below the length.
//
// Each part can be handed over while the CPU has the other: no cache line has bytes of both. What
// fpgamem_data() gave stays where it was. The blocks are free when all parts are; while the device owns
// a part that was freed, nobody gets any of them.
//
// Fails with FPGAMEM_E_SPLIT, FPGAMEM_E_BUSY if the device owns the buffer, FPGAMEM_E_ARGUMENT,
// FPGAMEM_E_FORKED; then the buffer is what it was.
int fpgamem_split(const struct fpgamem_buffer_t *buffer,
                  size_t mid,
                  struct fpgamem_buffer_t **rest,
                  struct fpgamem_error_t *error);

// Joins a buffer with the part that follows it: the reverse of fpgamem_split(). `buffer` has the bytes of
// both then, and the handle `next` is freed.
//
// Fails with FPGAMEM_E_NOT_ADJACENT if `next` does not begin, in the same allocation, where `buffer`
// ends, with FPGAMEM_E_BUSY if the device owns one of them, FPGAMEM_E_ARGUMENT, FPGAMEM_E_FORKED; then
// both are what they were.
int fpgamem_join(const struct fpgamem_buffer_t *buffer,
                 struct fpgamem_buffer_t *next,
                 struct fpgamem_error_t *error);

// Makes an arena that holds nothing yet. The options may be null. *arena is a new handle, for
// fpgamem_arena_close().
//
// Fails with FPGAMEM_E_ARGUMENT.
int fpgamem_arena_open(const struct fpgamem_device_t *device,
                       const struct fpgamem_arena_options_t *options,
                       struct fpgamem_arena_t **arena,
                       struct fpgamem_error_t *error);

// Closes an arena. Its buffers stay what they are. Null is nothing to do, and so is the arena of a
// parent in a child of fork.
void fpgamem_arena_close(struct fpgamem_arena_t *arena);

// Allocates a buffer of `bytes`, all 0 unless the arena reuses buffers, aligned to a cache line. It takes a
// system call only where a chunk is allocated. *buffer is a new handle, for fpgamem_free().
//
// Fails as fpgamem_alloc(), and in a child of fork with FPGAMEM_E_FORKED.
int fpgamem_arena_alloc(const struct fpgamem_arena_t *arena,
                        size_t bytes,
                        struct fpgamem_buffer_t **buffer,
                        struct fpgamem_error_t *error);

// Gives chunks that are empty, and buffers that are kept for reuse, back to the pool. In a child of fork it does
// nothing.
void fpgamem_arena_trim(const struct fpgamem_arena_t *arena);

// Tells what an arena holds now. Fails in a child of fork, with FPGAMEM_E_FORKED.
int fpgamem_arena_usage(const struct fpgamem_arena_t *arena,
                        struct fpgamem_arena_usage_t *usage,
                        struct fpgamem_error_t *error);

// Makes a device without a board: a pool inside the process, whose FPGA is a model that the program
// has. The options may be null. For developing and testing on any machine; nothing ever chooses it but
// this call.
//
// What the CPU sees and what the FPGA sees are two copies, exchanged by the same calls that maintain
// the caches of a board, so a forgotten one is a wrong result.
//
// Fails with FPGAMEM_E_REGION, FPGAMEM_E_ARGUMENT, FPGAMEM_E_OPEN.
int fpgamem_open_emulated(const struct fpgamem_emulated_options_t *options,
                          struct fpgamem_device_t **device,
                          struct fpgamem_error_t *error);

// Says whether a device is an emulated one. False for null.
bool fpgamem_is_emulated(const struct fpgamem_device_t *device);

// Starts a model on an emulated device and waits until it is done. `context` is passed to the model.
//
// Fails with FPGAMEM_E_BUS if the model failed and accessed what is no buffer, with FPGAMEM_E_MODEL if
// it failed otherwise, and with FPGAMEM_E_NOT_EMULATED, FPGAMEM_E_FORKED.
int fpgamem_emulated_run(const struct fpgamem_device_t *device,
                         fpgamem_model_t model,
                         void *context,
                         struct fpgamem_error_t *error);

// Reads what memory holds from a device address on: not what is still in the CPU's caches. 0, or EIO
// where the bytes are not all of one live buffer.
int fpgamem_fpga_read(struct fpgamem_fpga_memory_t *memory,
                      uint64_t device_addr,
                      void *to,
                      size_t bytes);

// Writes to memory from a device address on: the CPU's caches keep what they have. 0, or EIO where the
// bytes are not all of one live buffer.
int fpgamem_fpga_write(struct fpgamem_fpga_memory_t *memory,
                       uint64_t device_addr,
                       const void *from,
                       size_t bytes);

// Tells what the emulated caches have done so far. Fails with FPGAMEM_E_NOT_EMULATED, FPGAMEM_E_FORKED.
int fpgamem_emulated_counts(const struct fpgamem_device_t *device,
                            struct fpgamem_counts_t *counts,
                            struct fpgamem_error_t *error);

// Maps the `index`-th register window, counted from 0, of the UIO device with the name `name`: its node
// of the device tree is compatible to generic-uio and has the name as linux,uio-name. *registers is a new
// handle, for fpgamem_registers_close().
//
// UNSAFE: the caller promises that the device, as it is told by these registers, accesses no memory of
// programs but buffers that it owns: handed over and not taken back. Nothing can check that.
//
// Fails with FPGAMEM_E_NO_REGISTERS, and FPGAMEM_E_OPEN if the device's node or window cannot be used.
int fpgamem_registers_open_unsafe(const char *name,
                                  size_t index,
                                  struct fpgamem_registers_t **registers,
                                  struct fpgamem_error_t *error);

// Maps a register window of the UIO device whose node is at `path`, like /dev/uio0: for devices that share
// a name.
//
// UNSAFE: as fpgamem_registers_open_unsafe(). Fails with FPGAMEM_E_NOT_A_NODE, FPGAMEM_E_OPEN.
int fpgamem_registers_open_node_unsafe(const char *path,
                                       size_t index,
                                       struct fpgamem_registers_t **registers,
                                       struct fpgamem_error_t *error);

// Makes registers of a model, on an emulated device, which is copied. A write that starts the model
// returns when it is done. *registers is a new handle, for fpgamem_registers_close().
//
// Fails with FPGAMEM_E_NOT_EMULATED, FPGAMEM_E_ARGUMENT.
int fpgamem_registers_emulated(const struct fpgamem_device_t *device,
                               const struct fpgamem_register_model_t *model,
                               struct fpgamem_registers_t **registers,
                               struct fpgamem_error_t *error);

// Unmaps registers. Null is nothing to do, and so are the registers of a parent in a child of fork.
void fpgamem_registers_close(struct fpgamem_registers_t *registers);

// Bytes of the window. 0 for null.
size_t fpgamem_registers_size(const struct fpgamem_registers_t *registers);

// Reads a register of 32 bits, in one access. `offset` is a multiple of 4.
//
// Fails with FPGAMEM_E_REGISTER if there is no such register, FPGAMEM_E_FORKED.
int fpgamem_registers_read32(const struct fpgamem_registers_t *registers,
                             size_t offset,
                             uint32_t *value,
                             struct fpgamem_error_t *error);

// Writes a register of 32 bits, in one access. `offset` is a multiple of 4.
//
// Fails with FPGAMEM_E_REGISTER if there is no such register, FPGAMEM_E_FORKED; where the write has
// started a model, as fpgamem_emulated_run().
int fpgamem_registers_write32(const struct fpgamem_registers_t *registers,
                              size_t offset,
                              uint32_t value,
                              struct fpgamem_error_t *error);

// Reads a register of 64 bits, in one access on a board: many devices have registers of 32 bits only, and
// answer that wrongly or not at all. A model sees two of 32 bits, the lower word first. `offset` is a
// multiple of 8. Otherwise as fpgamem_registers_read32().
int fpgamem_registers_read64(const struct fpgamem_registers_t *registers,
                             size_t offset,
                             uint64_t *value,
                             struct fpgamem_error_t *error);

// Writes a register of 64 bits, in one access on a board, as fpgamem_registers_read64() reads it.
// Otherwise as fpgamem_registers_write32().
int fpgamem_registers_write64(const struct fpgamem_registers_t *registers,
                              size_t offset,
                              uint64_t value,
                              struct fpgamem_error_t *error);

// Writes a device address to two registers of 32 bits, the lower word first, as kernels of Vitis HLS have
// them for their pointers. Fails as fpgamem_registers_write32(); where one of both is no register, neither
// is written.
int fpgamem_registers_write_addr(const struct fpgamem_registers_t *registers,
                                 size_t offset,
                                 uint64_t device_addr,
                                 struct fpgamem_error_t *error);

// Reads a register of 32 bits until (its value & mask) == wanted, for at most `timeout_ms` milliseconds.
// *value is the last one read; it may be null. For waits that are shorter than an interrupt takes: the
// processor does nothing else meanwhile. Other threads may use the registers.
//
// Fails as fpgamem_registers_read32(), and with FPGAMEM_E_TIMEOUT.
int fpgamem_registers_poll32(const struct fpgamem_registers_t *registers,
                             size_t offset,
                             uint32_t mask,
                             uint32_t wanted,
                             uint32_t timeout_ms,
                             uint32_t *value,
                             struct fpgamem_error_t *error);

// Lets the next interrupt of the device through, or at once the one that it asks for already. One that
// came before and was not waited for still ends the next wait.
//
// Fails with FPGAMEM_E_INTERRUPT, FPGAMEM_E_FORKED.
int fpgamem_registers_enable_interrupt(const struct fpgamem_registers_t *registers,
                                       struct fpgamem_error_t *error);

// Sleeps until an interrupt comes, for at most `timeout_ms` milliseconds; a signal does not end it. After
// that no other comes through until it is enabled again: first the device is told, by its registers, that
// it has been heard. A model has done all it will ever do when a write returns, so there is no sleep.
//
// Fails with FPGAMEM_E_TIMEOUT if none came, FPGAMEM_E_BUSY if another thread waits by this handle,
// FPGAMEM_E_INTERRUPT, FPGAMEM_E_FORKED.
int fpgamem_registers_wait_interrupt(const struct fpgamem_registers_t *registers,
                                     uint32_t timeout_ms,
                                     struct fpgamem_error_t *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LIBFPGAMEM_H */
