// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers of the examples' bus masters: those of a UIO device, or what stands for them in tests.

use fpgamem::mmio::{self, RegisterError};
use std::io;
use std::time::Duration;

/// 32-bit registers, by offset in bytes.
pub trait Registers {
    /// Reads a register.
    fn read(&self, offset: usize) -> u32;
    /// Writes a register.
    fn write(&mut self, offset: usize, value: u32);
}

/// The interrupt of a device: a level, which the device keeps up until it is acknowledged in its
/// registers.
pub trait Interrupt {
    /// Lets the next interrupt through, or at once the one that the device asks for.
    ///
    /// # Errors
    ///
    /// The device has no interrupt, or its file cannot be used.
    fn enable(&mut self) -> io::Result<()>;

    /// Sleeps until an interrupt comes, or for that long, and says whether one came. It lets no other
    /// through until it is enabled again.
    ///
    /// # Errors
    ///
    /// The device has no interrupt, or its file cannot be used.
    fn wait(&mut self, limit: Duration) -> io::Result<bool>;
}

/// The first register window of a UIO device, and its interrupt.
#[derive(Debug)]
pub struct UioRegisters(mmio::Registers);

impl UioRegisters {
    /// Maps the registers of the UIO device with the name `name`, at least `bytes` of them.
    ///
    /// # Errors
    ///
    /// As [`mmio::Registers::open`], and [`RegisterError::Outside`] where the registers are too few.
    pub fn open(name: &str, bytes: usize) -> Result<Self, RegisterError> {
        // SAFETY: The drivers of this crate tell their devices of device-owned buffers only.
        let registers = unsafe { mmio::Registers::open(name) }?;
        let len = registers.len();
        if len < bytes {
            let offset = bytes.saturating_sub(4);
            return Err(RegisterError::Outside {
                offset,
                bytes: 4,
                len,
            });
        }
        Ok(Self(registers))
    }
}

/// Every offset is a constant below the bytes that `open` was given.
const INSIDE: &str = "the register is in the window";

impl Registers for UioRegisters {
    fn read(&self, offset: usize) -> u32 {
        self.0.read32(offset).expect(INSIDE)
    }

    fn write(&mut self, offset: usize, value: u32) {
        self.0.write32(offset, value).expect(INSIDE);
    }
}

impl Interrupt for UioRegisters {
    fn enable(&mut self) -> io::Result<()> {
        self.0.enable_interrupt().map_err(io::Error::other)
    }

    fn wait(&mut self, limit: Duration) -> io::Result<bool> {
        self.0.wait_interrupt(limit).map_err(io::Error::other)
    }
}
