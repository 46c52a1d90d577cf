// SPDX-License-Identifier: MIT OR Apache-2.0

//! Changes of owner.

use crate::buffer::{fpgamem_buffer_t, Owner};
use crate::error::{fpgamem_error_t, Failure};
use crate::guard::{self, required};
use fpgamem::{Direction, HandOverError};
use std::ffi::c_int;
use std::mem::{self, MaybeUninit};

/// The CPU wrote, the device reads. Before it runs, the caches are cleaned.
pub const FPGAMEM_TO_DEVICE: u32 = 0;
/// The device writes, the CPU will read. Before and after, the caches are cleaned and invalidated.
pub const FPGAMEM_FROM_DEVICE: u32 = 1;
/// The CPU wrote, the device reads and writes, the CPU will read. As FPGAMEM_FROM_DEVICE.
pub const FPGAMEM_BIDIRECTIONAL: u32 = 2;

pub(crate) fn already_the_devices() -> Failure {
    Failure::busy("the device owns the buffer already")
}

pub(crate) fn already_the_cpus() -> Failure {
    Failure::busy("the CPU owns the buffer already")
}

pub(crate) fn checked(direction: u32) -> Result<Direction, Failure> {
    match direction {
        FPGAMEM_TO_DEVICE => Ok(Direction::ToDevice),
        FPGAMEM_FROM_DEVICE => Ok(Direction::FromDevice),
        FPGAMEM_BIDIRECTIONAL => Ok(Direction::Bidirectional),
        other => Err(Failure::argument(format!("{other} is no direction"))),
    }
}

/// Says whether the device owns the buffer: whether it was handed over and not taken back. False for
/// null, and in a child of fork.
#[no_mangle]
pub extern "C" fn fpgamem_is_device_owned(buffer: Option<&fpgamem_buffer_t>) -> bool {
    guard::or(false, || {
        let owner = buffer?.lock().ok()?;
        Some(matches!(*owner, Owner::Device(_)))
    })
}

/// Hands a buffer over to the device. `direction` is one of FPGAMEM_TO_DEVICE, FPGAMEM_FROM_DEVICE,
/// FPGAMEM_BIDIRECTIONAL.
///
/// When this has returned 0, all that the CPU wrote is visible to the device, which may be told to
/// start. What fpgamem_data() gave must not be used until the buffer is taken back. On aarch64 it is no
/// system call.
///
/// Fails with FPGAMEM_E_BUSY if the device owns the buffer, FPGAMEM_E_ARGUMENT, FPGAMEM_E_UNBOUND,
/// FPGAMEM_E_FORKED; then the owner is who it was.
#[no_mangle]
pub extern "C" fn fpgamem_hand_over(
    buffer: Option<&fpgamem_buffer_t>,
    direction: u32,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let direction = checked(direction)?;
        let mut owner = required(buffer, "the buffer")?.lock()?;
        let buffer = mem::replace(&mut *owner, Owner::Lost);
        let done;
        (*owner, done) = match buffer {
            Owner::Cpu(buffer) => match buffer.into_device(direction) {
                Ok(buffer) => (Owner::Device(buffer), Ok(())),
                Err(HandOverError { error, buffer }) => (Owner::Cpu(buffer), Err(error.into())),
            },
            Owner::Device(buffer) => (Owner::Device(buffer), Err(already_the_devices())),
            Owner::Lost => (Owner::Lost, Err(Failure::lost())),
        };
        done
    })
}

/// Takes a buffer back from the device, with what the caches need for the direction of its hand-over.
///
/// UNSAFE: the caller promises that no device accesses the memory any more, for instance because the
/// accelerator has reported that it is done. Nothing can check that. On aarch64 it is no system call.
///
/// Fails with FPGAMEM_E_BUSY if the CPU owns the buffer, FPGAMEM_E_UNBOUND, FPGAMEM_E_FORKED; then the
/// owner is who it was.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_take_back_unsafe(
    buffer: Option<&fpgamem_buffer_t>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let mut owner = required(buffer, "the buffer")?.lock()?;
        let buffer = mem::replace(&mut *owner, Owner::Lost);
        let done;
        (*owner, done) = match buffer {
            // SAFETY: C's caller has promised that no device accesses the memory.
            Owner::Device(buffer) => match unsafe { buffer.into_cpu() } {
                Ok(buffer) => (Owner::Cpu(buffer), Ok(())),
                Err(HandOverError { error, buffer }) => (Owner::Device(buffer), Err(error.into())),
            },
            Owner::Cpu(buffer) => (Owner::Cpu(buffer), Err(already_the_cpus())),
            Owner::Lost => (Owner::Lost, Err(Failure::lost())),
        };
        done
    })
}
