// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The ioctl ABI as Rust sees it; `driver/uapi/fpgamem.h` is the same for C and documents each call.
//!
//! Sizes, offsets and command numbers are asserted here against literals and compared with the C
//! header by a test, so neither file can drift.

/// Number of the ABI, in [`Info::abi`]. It changes only when an old client breaks.
pub const ABI: u32 = 1;

/// Feature bit: buffers can be write-combine.
pub const FEATURE_WRITE_COMBINE: u64 = 1 << 0;
/// Feature bit: coherency of the port can be chosen per buffer.
pub const FEATURE_COHERENCY: u64 = 1 << 1;
/// Feature bit: [`IOC_SYNC`] exists.
pub const FEATURE_SYNC_VECTOR: u64 = 1 << 2;
/// Feature bit: blocks that the device may still write to are quarantined; [`IOC_SET_OWNER`],
/// [`IOC_QUIET`] and the status area exist.
pub const FEATURE_QUARANTINE: u64 = 1 << 3;

/// Buffer flag: mapped write-combine instead of cached.
pub const BUFFER_WRITE_COMBINE: u32 = 1 << 0;
/// Buffer flag: the port snoops the caches, a sync is a barrier only.
pub const BUFFER_COHERENT: u32 = 1 << 1;

/// Allocation flag: map write-combine.
pub const ALLOC_WRITE_COMBINE: u32 = 1 << 0;
/// Allocation flag: the buffer is used through a port that snoops the caches.
pub const ALLOC_COHERENT: u32 = 1 << 1;
/// Allocation flag: the buffer is used through a port that does not snoop the caches.
pub const ALLOC_NONCOHERENT: u32 = 1 << 2;

/// Offsets for mmap of handles lie at or above this one. It is below 2^44, the end of what 32-bit
/// user space can pass.
pub const MMAP_OFFSET_BASE: u64 = 1 << 40;
/// Offset for mmap of the status area of an open file.
pub const MMAP_STATUS_OFFSET: u64 = 1 << 42;
/// Largest length in bytes of a status area.
pub const MAX_STATUS_BYTES: u64 = 64 << 12;
/// What `status_slot` is where a buffer has none.
pub const NO_SLOT: u32 = 0xffff_ffff;
/// Number of entries of [`Info::largest_free_bytes`].
pub const NR_ALIGNMENTS: usize = 19;
/// Binary logarithm of the alignment that entry 0 of [`Info::largest_free_bytes`] is about.
pub const MIN_ALIGN_SHIFT: u32 = 12;
/// Largest alignment in bytes.
pub const MAX_ALIGN: u64 = 1 << 30;
/// Largest number of ranges in one [`Sync`].
pub const MAX_RANGES: u32 = 1024;

/// [`Sync::op`]: clean every line to the point of coherency.
pub const SYNC_FLUSH: u32 = 1;
/// [`Sync::op`]: clean and invalidate every line.
pub const SYNC_INVALIDATE: u32 = 2;

/// [`SetOwner::owner`]: the CPU alone accesses the buffer.
pub const OWNER_CPU: u32 = 0;
/// [`SetOwner::owner`]: the device may access the buffer.
pub const OWNER_DEVICE: u32 = 1;

/// What [`IOC_INFO`] writes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Info {
    /// ABI number of the driver, [`ABI`].
    pub abi: u32,
    /// `BUFFER_*` bits of a buffer that asks for nothing.
    pub flags: u32,
    /// `FEATURE_*` bits.
    pub features: u64,
    /// First physical address of the region.
    pub phys_addr: u64,
    /// The address the FPGA uses for `phys_addr`.
    pub device_addr: u64,
    /// Size of the region in bytes.
    pub region_bytes: u64,
    /// Allocation unit in bytes, a power of two.
    pub block_bytes: u64,
    /// Bytes in free blocks.
    pub free_bytes: u64,
    /// Live buffers of all processes.
    pub nr_buffers: u32,
    /// Smallest data cache line in bytes.
    pub cache_line_bytes: u32,
    /// Longest allocation in bytes that would succeed now, per alignment of `4096 << index` bytes.
    pub largest_free_bytes: [u64; NR_ALIGNMENTS],
    /// Bytes in quarantined blocks; they are neither free nor in a live buffer.
    pub quarantined_bytes: u64,
    /// How long blocks are quarantined, in milliseconds; 0 if never.
    pub quarantine_ms: u32,
    /// Zero.
    pub reserved: [u32; 5],
}

/// Argument of [`IOC_ALLOC`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Alloc {
    /// Input: bytes wanted.
    pub len: u64,
    /// Input: alignment of the physical address in bytes, 0 for the block size.
    pub align: u64,
    /// Input: `ALLOC_*` bits.
    pub flags: u32,
    /// Output: name of the buffer in this open file, never 0.
    pub handle: u32,
    /// Output: `len` rounded up to whole blocks.
    pub alloc_bytes: u64,
    /// Output: first physical address.
    pub phys_addr: u64,
    /// Output: first address as the FPGA uses it.
    pub device_addr: u64,
    /// Output: offset for mmap.
    pub mmap_offset: u64,
    /// Output: the buffer's word in the status area of the file that allocated it, or [`NO_SLOT`].
    pub status_slot: u32,
    /// Input: must be zero.
    pub reserved: [u32; 3],
}

/// Argument of [`IOC_FREE`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Free {
    /// Input: the handle to drop.
    pub handle: u32,
    /// Input: must be zero.
    pub reserved: u32,
}

/// Argument of [`IOC_QUERY`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Buffer {
    /// Input: the handle to describe.
    pub handle: u32,
    /// Output: `BUFFER_*` bits.
    pub flags: u32,
    /// Output: size of the buffer in bytes.
    pub alloc_bytes: u64,
    /// Output: first physical address.
    pub phys_addr: u64,
    /// Output: first address as the FPGA uses it.
    pub device_addr: u64,
    /// Output: offset for mmap.
    pub mmap_offset: u64,
    /// Output: the buffer's word in the status area of the file that allocated it, or [`NO_SLOT`].
    pub status_slot: u32,
    /// Input: must be zero.
    pub reserved: [u32; 3],
}

/// Argument of [`IOC_USER_TO_PHYS`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct UserToPhys {
    /// Input: user address in a mapping of the pool.
    pub user_addr: u64,
    /// Output: its physical address.
    pub phys_addr: u64,
    /// Output: the same as the FPGA uses it.
    pub device_addr: u64,
    /// Output: bytes from there on that are contiguous in both address spaces.
    pub contiguous_bytes: u64,
    /// Output: `BUFFER_*` bits.
    pub flags: u32,
    /// Output: the buffer's word in the status area of the file that allocated it, or [`NO_SLOT`].
    pub status_slot: u32,
    /// Input: must be zero.
    pub reserved: u64,
}

/// Argument of [`IOC_PHYS_TO_USER`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PhysToUser {
    /// Input: physical address in a buffer that the caller has mapped.
    pub phys_addr: u64,
    /// Output: lowest user address of the caller that maps it.
    pub user_addr: u64,
    /// Output: bytes from there on that are contiguous in both address spaces.
    pub contiguous_bytes: u64,
    /// Input: must be zero.
    pub reserved: u64,
}

/// One range for cache maintenance; argument of [`IOC_FLUSH`] and [`IOC_INVALIDATE`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Range {
    /// Input: user address, or offset in bytes into the buffer of `handle`.
    pub addr: u64,
    /// Input: length in bytes, at least 1.
    pub len: u64,
    /// Input: 0, or a handle of the open file.
    pub handle: u32,
    /// Input: must be zero.
    pub reserved: u32,
}

/// Argument of [`IOC_SYNC`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Sync {
    /// Input: user pointer to an array of [`Range`].
    pub ranges: u64,
    /// Input: entries of the array, 1 to [`MAX_RANGES`].
    pub count: u32,
    /// Input: [`SYNC_FLUSH`] or [`SYNC_INVALIDATE`].
    pub op: u32,
    /// Input: must be zero.
    pub reserved: u64,
}

/// Argument of [`IOC_SET_OWNER`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SetOwner {
    /// Input: any user address in a mapping of the buffer; with a handle it must be zero.
    pub addr: u64,
    /// Input: 0, or a handle of the open file.
    pub handle: u32,
    /// Input: [`OWNER_CPU`] or [`OWNER_DEVICE`].
    pub owner: u32,
    /// Input: must be zero.
    pub reserved: u64,
}

/// Type byte of every command.
pub const IOC_TYPE: u32 = 0xba;

const NONE: u32 = 0;
const WRITE: u32 = 1;
const READ: u32 = 2;

/// A command number as `<asm-generic/ioctl.h>` composes it.
const fn command(direction: u32, number: u32, size: usize) -> u32 {
    // The size field has 14 bits. All structures are far smaller, which the literal command numbers
    // below assert.
    direction << 30 | ((size as u64 & 0x3fff) as u32) << 16 | IOC_TYPE << 8 | number
}

/// Describes the pool: [`Info`].
pub const IOC_INFO: u32 = command(READ, 0, core::mem::size_of::<Info>());
/// Allocates a buffer without mapping it: [`Alloc`].
pub const IOC_ALLOC: u32 = command(READ | WRITE, 1, core::mem::size_of::<Alloc>());
/// Drops a handle: [`Free`].
pub const IOC_FREE: u32 = command(WRITE, 2, core::mem::size_of::<Free>());
/// Describes the buffer of a handle: [`Buffer`].
pub const IOC_QUERY: u32 = command(READ | WRITE, 3, core::mem::size_of::<Buffer>());
/// Translates a user address: [`UserToPhys`].
pub const IOC_USER_TO_PHYS: u32 = command(READ | WRITE, 4, core::mem::size_of::<UserToPhys>());
/// Translates a physical address: [`PhysToUser`].
pub const IOC_PHYS_TO_USER: u32 = command(READ | WRITE, 5, core::mem::size_of::<PhysToUser>());
/// Cleans one range to the point of coherency: [`Range`].
pub const IOC_FLUSH: u32 = command(WRITE, 6, core::mem::size_of::<Range>());
/// Cleans and invalidates one range: [`Range`].
pub const IOC_INVALIDATE: u32 = command(WRITE, 7, core::mem::size_of::<Range>());
/// Maintains many ranges: [`Sync`].
pub const IOC_SYNC: u32 = command(WRITE, 8, core::mem::size_of::<Sync>());
/// Says who owns a buffer: [`SetOwner`].
pub const IOC_SET_OWNER: u32 = command(WRITE, 9, core::mem::size_of::<SetOwner>());
/// Says that the device is quiet: ends every quarantine. No argument.
pub const IOC_QUIET: u32 = command(NONE, 10, 0);

const _: () = {
    assert!(IOC_INFO == 0x80f8_ba00);
    assert!(IOC_ALLOC == 0xc048_ba01);
    assert!(IOC_FREE == 0x4008_ba02);
    assert!(IOC_QUERY == 0xc038_ba03);
    assert!(IOC_USER_TO_PHYS == 0xc030_ba04);
    assert!(IOC_PHYS_TO_USER == 0xc020_ba05);
    assert!(IOC_FLUSH == 0x4018_ba06);
    assert!(IOC_INVALIDATE == 0x4018_ba07);
    assert!(IOC_SYNC == 0x4018_ba08);
    assert!(IOC_SET_OWNER == 0x4018_ba09);
    assert!(IOC_QUIET == 0x0000_ba0a);
};
