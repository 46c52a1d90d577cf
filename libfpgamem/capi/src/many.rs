// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many buffers in one call, which waits once for the caches of all.

use crate::access::range;
use crate::buffer::{fpgamem_buffer_t, Owner};
use crate::error::{fpgamem_error_t, Failure};
use crate::guard;
use crate::owner;
use crate::pointer;
use fpgamem::{Buffer, DeviceBuffer, HandOverError, Ranges};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::mem::{self, MaybeUninit};
use std::ops::Range;
use std::sync::MutexGuard;

/// Hands `count` buffers over to the device, each as fpgamem_hand_over(), and waits once for the caches
/// of all of them.
///
/// Fails as fpgamem_hand_over(), and with FPGAMEM_E_ARGUMENT if a buffer is there twice; then none is
/// handed over.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_hand_over_all(
    buffers: *const *mut fpgamem_buffer_t,
    count: usize,
    direction: u32,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let direction = owner::checked(direction)?;
        // SAFETY: C passes an array of handles that live during the call.
        let buffers = unsafe { pointer::references(buffers, count) }?;
        let mut owners = lock_all(&buffers)?;
        let Some(all) = take_all(&mut owners, Owner::into_cpu_owned)? else {
            return Err(owner::already_the_devices());
        };
        let Some(device) = all.first().map(|buffer: &Buffer| buffer.device().clone()) else {
            return Ok(());
        };
        match device.hand_over_all(all, direction) {
            Ok(all) => give_back(&mut owners, all, Owner::Device),
            Err(HandOverError { error, buffer: all }) => {
                give_back(&mut owners, all, Owner::Cpu);
                return Err(error.into());
            }
        }
        Ok(())
    })
}

/// Takes `count` buffers back from the device, each as fpgamem_take_back_unsafe(), and waits once for
/// the caches of all of them.
///
/// UNSAFE: the caller promises that no device accesses the memory of any of them any more.
///
/// Fails as fpgamem_take_back_unsafe(), and with FPGAMEM_E_ARGUMENT if a buffer is there twice; then
/// none is taken back.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_take_back_all_unsafe(
    buffers: *const *mut fpgamem_buffer_t,
    count: usize,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        // SAFETY: C passes an array of handles that live during the call.
        let buffers = unsafe { pointer::references(buffers, count) }?;
        let mut owners = lock_all(&buffers)?;
        let Some(all) = take_all(&mut owners, Owner::into_device_owned)? else {
            return Err(owner::already_the_cpus());
        };
        let Some(device) = all
            .first()
            .map(|buffer: &DeviceBuffer| buffer.device().clone())
        else {
            return Ok(());
        };
        // SAFETY: C's caller has promised that no device accesses the memory.
        match unsafe { device.take_back_all(all) } {
            Ok(all) => give_back(&mut owners, all, Owner::Cpu),
            Err(HandOverError { error, buffer: all }) => {
                give_back(&mut owners, all, Owner::Device);
                return Err(error.into());
            }
        }
        Ok(())
    })
}

/// Bytes of a buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct fpgamem_range_t {
    /// The buffer.
    pub buffer: *const fpgamem_buffer_t,
    /// Its first byte.
    pub offset: usize,
    /// How many.
    pub bytes: usize,
}

/// Makes what the CPU wrote to `count` ranges visible to the device, each as fpgamem_sync_for_device(),
/// and waits once for the caches of all of them. A buffer may be there more than once.
///
/// Fails as fpgamem_sync_for_device(); where a range is wrong, nothing was done.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_sync_ranges_for_device(
    ranges: *const fpgamem_range_t,
    count: usize,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        // SAFETY: C passes an array, which nobody writes during this call.
        let ranges = unsafe { pointer::array(ranges, count) }?;
        with_ranges(ranges, |ranges| ranges.sync_for_device())
    })
}

/// Makes what the device wrote to `count` ranges visible to the CPU, each as fpgamem_sync_for_cpu().
/// Otherwise as fpgamem_sync_ranges_for_device().
#[no_mangle]
pub unsafe extern "C" fn fpgamem_sync_ranges_for_cpu(
    ranges: *const fpgamem_range_t,
    count: usize,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        // SAFETY: C passes an array, which nobody writes during this call.
        let ranges = unsafe { pointer::array(ranges, count) }?;
        with_ranges(ranges, |ranges| ranges.sync_for_cpu())
    })
}

/// Does something with the ranges, while nobody changes the owner of a buffer.
fn with_ranges(
    ranges: &[fpgamem_range_t],
    sync: impl FnOnce(&Ranges<'_>) -> fpgamem::Result<()>,
) -> Result<(), Failure> {
    // By address, so that two calls at once lock in the same order.
    let mut buffers: BTreeMap<usize, (&fpgamem_buffer_t, Vec<Range<usize>>)> = BTreeMap::new();
    for part in ranges {
        // SAFETY: C passes handles that live during the call, or null.
        let buffer = unsafe { pointer::reference(part.buffer) }?;
        let range = range(buffer, part.offset, part.bytes)?;
        let entry = buffers.entry(part.buffer as usize);
        entry.or_insert((buffer, Vec::new())).1.push(range);
    }
    let owners = buffers
        .into_values()
        .map(|(buffer, ranges)| Ok((buffer.lock()?, ranges)));
    let mut owners: Vec<_> = owners.collect::<Result<_, Failure>>()?;
    let mut all = Ranges::new();
    for (owner, ranges) in &mut owners {
        match &mut **owner {
            Owner::Cpu(buffer) => all.add(buffer, ranges.iter().cloned())?,
            Owner::Device(buffer) => {
                for range in ranges {
                    all.add_device_owned(buffer, range.clone())?;
                }
            }
            Owner::Lost => return Err(Failure::lost()),
        }
    }
    Ok(sync(&all)?)
}

/// The owners of the buffers in their order, each of which is there once.
pub(crate) fn lock_all<'a>(
    buffers: &[&'a fpgamem_buffer_t],
) -> Result<Vec<MutexGuard<'a, Owner>>, Failure> {
    let mut order: Vec<(usize, &fpgamem_buffer_t)> = buffers.iter().copied().enumerate().collect();
    // By address, so that two calls at once lock in the same order.
    order.sort_by_key(|(_, buffer)| *buffer as *const fpgamem_buffer_t);
    if order.windows(2).any(|two| std::ptr::eq(two[0].1, two[1].1)) {
        return Err(Failure::argument("a buffer is there twice".to_owned()));
    }
    let locked = order
        .into_iter()
        .map(|(place, buffer)| Ok((place, buffer.lock()?)));
    let mut locked: Vec<_> = locked.collect::<Result<_, Failure>>()?;
    locked.sort_by_key(|(place, _)| *place);
    Ok(locked.into_iter().map(|(_, owner)| owner).collect())
}

/// Takes all buffers out, or, where one is not as `kind` wants it, none: `None`.
fn take_all<B>(
    owners: &mut [MutexGuard<'_, Owner>],
    kind: impl Fn(Owner) -> Result<B, Owner>,
) -> Result<Option<Vec<B>>, Failure>
where
    B: Into<Owner>,
{
    let mut taken = Vec::new();
    for owner in owners.iter_mut() {
        match kind(mem::replace(&mut **owner, Owner::Lost)) {
            Ok(buffer) => taken.push(buffer),
            Err(other) => {
                let lost = matches!(other, Owner::Lost);
                **owner = other;
                give_back(owners, taken, B::into);
                return if lost { Err(Failure::lost()) } else { Ok(None) };
            }
        }
    }
    Ok(Some(taken))
}

/// Puts the buffers back into the first of the places.
fn give_back<B>(
    owners: &mut [MutexGuard<'_, Owner>],
    buffers: Vec<B>,
    owner_of: impl Fn(B) -> Owner,
) {
    for (owner, buffer) in owners.iter_mut().zip(buffers) {
        **owner = owner_of(buffer);
    }
}
