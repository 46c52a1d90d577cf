// SPDX-License-Identifier: GPL-2.0

//! The registers that a device-tree node names by `reg`.
//!
//! C header: [`include/linux/platform_device.h`](srctree/include/linux/platform_device.h)

use super::region::Extent;
use kernel::{
    bindings,
    device::{Bound, Device},
    ffi::c_int,
    page::PAGE_SIZE,
    platform,
    prelude::*,
};

/// Where the registers of `pdev` lie; `None` if it names none.
///
/// # Errors
///
/// `EINVAL`, after one message, if they do not begin at a page boundary, or lie in memory.
pub(crate) fn of_device(
    pdev: &platform::Device<impl kernel::device::DeviceContext>,
    dev: &Device<Bound>,
) -> Result<Option<Extent>> {
    let raw: *const platform::Device<_> = pdev;
    // CAST: `platform::Device` is a transparent wrapper of `struct platform_device`.
    let raw = raw.cast_mut().cast::<bindings::platform_device>();
    // SAFETY: The device is valid, and its resources do not change while it is bound.
    let resource = unsafe { bindings::platform_get_resource(raw, bindings::IORESOURCE_MEM, 0) };
    if resource.is_null() {
        return Ok(None);
    }
    // SAFETY: The function returned a resource of the device.
    let (start, end) = unsafe { ((*resource).start, (*resource).end) };
    let extent = Extent {
        start,
        bytes: end.wrapping_sub(start).wrapping_add(1),
    };
    // CAST: usize is 64 bits on arm64.
    let aligned = start & (PAGE_SIZE as u64 - 1) == 0;
    // SAFETY: The function only walks the resource tree, under its own lock.
    let overlap = unsafe {
        bindings::region_intersects(
            start,
            usize::try_from(extent.bytes)?,
            bindings::IORESOURCE_SYSTEM_RAM as usize,
            bindings::IORES_DESC_NONE as usize,
        )
    };
    // CAST: the constants of the C enum are small.
    if !aligned || overlap != bindings::REGION_DISJOINT as c_int {
        dev_err!(
            dev,
            "registers [{:#x}, {:#x}) do not begin at a page boundary or lie in memory ({})\n",
            extent.start,
            extent.end(),
            EINVAL.to_errno()
        );
        return Err(EINVAL);
    }
    Ok(Some(extent))
}
