// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parts of buffers: their addresses, their caches, and copies of them.

use crate::buffer::{fpgamem_buffer_t, Owner};
use crate::error::{fpgamem_error_t, Failure};
use crate::guard::{self, required};
use crate::pointer;
use fpgamem::Error;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Address of the byte at `offset` as the FPGA uses it. It takes no system call.
///
/// Fails with FPGAMEM_E_RANGE if there is no such byte, FPGAMEM_E_FORKED.
#[no_mangle]
pub extern "C" fn fpgamem_device_addr_of(
    buffer: Option<&fpgamem_buffer_t>,
    offset: usize,
    device_addr: Option<&mut MaybeUninit<u64>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let buffer = required(buffer, "the buffer")?;
        let device_addr = required(device_addr, "the place for the answer")?;
        // The region is inside the address space.
        device_addr.write(
            buffer
                .device_addr()
                .wrapping_add(buffer.check_offset(offset)?),
        );
        Ok(())
    })
}

/// Physical address of the byte at `offset`. Otherwise as fpgamem_device_addr_of().
#[no_mangle]
pub extern "C" fn fpgamem_phys_addr_of(
    buffer: Option<&fpgamem_buffer_t>,
    offset: usize,
    phys_addr: Option<&mut MaybeUninit<u64>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let buffer = required(buffer, "the buffer")?;
        let phys_addr = required(phys_addr, "the place for the answer")?;
        phys_addr.write(
            buffer
                .phys_addr()
                .wrapping_add(buffer.check_offset(offset)?),
        );
        Ok(())
    })
}

/// Offset of the byte that the FPGA calls by an address. It takes no system call.
///
/// Fails with FPGAMEM_E_NOT_FOUND if it is not one of the buffer's, FPGAMEM_E_FORKED.
#[no_mangle]
pub extern "C" fn fpgamem_offset_of(
    buffer: Option<&fpgamem_buffer_t>,
    device_addr: u64,
    offset: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let buffer = required(buffer, "the buffer")?;
        let offset = required(offset, "the place for the answer")?;
        buffer.check_fork()?;
        let found = device_addr.checked_sub(buffer.device_addr());
        let found = found.and_then(|found| usize::try_from(found).ok());
        let found = found.filter(|found| *found < buffer.size());
        offset.write(found.ok_or_else(|| Failure::not_found(device_addr))?);
        Ok(())
    })
}

/// Makes what the CPU wrote to a range of bytes visible to the device: cleans its cache lines. For parts
/// of buffers whose owner stays who it is. An empty range is nothing to do. On aarch64 it is no system
/// call.
///
/// Fails with FPGAMEM_E_RANGE (nothing was done), FPGAMEM_E_UNBOUND, FPGAMEM_E_FORKED.
#[no_mangle]
pub extern "C" fn fpgamem_sync_for_device(
    buffer: Option<&fpgamem_buffer_t>,
    offset: usize,
    bytes: usize,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let buffer = required(buffer, "the buffer")?;
        let range = range(buffer, offset, bytes)?;
        match &*buffer.lock()? {
            Owner::Cpu(buffer) => Ok(buffer.sync_for_device(range)?),
            Owner::Device(buffer) => Ok(buffer.sync_for_device(range)?),
            Owner::Lost => Err(Failure::lost()),
        }
    })
}

/// Makes what the device wrote to a range of bytes visible to the CPU: cleans and invalidates its cache
/// lines, so what the CPU wrote is never discarded. Otherwise as fpgamem_sync_for_device().
#[no_mangle]
pub extern "C" fn fpgamem_sync_for_cpu(
    buffer: Option<&fpgamem_buffer_t>,
    offset: usize,
    bytes: usize,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let buffer = required(buffer, "the buffer")?;
        let range = range(buffer, offset, bytes)?;
        match &mut *buffer.lock()? {
            Owner::Cpu(buffer) => Ok(buffer.sync_for_cpu(range)?),
            Owner::Device(buffer) => Ok(buffer.sync_for_cpu(range)?),
            Owner::Lost => Err(Failure::lost()),
        }
    })
}

/// Copies `bytes` from `offset` of a buffer on to `to`, whoever owns it, by accesses that may run beside
/// the device's: naturally aligned 1, 2, 4 or 8 bytes are one access.
///
/// It reads what the CPU's caches hold: fpgamem_sync_for_cpu() comes first.
///
/// Fails with FPGAMEM_E_RANGE (nothing was copied), FPGAMEM_E_ARGUMENT, FPGAMEM_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_read(
    buffer: Option<&fpgamem_buffer_t>,
    offset: usize,
    to: *mut c_void,
    bytes: usize,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let buffer = required(buffer, "the buffer")?;
        range(buffer, offset, bytes)?;
        // SAFETY: C passes memory of that length for this call alone.
        let to = unsafe { pointer::array_mut(to.cast::<u8>(), bytes) }?;
        match &mut *buffer.lock()? {
            // SAFETY: The range is inside the buffer, which is mapped while it is locked; it is not
            // the memory that C passes.
            Owner::Cpu(buffer) => unsafe {
                pointer::copy(
                    buffer.as_mut_ptr().wrapping_add(offset),
                    to.as_mut_ptr(),
                    bytes,
                );
            },
            Owner::Device(buffer) => buffer.view().read_at(offset, to)?,
            Owner::Lost => return Err(Failure::lost()),
        }
        Ok(())
    })
}

/// Copies `bytes` from `from` to a buffer from `offset` on, whoever owns it, as fpgamem_read() the other
/// way.
///
/// It writes into the CPU's caches: fpgamem_sync_for_device() comes afterwards, and the device must not
/// write to the same fpgamem_info_t.line_bytes.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_write(
    buffer: Option<&fpgamem_buffer_t>,
    offset: usize,
    from: *const c_void,
    bytes: usize,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let buffer = required(buffer, "the buffer")?;
        range(buffer, offset, bytes)?;
        // SAFETY: C passes memory of that length, which nobody writes during this call.
        let from = unsafe { pointer::array(from.cast::<u8>(), bytes) }?;
        match &mut *buffer.lock()? {
            // SAFETY: As in `fpgamem_read`.
            Owner::Cpu(buffer) => unsafe {
                pointer::copy(
                    from.as_ptr(),
                    buffer.as_mut_ptr().wrapping_add(offset),
                    bytes,
                );
            },
            Owner::Device(buffer) => buffer.view_mut().write_at(offset, from)?,
            Owner::Lost => return Err(Failure::lost()),
        }
        Ok(())
    })
}

/// The range, if it is inside the buffer.
pub(crate) fn range(
    buffer: &fpgamem_buffer_t,
    offset: usize,
    bytes: usize,
) -> Result<Range<usize>, Failure> {
    let len = buffer.size();
    match offset.checked_add(bytes) {
        Some(end) if end <= len => Ok(offset..end),
        end => {
            let (start, end) = (offset, end.unwrap_or(usize::MAX));
            Err(Error::OutOfRange { start, end, len }.into())
        }
    }
}
