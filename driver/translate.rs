// SPDX-License-Identifier: GPL-2.0

//! User addresses to buffers and physical addresses, and back.
//!
//! Only mappings of the calling process count, whichever open file made them, and only those of the
//! pool that is asked.

use crate::{
    buffer::Buffer,
    kapi::{
        uaccess,
        vma::{self, Mapping},
    },
    pool::Pool,
    shared::abi,
    state::Home,
};
use core::{mem::MaybeUninit, ptr};
use kernel::{
    mm::{MmWithUser, MmapReadGuard},
    prelude::*,
    sync::{Arc, ArcBorrow},
};

/// Names the address space of the caller; only to be compared.
pub(crate) fn address_space() -> Option<usize> {
    let mm = current!().mm()?.as_raw();
    Some(mm as usize)
}

/// An address in a mapping of a pool.
struct Place<'a> {
    buffer: ArcBorrow<'a, Buffer>,
    phys_addr: u64,
    /// Bytes from there to the end of the VMA.
    bytes: u64,
}

/// What `address` in `mapping` refers to.
fn place_in<'a>(pool: &Pool, mapping: &Mapping<'a, Buffer>, address: usize) -> Option<Place<'a>> {
    let buffer = mapping.object();
    if !ptr::eq::<Pool>(&**buffer.pool(), pool) || address >= mapping.end() {
        return None;
    }
    // CAST: usize is 64 bits on arm64.
    let past = address.checked_sub(mapping.start())? as u64;
    let phys_addr = pool
        .phys_addr_at(mapping.offset().checked_add(past)?)
        .ok()?;
    Some(Place {
        buffer,
        phys_addr,
        bytes: (mapping.end() - address) as u64,
    })
}

/// What `address` of the caller refers to.
fn place_at<'a>(pool: &Pool, guard: &'a MmapReadGuard<'_>, address: usize) -> Option<Place<'a>> {
    place_in(pool, &vma::at(guard, address)?, address)
}

impl Place<'_> {
    /// Bytes from there to the end of the buffer: more cannot be mapped without a gap.
    fn rest(&self) -> u64 {
        let past = self.phys_addr.saturating_sub(self.buffer.phys_addr());
        self.buffer.bytes().saturating_sub(past)
    }
}

/// Bytes from `address` on that one buffer maps without a gap, across VMAs; counting stops once
/// there are `enough`.
// Inlined for the usual case, in which one VMA is enough.
#[inline(always)]
fn contiguous(
    pool: &Pool,
    guard: &MmapReadGuard<'_>,
    address: usize,
    first: &Place<'_>,
    enough: u64,
) -> u64 {
    if first.bytes >= enough {
        return first.bytes;
    }
    contiguous_vmas(pool, guard, address, first, enough)
}

/// [`contiguous`] if one VMA is not enough.
#[cold]
fn contiguous_vmas(
    pool: &Pool,
    guard: &MmapReadGuard<'_>,
    address: usize,
    first: &Place<'_>,
    enough: u64,
) -> u64 {
    let mut bytes = first.bytes;
    while bytes < enough {
        let next = usize::try_from(bytes)
            .ok()
            .and_then(|bytes| address.checked_add(bytes))
            .and_then(|next| place_at(pool, guard, next));
        match next {
            Some(next)
                if ptr::eq::<Buffer>(&*next.buffer, &*first.buffer)
                    && next.phys_addr.checked_sub(bytes) == Some(first.phys_addr) =>
            {
                bytes = bytes.saturating_add(next.bytes);
            }
            _ => break,
        }
    }
    bytes
}

/// Tells `look` the buffer that maps all of `len` bytes from `address` on, and the offset of `address` in it. The
/// mmap lock keeps the buffer meanwhile.
///
/// # Errors
///
/// `EFAULT` if no one buffer of this pool does, and those of `look`.
// Inlined: a call would be felt in each short sync.
#[inline(always)]
pub(crate) fn look_behind<R>(
    pool: &Pool,
    address: usize,
    len: u64,
    look: impl FnOnce(ArcBorrow<'_, Buffer>, u64) -> Result<R>,
) -> Result<R> {
    let task = current!();
    let guard = task.mm().ok_or(EFAULT)?.mmap_read_lock();
    let place = place_at(pool, &guard, address).ok_or(EFAULT)?;
    if contiguous(pool, &guard, address, &place, len) < len {
        return Err(EFAULT);
    }
    let offset = place
        .phys_addr
        .checked_sub(place.buffer.phys_addr())
        .ok_or(EFAULT)?;
    look(place.buffer, offset)
}

/// The buffer that maps all of `len` bytes from `address` on, with a reference, and the offset of
/// `address` in it.
///
/// # Errors
///
/// `EFAULT` if no one buffer of this pool does.
pub(crate) fn buffer_behind(pool: &Pool, address: usize, len: u64) -> Result<(Arc<Buffer>, u64)> {
    look_behind(pool, address, len, |buffer, offset| {
        Ok((buffer.into(), offset))
    })
}

/// The buffer behind `address`, with a reference, the offset of `address` in it, and the bytes from
/// there on that it maps without a gap.
///
/// # Errors
///
/// `EFAULT` if no buffer of this pool is there.
pub(crate) fn span_behind(pool: &Pool, address: usize) -> Result<(Arc<Buffer>, u64, u64)> {
    let task = current!();
    let guard = task.mm().ok_or(EFAULT)?.mmap_read_lock();
    let place = place_at(pool, &guard, address).ok_or(EFAULT)?;
    let bytes = contiguous(pool, &guard, address, &place, place.rest());
    let offset = place
        .phys_addr
        .checked_sub(place.buffer.phys_addr())
        .ok_or(EFAULT)?;
    Ok((place.buffer.into(), offset, bytes))
}

/// USER_TO_PHYS: translates an address of the caller.
pub(crate) fn user_to_phys(pool: &Pool, arg: usize) -> Result {
    let mut room = MaybeUninit::uninit();
    let request: &mut abi::UserToPhys = uaccess::read(arg, &mut room)?;
    if request.reserved != 0 {
        return Err(EINVAL);
    }
    let address = usize::try_from(request.user_addr).map_err(|_| EFAULT)?;
    {
        let task = current!();
        let guard = task.mm().ok_or(EFAULT)?.mmap_read_lock();
        let place = place_at(pool, &guard, address).ok_or(EFAULT)?;
        request.contiguous_bytes = contiguous(pool, &guard, address, &place, place.rest());
        request.phys_addr = place.phys_addr;
        // Physical and device addresses differ by the same offset all over a buffer.
        request.device_addr = place
            .buffer
            .device_addr()
            .wrapping_add(place.phys_addr.wrapping_sub(place.buffer.phys_addr()));
        request.flags = place.buffer.flags();
        request.status_slot = place.buffer.status_slot();
    }
    uaccess::write(arg, request)
}

/// PHYS_TO_USER: finds the lowest address of the caller that maps a physical address.
pub(crate) fn phys_to_user(pool: &Pool, arg: usize) -> Result {
    let mut room = MaybeUninit::uninit();
    let request: &mut abi::PhysToUser = uaccess::read(arg, &mut room)?;
    if request.reserved != 0 {
        return Err(EINVAL);
    }
    {
        let task = current!();
        let mm = task.mm().ok_or(EFAULT)?;
        let guard = mm.mmap_read_lock();
        let address = user_addr_of(pool, mm, &guard, request.phys_addr)?;
        let place = place_at(pool, &guard, address).ok_or(EFAULT)?;
        // CAST: usize is 64 bits on arm64.
        request.user_addr = address as u64;
        request.contiguous_bytes = contiguous(pool, &guard, address, &place, place.rest());
    }
    uaccess::write(arg, request)
}

/// The lowest address of the caller that maps a physical address, and the bytes from there on that
/// one buffer maps without a gap.
///
/// # Errors
///
/// `EFAULT` if there is none.
pub(crate) fn user_range_of(pool: &Pool, phys_addr: u64) -> Result<(usize, u64)> {
    let task = current!();
    let mm = task.mm().ok_or(EFAULT)?;
    let guard = mm.mmap_read_lock();
    let address = user_addr_of(pool, mm, &guard, phys_addr)?;
    let place = place_at(pool, &guard, address).ok_or(EFAULT)?;
    let bytes = contiguous(pool, &guard, address, &place, place.rest());
    Ok((address, bytes))
}

/// The lowest address in `mm` that maps a physical address.
fn user_addr_of(
    pool: &Pool,
    mm: &MmWithUser,
    guard: &MmapReadGuard<'_>,
    phys_addr: u64,
) -> Result<usize> {
    let record = pool.record_at(phys_addr).ok_or(EFAULT)?;
    // With one VMA in all there is no lower one, and where it was made is the place to look.
    let home = record
        .home
        .filter(|home| record.vmas == 1 && home.mm == mm.as_raw() as usize);
    home.and_then(|home| address_near(pool, guard, home, phys_addr))
        .or_else(|| {
            vma::from(mm, guard, 0).find_map(|mapping| address_in(pool, &mapping, phys_addr))
        })
        .ok_or(EFAULT)
}

/// A part of a range that one VMA of a buffer covers.
pub(crate) struct Piece {
    /// The buffer, held.
    pub(crate) buffer: Arc<Buffer>,
    /// Where in the buffer the part begins.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) len: u64,
    /// The user address after the part.
    pub(crate) end: usize,
}

/// The lowest part of the user addresses from `start` to `end` that is in a buffer of `pool`.
pub(crate) fn next_piece(pool: &Pool, start: usize, end: usize) -> Option<Piece> {
    let task = current!();
    let mm = task.mm()?;
    let guard = mm.mmap_read_lock();
    let (first, place) = vma::from(mm, &guard, start)
        .take_while(|mapping| mapping.start() < end)
        .find_map(|mapping| {
            let first = start.max(mapping.start());
            Some((first, place_in(pool, &mapping, first)?))
        })?;
    if first >= end {
        return None;
    }
    // CAST: usize is 64 bits on arm64.
    let len = place.bytes.min((end - first) as u64);
    Some(Piece {
        offset: place.phys_addr.checked_sub(place.buffer.phys_addr())?,
        buffer: place.buffer.into(),
        len,
        end: first.checked_add(usize::try_from(len).ok()?)?,
    })
}

/// The address at which `mapping` maps `phys_addr`.
fn address_in(pool: &Pool, mapping: &Mapping<'_, Buffer>, phys_addr: u64) -> Option<usize> {
    let first = place_in(pool, mapping, mapping.start())?;
    let past = phys_addr.checked_sub(first.phys_addr)?;
    if past >= first.bytes {
        return None;
    }
    mapping.start().checked_add(usize::try_from(past).ok()?)
}

/// The same for the mapping that was made at `home`, if it is still there.
fn address_near(
    pool: &Pool,
    guard: &MmapReadGuard<'_>,
    home: Home,
    phys_addr: u64,
) -> Option<usize> {
    address_in(pool, &vma::at(guard, home.user_addr)?, phys_addr)
}
