// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cache instructions that a program may execute itself.
//!
//! Arm Architecture Reference Manual, "Cache maintenance instructions": they work on the line that
//! holds an address, and are complete after DSB. On an address that is not mapped hardware faults,
//! so the caller names mapped memory; no byte that the CPU sees changes but by `zva`.

use std::arch::asm;

/// DC CVAC: writes a dirty line back, to the point of coherency.
#[inline(always)]
pub(crate) fn cvac(address: u64) {
    // SAFETY: changes nothing that the CPU sees.
    unsafe { asm!("dc cvac, {}", in(reg) address, options(nostack, preserves_flags)) };
}

/// DC CIVAC: writes a dirty line back and drops the line, to the point of coherency.
#[inline(always)]
pub(crate) fn civac(address: u64) {
    // SAFETY: as above; what a device wrote appears like any other of its writes.
    unsafe { asm!("dc civac, {}", in(reg) address, options(nostack, preserves_flags)) };
}

/// DC CVAU: writes a dirty line back, to the point of unification: as far as instruction fetches
/// need it, not devices.
#[inline(always)]
pub(crate) fn cvau(address: u64) {
    // SAFETY: as above.
    unsafe { asm!("dc cvau, {}", in(reg) address, options(nostack, preserves_flags)) };
}

/// DSB SY: waits until all maintenance and all accesses before it are complete.
#[inline(always)]
pub(crate) fn dsb() {
    // SAFETY: orders accesses and changes none.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}
