// SPDX-License-Identifier: MIT OR Apache-2.0

//! Registers of an accelerator, and its interrupt: buffers alone drive none.
//!
//! On a board the registers are those of a UIO device: a node of the device tree that is compatible
//! to `generic-uio`, with a name (`linux,uio-name`), on a kernel with `uio_pdrv_genirq.of_id=generic-uio`.
//! On an emulated device they are a [`RegisterModel`] that the program has. What uses them is the same
//! code:
//!
//! ```
//! use fpgamem::mmio::{RegisterError, Registers};
//! use fpgamem::DeviceBuffer;
//! use std::time::Duration;
//!
//! /// Starts a kernel as Vitis HLS makes them, and sleeps until it is done.
//! fn run(registers: &mut Registers, input: &DeviceBuffer) -> Result<bool, RegisterError> {
//!     registers.write_addr(0x10, input.device_addr())?;
//!     registers.write32(0x04, 1)?; // let interrupts out
//!     registers.write32(0x08, 1)?; // of the end of a run
//!     registers.enable_interrupt()?;
//!     registers.write32(0x00, 1)?; // start
//!     let came = registers.wait_interrupt(Duration::from_secs(1))?;
//!     registers.write32(0x0c, 1)?; // acknowledge
//!     Ok(came)
//! }
//! ```
//!
//! # Order
//!
//! A write to a register comes after everything that the program did before it, as the device sees it:
//! the stores to buffers, and the cache maintenance of a hand-over. A read of a register comes before
//! everything that follows. So a device that is started by a write finds what was handed over, and what
//! it has written is found once its register says that it is done and the buffer is taken back.
//!
//! # Who answers for the device
//!
//! A device that is told to write where it must not can change any memory. Therefore opening the
//! registers of a board is `unsafe`, once; accesses are not. An emulated device reaches its own copy of
//! memory alone and needs no promise.

mod emulated;
mod error;
mod sysfs;
// The promise about the device, and volatile accesses.
#[allow(unsafe_code)]
mod uio;

pub use emulated::RegisterModel;
pub use error::RegisterError;

use crate::{Device, DeviceAddr};
use emulated::Emulated;
use std::time::Duration;
use uio::Uio;

/// What calls of this module answer.
pub type Result<T, E = RegisterError> = std::result::Result<T, E>;

/// A window of registers, and the interrupt of their device.
///
/// Offsets are in bytes from the first register.
#[derive(Debug)]
pub struct Registers {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Uio(Uio),
    Emulated(Emulated),
}

impl Registers {
    /// Registers of a model, which accesses the memory that the FPGA of an emulated device sees.
    ///
    /// # Errors
    ///
    /// [`RegisterError::NotEmulated`]: the device is one of a board.
    pub fn emulated(device: &Device, model: impl RegisterModel + 'static) -> Result<Self> {
        Ok(Self {
            source: Source::Emulated(Emulated::new(device, Box::new(model))?),
        })
    }

    /// Bytes of the window.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Uio(uio) => uio.len(),
            Source::Emulated(emulated) => emulated.len(),
        }
    }

    /// Whether there is no register.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads 32 bits, in one access.
    ///
    /// # Errors
    ///
    /// [`RegisterError::Outside`]: the offset is no multiple of 4, or the register is not in the window.
    pub fn read32(&self, offset: usize) -> Result<u32> {
        self.check(offset, 4)?;
        Ok(match &self.source {
            Source::Uio(uio) => uio.read32(offset),
            Source::Emulated(emulated) => emulated.read(offset),
        })
    }

    /// Writes 32 bits, in one access.
    ///
    /// # Errors
    ///
    /// * [`RegisterError::Outside`]: the offset is no multiple of 4, or the register is not in the window.
    /// * [`RegisterError::Model`]: the write has started an emulated device, which failed.
    pub fn write32(&mut self, offset: usize, value: u32) -> Result<()> {
        self.check(offset, 4)?;
        match &mut self.source {
            Source::Uio(uio) => uio.write32(offset, value),
            Source::Emulated(emulated) => emulated.write(offset, value)?,
        }
        Ok(())
    }

    /// Reads 64 bits, in one access on a board.
    ///
    /// Many devices have registers of 32 bits only, and answer such an access wrongly or not at all: two
    /// of 32 bits are for them. A model sees two, the lower word first.
    ///
    /// # Errors
    ///
    /// [`RegisterError::Outside`]: the offset is no multiple of 8, or the register is not in the window.
    pub fn read64(&self, offset: usize) -> Result<u64> {
        self.check(offset, 8)?;
        Ok(match &self.source {
            Source::Uio(uio) => uio.read64(offset),
            Source::Emulated(emulated) => {
                let low = emulated.read(offset);
                u64::from(emulated.read(offset + 4)) << 32 | u64::from(low)
            }
        })
    }

    /// Writes 64 bits, in one access on a board; otherwise as [`read64`](Self::read64).
    ///
    /// # Errors
    ///
    /// * [`RegisterError::Outside`]: the offset is no multiple of 8, or the register is not in the window.
    /// * [`RegisterError::Model`]: the write has started an emulated device, which failed.
    pub fn write64(&mut self, offset: usize, value: u64) -> Result<()> {
        self.check(offset, 8)?;
        match &mut self.source {
            Source::Uio(uio) => uio.write64(offset, value),
            Source::Emulated(emulated) => {
                let [low, high] = halves(value);
                emulated.write(offset, low)?;
                emulated.write(offset + 4, high)?;
            }
        }
        Ok(())
    }

    /// Writes an address to two registers of 32 bits, the lower word first, as kernels of Vitis HLS have
    /// them for their pointers.
    ///
    /// # Errors
    ///
    /// As [`write32`](Self::write32), for each.
    pub fn write_addr(&mut self, offset: usize, addr: DeviceAddr) -> Result<()> {
        let [low, high] = halves(addr.as_u64());
        // Both or none.
        self.check(offset.saturating_add(4), 4)?;
        self.write32(offset, low)?;
        self.write32(offset + 4, high)
    }

    /// Lets the next interrupt through, or at once the one that the device asks for already.
    ///
    /// An interrupt that came before and was not waited for still ends the next
    /// [`wait_interrupt`](Self::wait_interrupt).
    ///
    /// # Errors
    ///
    /// [`RegisterError::Interrupt`]: the device has none, or the system refused.
    pub fn enable_interrupt(&mut self) -> Result<()> {
        match &mut self.source {
            Source::Uio(uio) => uio.enable_interrupt(),
            Source::Emulated(emulated) => {
                emulated.enable_interrupt();
                Ok(())
            }
        }
    }

    /// Sleeps until an interrupt comes, or for that long, and says whether one came.
    ///
    /// After that no other comes through until it is enabled again: first the device is told, by its
    /// registers, that it has been heard. A signal does not end the sleep. An emulated device has done all
    /// it will ever do when a write returns, so there the answer is immediate.
    ///
    /// # Errors
    ///
    /// [`RegisterError::Interrupt`]: the device has none, or the system refused.
    pub fn wait_interrupt(&mut self, limit: Duration) -> Result<bool> {
        match &mut self.source {
            Source::Uio(uio) => uio.wait_interrupt(limit),
            Source::Emulated(emulated) => Ok(emulated.take_interrupt()),
        }
    }

    /// Reads a 32-bit register until a condition holds, for at most that long; the last value if it
    /// does, `None` if it does not.
    ///
    /// For waits that are shorter than an interrupt takes. The processor does nothing else meanwhile.
    ///
    /// # Errors
    ///
    /// As [`read32`](Self::read32).
    pub fn poll32(
        &self,
        offset: usize,
        limit: Duration,
        mut until: impl FnMut(u32) -> bool,
    ) -> Result<Option<u32>> {
        let start = std::time::Instant::now();
        loop {
            // The time is taken first, so that a program that was not scheduled for long looks once more.
            let late = start.elapsed() >= limit;
            let value = self.read32(offset)?;
            if until(value) {
                return Ok(Some(value));
            }
            if late {
                return Ok(None);
            }
            std::hint::spin_loop();
        }
    }

    fn check(&self, offset: usize, bytes: usize) -> Result<()> {
        let len = self.len();
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= len);
        if inside && offset % bytes == 0 {
            return Ok(());
        }
        Err(RegisterError::Outside { offset, bytes, len })
    }
}

/// The low and the high word.
fn halves(value: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    ]
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
