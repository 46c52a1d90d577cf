// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The ABI that the FPGA back ends of Paddle-Lite and paddle-mobile expect of a memory driver.
//!
//! Family A (Paddle-Lite) knows the node `/dev/fpgadrv0` alone and passes user addresses. Family B
//! (paddle-mobile) uses the native node, `/dev/fpgamem0`, and passes distances of physical
//! addresses from [`B_BASE`].

/// Where family B maps to allocate, and what it takes for the start of the region.
pub const B_BASE: u64 = 0x2000_0000;

/// Where clients map the registers of the accelerator.
pub const REGISTERS: u64 = 0x8000_0000;
/// Most bytes of registers that they map.
pub const REGISTERS_MAX_BYTES: u64 = 0x1000;

/// A user address, or in family B a distance from [`B_BASE`], and a length in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheRange {
    /// First byte.
    pub address: u64,
    /// Bytes.
    pub size: u64,
}

/// What the device can do. The kernel fills all of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Capacity for filters.
    pub filter_cap: u32,
    /// Version of the accelerator.
    pub version: u32,
    /// Type of the board; 900 is a ZU9.
    pub device_type: u16,
    /// 0.
    pub padding: u16,
    /// Columns of the array; unknown to the oldest clients.
    pub column: u32,
    /// Capacity for pooling; unknown to older clients.
    pub pool_cap: u32,
    /// 0.
    pub reserved: [u32; 5],
}

/// Where to put the version, as text.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// User address of the first byte.
    pub buffer: u64,
    /// Bytes that there is room for.
    pub size: u64,
}

/// A user address and what the kernel says its physical address is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmToPhys {
    /// Address in the caller's memory.
    pub user_addr: u64,
    /// Its physical address.
    pub phys_addr: u64,
}

/// Bits 15 to 8 of the commands of family A, those for the accelerator included.
pub const A_TYPE: u32 = b'G' as u32;
/// The same for clients whose magic number overflows its field.
pub const OLD_TYPE: u32 = b'A' as u32;

/// Family A: write the version where a [`Version`] says. Older clients, whose number is another, pass
/// no size, so that nobody could know how much to write.
pub const A_VERSION: u32 = 0x4010_4701;
/// Family A: clean and invalidate.
pub const A_INVALIDATE: u32 = 0x4010_470c;
/// Family A: clean.
pub const A_FLUSH: u32 = 0x4010_470d;
/// Family A: fill in a [`DeviceInfo`], though the number says that it is only read.
pub const A_DEVICE_INFO: u32 = 0x4028_4764;
/// [`A_INVALIDATE`] of clients whose magic number overflows its field.
pub const OLD_INVALIDATE: u32 = 0x5057_410c;
/// [`A_FLUSH`] of clients whose magic number overflows its field.
pub const OLD_FLUSH: u32 = 0x5057_410d;
/// Family B: clean and invalidate.
pub const B_INVALIDATE: u32 = 0x4010_460c;
/// Family B: clean.
pub const B_FLUSH: u32 = 0x4010_460d;
/// Family B: translate a user address.
pub const B_VM_TO_PHYS: u32 = 0xc010_460f;

const _: () = {
    assert!(core::mem::size_of::<CacheRange>() == 16);
    assert!(core::mem::size_of::<VmToPhys>() == 16);
    assert!(core::mem::size_of::<Version>() == 16);
    assert!(core::mem::size_of::<DeviceInfo>() == 40);
};
