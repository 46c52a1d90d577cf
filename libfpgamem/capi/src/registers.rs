// SPDX-License-Identifier: MIT OR Apache-2.0

//! Registers of an accelerator, and its interrupt.

use crate::device::fpgamem_device_t;
use crate::emulated::check_status;
use crate::error::{fpgamem_error_t, Failure};
use crate::guard::{self, required};
use crate::model::{fpgamem_register_model_t, Answer, Model};
use crate::pointer;
use fpgamem::mmio::{self, Registers};
use fpgamem::{DeviceAddr, Process};
use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// A window of registers, and the interrupt of their device. Offsets are in bytes from the first register.
///
/// A write to a register comes after everything that the program did before it, as the device sees it: the
/// stores to buffers, and the cache maintenance of fpgamem_hand_over(). A read comes before everything
/// that follows. So a device that is started by a write finds what was handed over.
///
/// Every call may be made from any thread, also at the same time; fpgamem_registers_close() is the last
/// one. A thread that waits for the interrupt keeps no other from the registers.
///
/// In a child of fork no call reaches the registers of its parent: it fails with FPGAMEM_E_FORKED, or, if
/// it cannot fail, does nothing.
#[derive(Debug)]
pub struct fpgamem_registers_t {
    /// Read without the lock: a child of fork may have inherited it locked.
    process: Process,
    bytes: usize,
    registers: Mutex<Registers>,
    /// The same device, opened for itself, so that a wait leaves the registers unlocked. A model's
    /// interrupt has come when a write returns, and is never waited for.
    interrupt: Option<Mutex<Registers>>,
    /// What a model in C has answered.
    answer: Answer,
}

impl fpgamem_registers_t {
    fn new(registers: Registers, interrupt: Option<Registers>, answer: Answer) -> Self {
        Self {
            process: Process::current(),
            bytes: registers.len(),
            registers: Mutex::new(registers),
            interrupt: interrupt.map(Mutex::new),
            answer,
        }
    }

    /// Registers of a device that can be opened again.
    fn of_board(open: impl Fn() -> mmio::Result<Registers>) -> Result<Self, Failure> {
        Ok(Self::new(open()?, Some(open()?), Answer::default()))
    }

    fn is_ours(&self) -> bool {
        self.process == Process::current()
    }

    fn lock(&self) -> Result<MutexGuard<'_, Registers>, Failure> {
        if !self.is_ours() {
            return Err(Failure::forked());
        }
        let locked = self.registers.lock();
        Ok(locked.unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes to registers, which may start a model.
    fn write(&self, write: impl FnOnce(&mut Registers) -> mmio::Result<()>) -> Result<(), Failure> {
        let mut registers = self.lock()?;
        self.answer.clear();
        write(&mut registers)?;
        check_status(self.answer.get())
    }
}

/// Maps the `index`-th register window, counted from 0, of the UIO device with the name `name`: its node
/// of the device tree is compatible to generic-uio and has the name as linux,uio-name. *registers is a new
/// handle, for fpgamem_registers_close().
///
/// UNSAFE: the caller promises that the device, as it is told by these registers, accesses no memory of
/// programs but buffers that it owns: handed over and not taken back. Nothing can check that.
///
/// Fails with FPGAMEM_E_NO_REGISTERS, and FPGAMEM_E_OPEN if the device's node or window cannot be used.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_registers_open_unsafe(
    name: *const c_char,
    index: usize,
    registers: Option<&mut MaybeUninit<Option<Box<fpgamem_registers_t>>>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        // SAFETY: C passes null or a string, which it leaves alone during the call.
        let name = unsafe { pointer::text(name) }?;
        let open = || {
            // SAFETY: C's caller answers for the device.
            unsafe { Registers::open_window(name, index) }
        };
        guard::put(registers, || fpgamem_registers_t::of_board(open))
    })
}

/// Maps a register window of the UIO device whose node is at `path`, like /dev/uio0: for devices that share
/// a name.
///
/// UNSAFE: as fpgamem_registers_open_unsafe(). Fails with FPGAMEM_E_NOT_A_NODE, FPGAMEM_E_OPEN.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_registers_open_node_unsafe(
    path: *const c_char,
    index: usize,
    registers: Option<&mut MaybeUninit<Option<Box<fpgamem_registers_t>>>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        // SAFETY: C passes null or a string, which it leaves alone during the call.
        let path = unsafe { pointer::path(path) }?;
        let open = || {
            // SAFETY: C's caller answers for the device.
            unsafe { Registers::open_node(path, index) }
        };
        guard::put(registers, || fpgamem_registers_t::of_board(open))
    })
}

/// Makes registers of a model, on an emulated device, which is copied. A write that starts the model
/// returns when it is done. *registers is a new handle, for fpgamem_registers_close().
///
/// Fails with FPGAMEM_E_NOT_EMULATED, FPGAMEM_E_ARGUMENT.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_registers_emulated(
    device: Option<&fpgamem_device_t>,
    model: Option<&fpgamem_register_model_t>,
    registers: Option<&mut MaybeUninit<Option<Box<fpgamem_registers_t>>>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let device = &required(device, "the device")?.device;
        let answer = Answer::default();
        // SAFETY: C passes functions that may be called with their context while the handle lives.
        let model = unsafe { Model::new(required(model, "the model")?, &answer) }?;
        guard::put(registers, || {
            let registers = Registers::emulated(device, model)?;
            Ok(fpgamem_registers_t::new(registers, None, answer))
        })
    })
}

/// Unmaps registers. Null is nothing to do, and so are the registers of a parent in a child of fork.
#[no_mangle]
pub extern "C" fn fpgamem_registers_close(registers: Option<Box<fpgamem_registers_t>>) {
    guard::or((), || {
        let registers = registers?;
        // Another thread of the parent may have been using them.
        if !registers.is_ours() {
            std::mem::forget(registers);
        }
        Some(())
    })
}

/// Bytes of the window. 0 for null.
#[no_mangle]
pub extern "C" fn fpgamem_registers_size(registers: Option<&fpgamem_registers_t>) -> usize {
    guard::or(0, || Some(registers?.bytes))
}

/// Reads a register of 32 bits, in one access. `offset` is a multiple of 4.
///
/// Fails with FPGAMEM_E_REGISTER if there is no such register, FPGAMEM_E_FORKED.
#[no_mangle]
pub extern "C" fn fpgamem_registers_read32(
    registers: Option<&fpgamem_registers_t>,
    offset: usize,
    value: Option<&mut MaybeUninit<u32>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let registers = required(registers, "the handle of registers")?.lock()?;
        let value = required(value, "the place for the answer")?;
        value.write(registers.read32(offset)?);
        Ok(())
    })
}

/// Writes a register of 32 bits, in one access. `offset` is a multiple of 4.
///
/// Fails with FPGAMEM_E_REGISTER if there is no such register, FPGAMEM_E_FORKED; where the write has
/// started a model, as fpgamem_emulated_run().
#[no_mangle]
pub extern "C" fn fpgamem_registers_write32(
    registers: Option<&fpgamem_registers_t>,
    offset: usize,
    value: u32,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let registers = required(registers, "the handle of registers")?;
        registers.write(|registers| registers.write32(offset, value))
    })
}

/// Reads a register of 64 bits, in one access on a board: many devices have registers of 32 bits only, and
/// answer that wrongly or not at all. A model sees two of 32 bits, the lower word first. `offset` is a
/// multiple of 8. Otherwise as fpgamem_registers_read32().
#[no_mangle]
pub extern "C" fn fpgamem_registers_read64(
    registers: Option<&fpgamem_registers_t>,
    offset: usize,
    value: Option<&mut MaybeUninit<u64>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let registers = required(registers, "the handle of registers")?.lock()?;
        let value = required(value, "the place for the answer")?;
        value.write(registers.read64(offset)?);
        Ok(())
    })
}

/// Writes a register of 64 bits, in one access on a board, as fpgamem_registers_read64() reads it.
/// Otherwise as fpgamem_registers_write32().
#[no_mangle]
pub extern "C" fn fpgamem_registers_write64(
    registers: Option<&fpgamem_registers_t>,
    offset: usize,
    value: u64,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let registers = required(registers, "the handle of registers")?;
        registers.write(|registers| registers.write64(offset, value))
    })
}

/// Writes a device address to two registers of 32 bits, the lower word first, as kernels of Vitis HLS have
/// them for their pointers. Fails as fpgamem_registers_write32(); where one of both is no register, neither
/// is written.
#[no_mangle]
pub extern "C" fn fpgamem_registers_write_addr(
    registers: Option<&fpgamem_registers_t>,
    offset: usize,
    device_addr: u64,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let registers = required(registers, "the handle of registers")?;
        let addr = DeviceAddr::new(device_addr);
        registers.write(|registers| registers.write_addr(offset, addr))
    })
}

/// Reads a register of 32 bits until (its value & mask) == wanted, for at most `timeout_ms` milliseconds.
/// *value is the last one read; it may be null. For waits that are shorter than an interrupt takes: the
/// processor does nothing else meanwhile. Other threads may use the registers.
///
/// Fails as fpgamem_registers_read32(), and with FPGAMEM_E_TIMEOUT.
#[no_mangle]
pub extern "C" fn fpgamem_registers_poll32(
    registers: Option<&fpgamem_registers_t>,
    offset: usize,
    mask: u32,
    wanted: u32,
    timeout_ms: u32,
    value: Option<&mut MaybeUninit<u32>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let registers = required(registers, "the handle of registers")?;
        let (start, limit) = (Instant::now(), milliseconds(timeout_ms));
        loop {
            // The time is taken first, so that a program that was not scheduled for long looks once more.
            let late = start.elapsed() >= limit;
            let found = registers.lock()?.read32(offset)?;
            if found & mask == wanted {
                if let Some(value) = value {
                    value.write(found);
                }
                return Ok(());
            }
            if late {
                return Err(Failure::timeout(format!(
                    "the register at {offset:#x} is {found:#x} after {timeout_ms} ms, with the bits \
                     {mask:#x} not {wanted:#x}; see whether the device's clock runs and its reset is released"
                )));
            }
            std::hint::spin_loop();
        }
    })
}

/// Lets the next interrupt of the device through, or at once the one that it asks for already. One that
/// came before and was not waited for still ends the next wait.
///
/// Fails with FPGAMEM_E_INTERRUPT, FPGAMEM_E_FORKED.
#[no_mangle]
pub extern "C" fn fpgamem_registers_enable_interrupt(
    registers: Option<&fpgamem_registers_t>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let mut registers = required(registers, "the handle of registers")?.lock()?;
        Ok(registers.enable_interrupt()?)
    })
}

/// Sleeps until an interrupt comes, for at most `timeout_ms` milliseconds; a signal does not end it. After
/// that no other comes through until it is enabled again: first the device is told, by its registers, that
/// it has been heard. A model has done all it will ever do when a write returns, so there is no sleep.
///
/// Fails with FPGAMEM_E_TIMEOUT if none came, FPGAMEM_E_BUSY if another thread waits by this handle,
/// FPGAMEM_E_INTERRUPT, FPGAMEM_E_FORKED.
#[no_mangle]
pub extern "C" fn fpgamem_registers_wait_interrupt(
    registers: Option<&fpgamem_registers_t>,
    timeout_ms: u32,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let registers = required(registers, "the handle of registers")?;
        let limit = milliseconds(timeout_ms);
        let came = match &registers.interrupt {
            _ if !registers.is_ours() => return Err(Failure::forked()),
            None => registers.lock()?.wait_interrupt(limit)?,
            Some(interrupt) => match interrupt.try_lock() {
                Ok(mut interrupt) => interrupt.wait_interrupt(limit)?,
                Err(TryLockError::Poisoned(lock)) => lock.into_inner().wait_interrupt(limit)?,
                Err(TryLockError::WouldBlock) => {
                    return Err(Failure::busy("another thread waits for this interrupt"))
                }
            },
        };
        if came {
            return Ok(());
        }
        Err(Failure::timeout(format!(
            "no interrupt came in {timeout_ms} ms; see whether it was enabled before the device was \
             started, here and in the device's registers, and whether the device's clock runs"
        )))
    })
}

fn milliseconds(timeout_ms: u32) -> Duration {
    Duration::from_millis(timeout_ms.into())
}
