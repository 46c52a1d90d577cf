/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * fpgamem: physically contiguous buffers for FPGA accelerators.
 *
 * The device node /dev/fpgamemN hands out blocks of one reserved memory
 * region. mmap() at offset 0 allocates a buffer and maps it; munmap() of its
 * last piece returns it. The ioctls below do what mmap() alone cannot say.
 *
 * Every call returns 0 on success. On failure it returns -1 and errno is one of
 *
 *   EINVAL  zero or oversized length, bad alignment, unknown flag, non-zero
 *           reserved field, private or executable mapping
 *   ENOMEM  region exhausted or too fragmented, or no kernel memory
 *   EFAULT  bad user pointer, or an address or range that is not wholly in a
 *           buffer of the caller
 *   ENOENT  unknown handle
 *   ENODEV  the device behind the node has been unbound
 *   EACCES  the file was opened without the access that the call needs
 *   EPERM   the caller lacks the capability that the call needs
 *   EINTR   a fatal signal ended the wait for quarantined blocks
 *   ENOTTY  unknown command
 *
 * Quarantine. When the last reference of a buffer goes while the device may still
 * write to it, its blocks are not free at once: they are quarantined for
 * fpgamem_info.quarantine_ms, or until FPGAMEM_IOC_QUIET. The device may, when
 * FPGAMEM_IOC_SET_OWNER said so, or when the buffer's word in the status area is
 * not 0. Of a file that never mapped its status area, all buffers are quarantined
 * if the process that held them is killed by a signal. An allocation that does not
 * fit waits for quarantined blocks, at most 2 seconds. This protects
 * against crashes, not against malice.
 *
 * Status area. mmap() of up to 64 pages at FPGAMEM_MMAP_STATUS_OFFSET, MAP_SHARED,
 * gives the open file 32-bit words. Each buffer that the file allocates from then
 * on gets one, as long as there are any; status_slot is its index. It is 0 after
 * the allocation. User space writes another number before it lets the device
 * start, and 0 when the device is done. The first call fixes the size, later ones
 * map the same area or less of it. EACCES through a file that is not writable.
 *
 * Sizes, lengths and offsets are in bytes. The layout is the same for 32-bit
 * and 64-bit user space.
 */
#ifndef _UAPI_FPGAMEM_H
#define _UAPI_FPGAMEM_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The number in fpgamem_info.abi. It changes only when an old client breaks. */
#define FPGAMEM_ABI 1

/* Bits of fpgamem_info.features. */
#define FPGAMEM_FEATURE_WRITE_COMBINE (1ULL << 0) /* FPGAMEM_ALLOC_WRITE_COMBINE */
#define FPGAMEM_FEATURE_COHERENCY (1ULL << 1) /* FPGAMEM_ALLOC_{,NON}COHERENT */
#define FPGAMEM_FEATURE_SYNC_VECTOR (1ULL << 2) /* FPGAMEM_IOC_SYNC */
#define FPGAMEM_FEATURE_QUARANTINE (1ULL << 3) /* quarantine and status area */

/* Bits of fpgamem_info.flags, fpgamem_buffer.flags and fpgamem_user_to_phys.flags. */
#define FPGAMEM_BUFFER_WRITE_COMBINE (1U << 0) /* mapped write-combine, not cached */
#define FPGAMEM_BUFFER_COHERENT (1U << 1) /* the port snoops: sync is a barrier only */

/* Bits of fpgamem_alloc.flags. COHERENT and NONCOHERENT exclude each other;
 * with neither the pool's default (fpgamem_info.flags) applies. */
#define FPGAMEM_ALLOC_WRITE_COMBINE (1U << 0)
#define FPGAMEM_ALLOC_COHERENT (1U << 1)
#define FPGAMEM_ALLOC_NONCOHERENT (1U << 2)

/* Offsets for mmap() of handles lie at or above this one. */
#define FPGAMEM_MMAP_OFFSET_BASE (1ULL << 40)

/* Offset for mmap() of the status area, and its largest length. */
#define FPGAMEM_MMAP_STATUS_OFFSET (1ULL << 42)
#define FPGAMEM_MAX_STATUS_BYTES (64ULL << 12)

/* The status_slot of a buffer that has no word in the status area. */
#define FPGAMEM_NO_SLOT 0xffffffffU

/* Entries of fpgamem_info.largest_free_bytes, and binary logarithm of the
 * alignment that entry 0 is about. */
#define FPGAMEM_NR_ALIGNMENTS 19
#define FPGAMEM_MIN_ALIGN_SHIFT 12

/* The largest alignment that FPGAMEM_IOC_ALLOC takes: 1 GiB. */
#define FPGAMEM_MAX_ALIGN (1ULL << 30)

/* The largest fpgamem_sync.count. */
#define FPGAMEM_MAX_RANGES 1024

/* fpgamem_sync.op, in ARM's words: FLUSH cleans each line to the point of
 * coherency; INVALIDATE cleans and invalidates each line, so that it never
 * discards what the CPU wrote. */
#define FPGAMEM_SYNC_FLUSH 1
#define FPGAMEM_SYNC_INVALIDATE 2

/* fpgamem_set_owner.owner */
#define FPGAMEM_OWNER_CPU 0
#define FPGAMEM_OWNER_DEVICE 1

/**
 * struct fpgamem_info - FPGAMEM_IOC_INFO: describe the pool (all output)
 * @abi: FPGAMEM_ABI of the driver
 * @flags: FPGAMEM_BUFFER_*: what a buffer gets that asks for nothing
 * @features: FPGAMEM_FEATURE_* bits
 * @phys_addr: first physical address of the region
 * @device_addr: the address the FPGA uses for @phys_addr
 * @region_bytes: size of the region
 * @block_bytes: allocation unit, a power of two
 * @free_bytes: bytes in free blocks
 * @nr_buffers: live buffers of all processes
 * @cache_line_bytes: smallest data cache line; 0 where the driver does not know
 * @largest_free_bytes: per alignment of 4096 << index, the longest buffer that
 *	can be allocated now; alignments below the block size count as the block
 * @quarantined_bytes: bytes in quarantined blocks, which are neither free nor in
 *	a live buffer
 * @quarantine_ms: how long blocks are quarantined, in milliseconds; 0 if never
 * @reserved: 0
 */
struct fpgamem_info {
	__u32 abi;
	__u32 flags;
	__u64 features;
	__u64 phys_addr;
	__u64 device_addr;
	__u64 region_bytes;
	__u64 block_bytes;
	__u64 free_bytes;
	__u32 nr_buffers;
	__u32 cache_line_bytes;
	__u64 largest_free_bytes[FPGAMEM_NR_ALIGNMENTS];
	__u64 quarantined_bytes;
	__u32 quarantine_ms;
	__u32 reserved[5];
};

/**
 * struct fpgamem_alloc - FPGAMEM_IOC_ALLOC: allocate a buffer without mapping it
 * @len: Input: bytes wanted, 1 to the region's size; rounded up to whole blocks
 * @align: Input: alignment of the physical address, a power of two up to
 *	FPGAMEM_MAX_ALIGN; 0 stands for the block size
 * @flags: Input: FPGAMEM_ALLOC_* bits
 * @handle: Output: names the buffer in this open file; never 0
 * @alloc_bytes: Output: @len rounded up
 * @phys_addr: Output: first physical address
 * @device_addr: Output: first address as the FPGA uses it
 * @mmap_offset: Output: offset for mmap() of the buffer or of part of it
 * @status_slot: Output: index of the buffer's word in the status area of the
 *	file, or FPGAMEM_NO_SLOT
 * @reserved: Input: must be 0
 *
 * The buffer is zero-filled, in DDR too. It lives while its handle or a mapping
 * of it lives. It does not exclude other users of the file.
 */
struct fpgamem_alloc {
	__u64 len;
	__u64 align;
	__u32 flags;
	__u32 handle;
	__u64 alloc_bytes;
	__u64 phys_addr;
	__u64 device_addr;
	__u64 mmap_offset;
	__u32 status_slot;
	__u32 reserved[3];
};

/**
 * struct fpgamem_free - FPGAMEM_IOC_FREE: drop a handle
 * @handle: Input: from FPGAMEM_IOC_ALLOC on the same open file
 * @reserved: Input: must be 0
 *
 * Mappings of the buffer stay valid; the blocks return with the last one.
 */
struct fpgamem_free {
	__u32 handle;
	__u32 reserved;
};

/**
 * struct fpgamem_buffer - FPGAMEM_IOC_QUERY: describe the buffer of a handle
 * @handle: Input: from FPGAMEM_IOC_ALLOC on the same open file
 * @flags: Output: FPGAMEM_BUFFER_* bits
 * @alloc_bytes: Output: size of the buffer
 * @phys_addr: Output: first physical address
 * @device_addr: Output: first address as the FPGA uses it
 * @mmap_offset: Output: offset for mmap()
 * @status_slot: Output: index of the buffer's word in the status area of the
 *	file, or FPGAMEM_NO_SLOT
 * @reserved: Input: must be 0
 */
struct fpgamem_buffer {
	__u32 handle;
	__u32 flags;
	__u64 alloc_bytes;
	__u64 phys_addr;
	__u64 device_addr;
	__u64 mmap_offset;
	__u32 status_slot;
	__u32 reserved[3];
};

/**
 * struct fpgamem_user_to_phys - FPGAMEM_IOC_USER_TO_PHYS: where a pointer points
 * @user_addr: Input: any address in a mapping of this pool in the calling process
 * @phys_addr: Output: its physical address
 * @device_addr: Output: the same as the FPGA uses it
 * @contiguous_bytes: Output: bytes from there on that are contiguous in both
 *	address spaces
 * @flags: Output: FPGAMEM_BUFFER_* bits of the buffer
 * @status_slot: Output: index of the buffer's word in the status area of the
 *	file that allocated it, or FPGAMEM_NO_SLOT
 * @reserved: Input: must be 0
 */
struct fpgamem_user_to_phys {
	__u64 user_addr;
	__u64 phys_addr;
	__u64 device_addr;
	__u64 contiguous_bytes;
	__u32 flags;
	__u32 status_slot;
	__u64 reserved;
};

/**
 * struct fpgamem_phys_to_user - FPGAMEM_IOC_PHYS_TO_USER: who maps an address
 * @phys_addr: Input: any physical address in a buffer that the caller has mapped
 * @user_addr: Output: the lowest address in the calling process that maps it
 * @contiguous_bytes: Output: bytes from there on that are contiguous in both
 *	address spaces
 * @reserved: Input: must be 0
 */
struct fpgamem_phys_to_user {
	__u64 phys_addr;
	__u64 user_addr;
	__u64 contiguous_bytes;
	__u64 reserved;
};

/**
 * struct fpgamem_range - one range for cache maintenance
 * @addr: Input: user address in a mapping of this pool or, with a @handle,
 *	offset into the buffer
 * @len: Input: bytes, at least 1
 * @handle: Input: 0, or a handle of this open file
 * @reserved: Input: must be 0
 *
 * Ranges are rounded outwards to cache lines. A range that leaves the buffer is
 * refused with EFAULT and no line is touched.
 */
struct fpgamem_range {
	__u64 addr;
	__u64 len;
	__u32 handle;
	__u32 reserved;
};

/**
 * struct fpgamem_sync - FPGAMEM_IOC_SYNC: cache maintenance of many ranges
 * @ranges: Input: user pointer to an array of struct fpgamem_range
 * @count: Input: entries of the array, 1 to FPGAMEM_MAX_RANGES
 * @op: Input: FPGAMEM_SYNC_FLUSH or FPGAMEM_SYNC_INVALIDATE
 * @reserved: Input: must be 0
 *
 * All ranges are checked before the first line is touched.
 */
struct fpgamem_sync {
	__u64 ranges;
	__u32 count;
	__u32 op;
	__u64 reserved;
};

/**
 * struct fpgamem_set_owner - FPGAMEM_IOC_SET_OWNER: say who uses a buffer
 * @addr: Input: with a @handle 0; else any user address in a mapping of the buffer
 * @handle: Input: 0, or a handle of this open file
 * @owner: Input: FPGAMEM_OWNER_CPU or FPGAMEM_OWNER_DEVICE
 * @reserved: Input: must be 0
 *
 * For buffers without a word in the status area, and for those who share one. The
 * call touches no cache line. A new buffer belongs to the CPU.
 *
 * FPGAMEM_IOC_QUIET has no argument: "the device is quiet". All quarantined blocks
 * of the pool are free at once. It takes CAP_SYS_RAWIO; EPERM without.
 */
struct fpgamem_set_owner {
	__u64 addr;
	__u32 handle;
	__u32 owner;
	__u64 reserved;
};

#define FPGAMEM_IOC_TYPE 0xBA
#define FPGAMEM_IOC_INFO _IOR(FPGAMEM_IOC_TYPE, 0, struct fpgamem_info)
#define FPGAMEM_IOC_ALLOC _IOWR(FPGAMEM_IOC_TYPE, 1, struct fpgamem_alloc)
#define FPGAMEM_IOC_FREE _IOW(FPGAMEM_IOC_TYPE, 2, struct fpgamem_free)
#define FPGAMEM_IOC_QUERY _IOWR(FPGAMEM_IOC_TYPE, 3, struct fpgamem_buffer)
#define FPGAMEM_IOC_USER_TO_PHYS _IOWR(FPGAMEM_IOC_TYPE, 4, struct fpgamem_user_to_phys)
#define FPGAMEM_IOC_PHYS_TO_USER _IOWR(FPGAMEM_IOC_TYPE, 5, struct fpgamem_phys_to_user)
#define FPGAMEM_IOC_FLUSH _IOW(FPGAMEM_IOC_TYPE, 6, struct fpgamem_range)
#define FPGAMEM_IOC_INVALIDATE _IOW(FPGAMEM_IOC_TYPE, 7, struct fpgamem_range)
#define FPGAMEM_IOC_SYNC _IOW(FPGAMEM_IOC_TYPE, 8, struct fpgamem_sync)
#define FPGAMEM_IOC_SET_OWNER _IOW(FPGAMEM_IOC_TYPE, 9, struct fpgamem_set_owner)
#define FPGAMEM_IOC_QUIET _IO(FPGAMEM_IOC_TYPE, 10)

#endif /* _UAPI_FPGAMEM_H */
