// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Offsets of the ABI structures, asserted against literals.
//!
//! Apart from `abi.rs` and `paddle_abi.rs` because `offset_of!` is newer (Rust 1.77) than what user space may be built
//! with; the module and the tests of the crate compile it.

use super::abi::{Alloc, Buffer, Free, Info, PhysToUser, Range, SetOwner, Sync, UserToPhys};
use super::paddle_abi::{DeviceInfo, Version};
use core::mem::offset_of;

const _: () = {
    assert!(offset_of!(Info, flags) == 4);
    assert!(offset_of!(Info, features) == 8);
    assert!(offset_of!(Info, phys_addr) == 16);
    assert!(offset_of!(Info, device_addr) == 24);
    assert!(offset_of!(Info, region_bytes) == 32);
    assert!(offset_of!(Info, block_bytes) == 40);
    assert!(offset_of!(Info, free_bytes) == 48);
    assert!(offset_of!(Info, nr_buffers) == 56);
    assert!(offset_of!(Info, cache_line_bytes) == 60);
    assert!(offset_of!(Info, largest_free_bytes) == 64);
    assert!(offset_of!(Info, quarantined_bytes) == 216);
    assert!(offset_of!(Info, quarantine_ms) == 224);
    assert!(offset_of!(Info, reserved) == 228);
    assert!(offset_of!(Alloc, align) == 8);
    assert!(offset_of!(Alloc, flags) == 16);
    assert!(offset_of!(Alloc, handle) == 20);
    assert!(offset_of!(Alloc, alloc_bytes) == 24);
    assert!(offset_of!(Alloc, phys_addr) == 32);
    assert!(offset_of!(Alloc, device_addr) == 40);
    assert!(offset_of!(Alloc, mmap_offset) == 48);
    assert!(offset_of!(Alloc, status_slot) == 56);
    assert!(offset_of!(Alloc, reserved) == 60);
    assert!(offset_of!(Free, reserved) == 4);
    assert!(offset_of!(Buffer, flags) == 4);
    assert!(offset_of!(Buffer, alloc_bytes) == 8);
    assert!(offset_of!(Buffer, phys_addr) == 16);
    assert!(offset_of!(Buffer, device_addr) == 24);
    assert!(offset_of!(Buffer, mmap_offset) == 32);
    assert!(offset_of!(Buffer, status_slot) == 40);
    assert!(offset_of!(Buffer, reserved) == 44);
    assert!(offset_of!(UserToPhys, phys_addr) == 8);
    assert!(offset_of!(UserToPhys, device_addr) == 16);
    assert!(offset_of!(UserToPhys, contiguous_bytes) == 24);
    assert!(offset_of!(UserToPhys, flags) == 32);
    assert!(offset_of!(UserToPhys, status_slot) == 36);
    assert!(offset_of!(UserToPhys, reserved) == 40);
    assert!(offset_of!(PhysToUser, user_addr) == 8);
    assert!(offset_of!(PhysToUser, contiguous_bytes) == 16);
    assert!(offset_of!(PhysToUser, reserved) == 24);
    assert!(offset_of!(Range, len) == 8);
    assert!(offset_of!(Range, handle) == 16);
    assert!(offset_of!(Range, reserved) == 20);
    assert!(offset_of!(Sync, count) == 8);
    assert!(offset_of!(Sync, op) == 12);
    assert!(offset_of!(Sync, reserved) == 16);
    assert!(offset_of!(SetOwner, handle) == 8);
    assert!(offset_of!(SetOwner, owner) == 12);
    assert!(offset_of!(SetOwner, reserved) == 16);
    assert!(offset_of!(Version, size) == 8);
    assert!(offset_of!(DeviceInfo, device_type) == 8);
    assert!(offset_of!(DeviceInfo, column) == 12);
    assert!(offset_of!(DeviceInfo, pool_cap) == 16);
};
