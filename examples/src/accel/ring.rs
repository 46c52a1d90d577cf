// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory that holds the accelerator's descriptors.

use fpgamem::{DeviceAddr, DeviceBuffer, Error};

/// Memory that driver and accelerator use at the same time.
pub trait Ring {
    /// Its first address, as the accelerator uses it.
    fn device_addr(&self) -> DeviceAddr;

    /// Stores bytes, and makes them visible to the accelerator.
    ///
    /// # Errors
    ///
    /// The bytes are not inside of the memory, or cannot be made visible.
    fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Error>;

    /// Loads a word that the accelerator may have written.
    ///
    /// # Errors
    ///
    /// The word is not inside of the memory, or what the accelerator wrote cannot be made visible.
    fn read_word(&self, offset: usize) -> Result<u32, Error>;

    /// Ends the use of the memory.
    ///
    /// # Safety
    ///
    /// * The accelerator does not access the memory any more.
    unsafe fn release(self);
}

impl Ring for DeviceBuffer {
    fn device_addr(&self) -> DeviceAddr {
        self.device_addr()
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        self.view_mut().write_at(offset, bytes)?;
        self.sync_for_device(offset..offset + bytes.len())
    }

    fn read_word(&self, offset: usize) -> Result<u32, Error> {
        let mut word = [0; 4];
        self.sync_for_cpu(offset..offset + word.len())?;
        self.view().read_at(offset, &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    unsafe fn release(self) {
        // SAFETY: By the contract of this function.
        let buffer = unsafe { self.into_cpu() };
        // It fails where the device was unbound; the memory then stays mapped to the end of the
        // process, which harms nobody.
        drop(buffer);
    }
}
