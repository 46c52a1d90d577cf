// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parts of one buffer, each with a handle and an owner of its own.

use crate::buffer::{fpgamem_buffer_t, Owner};
use crate::error::{fpgamem_error_t, Failure};
use crate::guard::{self, required};
use crate::many::lock_all;
use crate::pointer;
use fpgamem::{Buffer, HandOverError};
use std::ffi::c_int;
use std::mem::{self, MaybeUninit};

/// Splits a buffer that the CPU owns in two. `buffer` keeps its first `mid` bytes; *rest is a new handle
/// of those from there on, for fpgamem_free(). `mid` is a multiple of fpgamem_info_t.line_bytes above 0
/// and below the length.
///
/// Each part can be handed over while the CPU has the other: no cache line has bytes of both. What
/// fpgamem_data() gave stays where it was. The blocks are free when all parts are; while the device owns
/// a part that was freed, nobody gets any of them.
///
/// Fails with FPGAMEM_E_SPLIT, FPGAMEM_E_BUSY if the device owns the buffer, FPGAMEM_E_ARGUMENT,
/// FPGAMEM_E_FORKED; then the buffer is what it was.
#[no_mangle]
pub extern "C" fn fpgamem_split(
    buffer: Option<&fpgamem_buffer_t>,
    mid: usize,
    rest: Option<&mut MaybeUninit<Option<Box<fpgamem_buffer_t>>>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let handle = required(buffer, "the buffer")?;
        guard::put(rest, || {
            let mut owner = handle.lock()?;
            match the_cpus(&mut owner)?.split_at(mid) {
                Ok((low, high)) => {
                    handle.resize(&mut owner, low);
                    Ok(fpgamem_buffer_t::new(high))
                }
                Err(HandOverError { error, buffer }) => {
                    *owner = Owner::Cpu(buffer);
                    Err(error.into())
                }
            }
        })
    })
}

/// Joins a buffer with the part that follows it: the reverse of fpgamem_split(). `buffer` has the bytes of
/// both then, and the handle `next` is freed.
///
/// Fails with FPGAMEM_E_NOT_ADJACENT if `next` does not begin, in the same allocation, where `buffer`
/// ends, with FPGAMEM_E_BUSY if the device owns one of them, FPGAMEM_E_ARGUMENT, FPGAMEM_E_FORKED; then
/// both are what they were.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_join(
    buffer: Option<&fpgamem_buffer_t>,
    next: *mut fpgamem_buffer_t,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let handle = required(buffer, "the buffer")?;
        // SAFETY: C passes null or a handle that lives during the call.
        join(handle, unsafe { pointer::reference(next.cast_const()) }?)?;
        // SAFETY: The handle was made from a box; C's caller gives it up to a call that succeeds.
        drop(unsafe { Box::from_raw(next) });
        Ok(())
    })
}

/// Puts the bytes of both behind the first handle. The second has lost its own.
fn join(handle: &fpgamem_buffer_t, next: &fpgamem_buffer_t) -> Result<(), Failure> {
    let mut owners = lock_all(&[handle, next])?;
    let [owner, next] = &mut owners[..] else {
        return Err(Failure::lost());
    };
    let low = the_cpus(owner)?;
    let high = match the_cpus(next) {
        Ok(high) => high,
        Err(failure) => {
            **owner = Owner::Cpu(low);
            return Err(failure);
        }
    };
    match low.join(high) {
        Ok(whole) => handle.resize(owner, whole),
        Err(HandOverError { error, buffer }) => {
            (**owner, **next) = (Owner::Cpu(buffer.0), Owner::Cpu(buffer.1));
            return Err(error.into());
        }
    }
    Ok(())
}

/// Takes the buffer out, if it is the CPU's.
fn the_cpus(owner: &mut Owner) -> Result<Buffer, Failure> {
    match mem::replace(owner, Owner::Lost) {
        Owner::Cpu(buffer) => Ok(buffer),
        Owner::Device(buffer) => {
            *owner = Owner::Device(buffer);
            Err(Failure::busy(
                "the device owns the buffer; take it back before it is split or joined",
            ))
        }
        Owner::Lost => Err(Failure::lost()),
    }
}
