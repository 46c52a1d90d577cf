// SPDX-License-Identifier: MIT OR Apache-2.0

//! Registers of a model that the program has.

use super::{RegisterError, Result};
use crate::{BusError, Device, FpgaMemory};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A model of an accelerator with its registers.
///
/// Its run happens within the write that starts it, and sees the memory as the FPGA of an
/// [emulated device](Device::emulated) does: what the program has handed over or synchronised.
///
/// ```
/// use fpgamem::mmio::{RegisterModel, Registers};
/// use fpgamem::{BusError, Device, DeviceAddr, Direction, FpgaMemory};
///
/// /// Adds 1 to the byte whose address is in register 0, when 1 is written to register 8.
/// #[derive(Default)]
/// struct Increment([u32; 3]);
///
/// impl RegisterModel for Increment {
///     fn len(&self) -> usize {
///         12
///     }
///     fn read(&mut self, offset: usize) -> u32 {
///         self.0[offset / 4]
///     }
///     fn write(&mut self, offset: usize, value: u32) -> bool {
///         self.0[offset / 4] = value;
///         offset == 8 && value == 1
///     }
///     fn run(&mut self, memory: &mut FpgaMemory<'_>) -> Result<(), BusError> {
///         let addr = DeviceAddr::new(u64::from(self.0[1]) << 32 | u64::from(self.0[0]));
///         let mut byte = [0];
///         memory.read(addr, &mut byte)?;
///         memory.write(addr, &[byte[0] + 1])
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let device = Device::emulated().open()?;
/// let mut registers = Registers::emulated(&device, Increment::default())?;
/// let mut number = device.alloc(1)?;
/// number[0] = 41;
/// let number = number.into_device(Direction::Bidirectional)?;
/// registers.write_addr(0, number.device_addr())?;
/// registers.write32(8, 1)?;
/// // What `unsafe` promises: the model has run within the write.
/// let number = unsafe { number.into_cpu() }?;
/// assert_eq!(number[0], 42);
/// # Ok(())
/// # }
/// ```
pub trait RegisterModel: Send {
    /// Bytes of registers, always the same.
    fn len(&self) -> usize;

    /// Whether it has no register.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Answers a read of the 32 bits at an offset, a multiple of 4 below the length.
    fn read(&mut self, offset: usize) -> u32;

    /// Takes a write of the 32 bits at an offset, a multiple of 4 below the length; says whether it
    /// starts a run.
    fn write(&mut self, offset: usize, value: u32) -> bool;

    /// Does the work of one start.
    ///
    /// # Errors
    ///
    /// [`BusError`] of an access that failed, if that ends the work.
    fn run(&mut self, memory: &mut FpgaMemory<'_>) -> Result<(), BusError>;

    /// Whether it asks for an interrupt now.
    fn interrupt(&self) -> bool {
        false
    }
}

/// A model on an emulated device.
pub(super) struct Emulated {
    device: Device,
    model: Mutex<Box<dyn RegisterModel>>,
    /// Whether an interrupt is let through.
    enabled: bool,
    /// Whether one has come through that nobody has waited for.
    pending: bool,
}

impl Emulated {
    pub(super) fn new(device: &Device, model: Box<dyn RegisterModel>) -> Result<Self> {
        if device.emulator().is_none() {
            let path = device.path().to_owned();
            return Err(RegisterError::NotEmulated { path });
        }
        Ok(Self {
            device: device.clone(),
            model: Mutex::new(model),
            enabled: false,
            pending: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Box<dyn RegisterModel>> {
        // What a model that panicked leaves behind is the caller's own, who is told.
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn read(&self, offset: usize) -> u32 {
        self.lock().read(offset)
    }

    pub(super) fn write(&mut self, offset: usize, value: u32) -> Result<()> {
        let mut model = self.lock();
        let starts = model.write(offset, value);
        let mut done = Ok(());
        if let Some(emulator) = self.device.emulator().filter(|_| starts) {
            done = emulator.run(&mut |memory: &mut FpgaMemory<'_>| model.run(memory));
        }
        drop(model);
        self.deliver();
        Ok(done?)
    }

    pub(super) fn enable_interrupt(&mut self) {
        self.enabled = true;
        self.deliver();
    }

    /// Lets the interrupt through that the model asks for, once.
    fn deliver(&mut self) {
        if self.enabled && self.lock().interrupt() {
            self.enabled = false;
            self.pending = true;
        }
    }

    pub(super) fn take_interrupt(&mut self) -> bool {
        std::mem::take(&mut self.pending)
    }
}

impl fmt::Debug for Emulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Emulated");
        debug.field("len", &self.len()).finish_non_exhaustive()
    }
}
