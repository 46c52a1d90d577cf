// SPDX-License-Identifier: GPL-2.0

//! Whether a pool serves Paddle's clients, and what it tells them of the accelerator.

use crate::{
    kapi::uaccess,
    shared::paddle_abi::{DeviceInfo, Version},
};
use core::mem::MaybeUninit;
use kernel::{
    c_str,
    device::{Bound, Device},
    prelude::*,
    str::{CStr, CString},
};

/// What the device tree says of `dev`; `None` without the property `fpgamem,paddle`.
///
/// # Errors
///
/// `EINVAL`, after one message, if a value is 0, by which the clients divide, or exceeds its field.
pub(crate) fn of_device(dev: &Device<Bound>) -> Result<Option<DeviceInfo>> {
    let enabled = dev
        .fwnode()
        .is_some_and(|node| node.property_read_bool(c_str!("fpgamem,paddle")));
    if !enabled {
        return Ok(None);
    }
    let device_type = value(
        dev,
        c_str!("fpgamem,paddle-device-type"),
        900,
        u16::MAX.into(),
    )?;
    Ok(Some(DeviceInfo {
        filter_cap: value(dev, c_str!("fpgamem,paddle-filter-cap"), 2048, u32::MAX)?,
        version: value(dev, c_str!("fpgamem,paddle-version"), 1, u32::MAX)?,
        device_type: u16::try_from(device_type)?,
        padding: 0,
        column: value(dev, c_str!("fpgamem,paddle-column"), 4, u32::MAX)?,
        pool_cap: value(dev, c_str!("fpgamem,paddle-pool-cap"), 4096, u32::MAX)?,
        reserved: [0; 5],
    }))
}

/// A property from 1 to `max`.
fn value(dev: &Device<Bound>, name: &CStr, default: u32, max: u32) -> Result<u32> {
    let value = dev
        .fwnode()
        .and_then(|node| node.property_read::<u32>(name).optional())
        .unwrap_or(default);
    if value == 0 || value > max {
        dev_err!(
            dev,
            "{} {} is not from 1 to {} ({})\n",
            name,
            value,
            max,
            EINVAL.to_errno()
        );
        return Err(EINVAL);
    }
    Ok(value)
}

/// VERSION: writes the version of the accelerator in decimal, cut to the room that there is and with
/// a zero byte at its end.
///
/// # Errors
///
/// `EFAULT` if the caller's memory is not accessible.
pub(crate) fn version(info: &DeviceInfo, arg: usize) -> Result {
    let mut room = MaybeUninit::uninit();
    let request: &mut Version = uaccess::read(arg, &mut room)?;
    let address = usize::try_from(request.buffer).map_err(|_| EFAULT)?;
    // An exhausted kernel must not look to clients like a failed allocation.
    let text = CString::try_from_fmt(fmt!("{}", info.version)).map_err(|_| EIO)?;
    let room = usize::try_from(request.size.min(text.len_with_nul() as u64)).map_err(|_| EFAULT)?;
    let Some(chars) = room.checked_sub(1) else {
        return Ok(());
    };
    let cut = text.to_bytes().get(..chars).ok_or(EIO)?;
    uaccess::write_bytes(address, cut)?;
    uaccess::write_bytes(address.checked_add(chars).ok_or(EFAULT)?, &[0])
}
