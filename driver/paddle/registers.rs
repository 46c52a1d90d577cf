// SPDX-License-Identifier: GPL-2.0

//! The accelerator's registers, mapped for user space.

use crate::{driver::BoundPool, kapi::vma, shared::paddle_abi as abi};
use kernel::{mm::virt::VmaNew, prelude::*};

/// Maps the registers. The mapping outlives an unbind; it pins the module.
///
/// # Errors
///
/// - `EINVAL` if the mapping is private, or longer than [`abi::REGISTERS_MAX_BYTES`] or the registers.
/// - `ENODEV` once the device is unbound.
/// - `ENXIO` if the device tree names no registers.
pub(crate) fn map(bound: &BoundPool, vma: &VmaNew) -> Result {
    bound.pool()?;
    let registers = bound.registers().ok_or(ENXIO)?;
    // CAST: usize is 64 bits on arm64.
    let len = (vma.end() - vma.start()) as u64;
    if !vma::is_shared(vma) || len > registers.bytes.min(abi::REGISTERS_MAX_BYTES) {
        return Err(EINVAL);
    }
    vma.try_clear_mayexec()?;
    vma::map_registers(vma, registers.start)
}
