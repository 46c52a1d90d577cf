// SPDX-License-Identifier: MIT OR Apache-2.0

//! The FPGA's side: an accelerator model and the memory that it sees.

use super::Emulator;
use crate::addr::{DeviceAddr, PhysAddr};
use crate::error::{Error, Result};
use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// An access of the accelerator to what is no buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the accelerator's access to [{addr}, {addr} + {len} bytes) does not lie in one live buffer"
)]
#[non_exhaustive]
pub struct BusError {
    /// First address.
    pub addr: DeviceAddr,
    /// Length in bytes.
    pub len: usize,
}

/// A model of what the FPGA computes.
///
/// It sees the FPGA's copy of memory by the addresses that a program puts into the FPGA's registers,
/// and nothing else of the program. A closure will do:
///
/// ```
/// use fpgamem::{BusError, Device, Direction, FpgaMemory};
///
/// # fn main() -> Result<(), fpgamem::Error> {
/// let device = Device::emulated().open()?;
/// let mut numbers = device.alloc(4)?;
/// numbers.copy_from_slice(&[1, 2, 3, 4]);
/// let numbers = numbers.into_device(Direction::Bidirectional)?;
///
/// let (first, len) = (numbers.device_addr(), numbers.len());
/// let mut double = |memory: &mut FpgaMemory<'_>| -> Result<(), BusError> {
///     let mut bytes = vec![0; len];
///     memory.read(first, &mut bytes)?;
///     bytes.iter_mut().for_each(|byte| *byte *= 2);
///     memory.write(first, &bytes)
/// };
/// device.emulator().expect("it is emulated").run(&mut double)?;
///
/// // What `unsafe` promises: `run` has returned.
/// let numbers = unsafe { numbers.into_cpu() }?;
/// assert_eq!(numbers[..], [2, 4, 6, 8]);
/// # Ok(())
/// # }
/// ```
pub trait Accelerator {
    /// Does the work of one start.
    ///
    /// # Errors
    ///
    /// [`BusError`] of an access that failed, if that ends the work.
    fn run(&mut self, memory: &mut FpgaMemory<'_>) -> Result<(), BusError>;
}

impl<F: FnMut(&mut FpgaMemory<'_>) -> Result<(), BusError>> Accelerator for F {
    fn run(&mut self, memory: &mut FpgaMemory<'_>) -> Result<(), BusError> {
        self(memory)
    }
}

/// Memory as the FPGA sees it.
#[derive(Debug)]
pub struct FpgaMemory<'a> {
    emulator: &'a Emulator,
}

impl FpgaMemory<'_> {
    /// Reads what memory holds from `addr` on, all of `to`: not what is still in the CPU's caches.
    ///
    /// # Errors
    ///
    /// [`BusError`]: the bytes are not all of one live buffer.
    pub fn read(&mut self, addr: DeviceAddr, to: &mut [u8]) -> Result<(), BusError> {
        let len = to.len();
        self.access(addr, len, |emulator, place| {
            emulator.lock().board.read(place, to)
        })
    }

    /// Writes to memory from `addr` on: the CPU's caches keep what they have.
    ///
    /// # Errors
    ///
    /// [`BusError`]: the bytes are not all of one live buffer; nothing was written.
    pub fn write(&mut self, addr: DeviceAddr, from: &[u8]) -> Result<(), BusError> {
        self.access(addr, from.len(), |emulator, place| {
            emulator.lock().board.write(place, from)
        })
    }

    fn access(
        &self,
        addr: DeviceAddr,
        len: usize,
        access: impl FnOnce(&Emulator, usize) -> bool,
    ) -> Result<(), BusError> {
        let base = PhysAddr::new(self.emulator.options.phys_addr);
        // Device addresses are physical addresses here.
        let place = PhysAddr::new(addr.as_u64()).checked_offset_from(base);
        let place = place.and_then(|place| usize::try_from(place).ok());
        match place {
            Some(place) if access(self.emulator, place) => Ok(()),
            _ => Err(BusError { addr, len }),
        }
    }
}

impl Emulator {
    /// Starts an accelerator and waits until it is done.
    ///
    /// # Errors
    ///
    /// * [`Error::Bus`]: the model gave up because of an access that failed.
    /// * [`Error::AcceleratorPanicked`]: the model panicked. What it wrote before stays written.
    pub fn run(&self, accelerator: &mut (impl Accelerator + ?Sized)) -> Result<()> {
        self.check_fork()?;
        self.lock().board.disturb_all();
        let mut memory = FpgaMemory { emulator: self };
        // What a model that panicked leaves behind is the caller's own, who is told.
        let done = catch_unwind(AssertUnwindSafe(|| accelerator.run(&mut memory)));
        self.lock().board.disturb_all();
        match done {
            Ok(done) => done.map_err(|BusError { addr, len }| Error::Bus {
                addr: addr.as_u64(),
                len,
            }),
            Err(panic) => Err(Error::AcceleratorPanicked {
                message: message_of(&*panic),
            }),
        }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("something that is no text").to_owned()
}
