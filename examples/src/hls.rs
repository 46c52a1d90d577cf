// SPDX-License-Identifier: MIT OR Apache-2.0

//! A kernel as Vitis HLS makes them: pointers over AXI, everything else over AXI-Lite, in the register
//! layout of `ap_ctrl_hs`. This one adds two vectors of 32-bit numbers:
//!
//! ```c
//! void vadd(const uint32_t *a, const uint32_t *b, uint32_t *sum, uint32_t n);
//! ```
//!
//! [`VectorAdd`] drives it by the library's registers, whether they are those of a board or of the
//! [model](model::VectorAddModel) on an emulated device.

pub mod model;

use fpgamem::mmio::{RegisterError, Registers};
use fpgamem::{Direction, HandOverError, TypedBuffer};
use std::time::Duration;

/// Starts the kernel (bit 0); says when it is done (bit 1, cleared by reading).
const CONTROL: usize = 0x00;
/// Lets interrupts out (bit 0).
const GLOBAL_INTERRUPT: usize = 0x04;
/// Which events are interrupts: the end of a run (bit 0).
const INTERRUPTS: usize = 0x08;
/// Which have happened; writing a bit toggles it.
const INTERRUPT_STATUS: usize = 0x0c;
/// The arguments, 64 bits each: two registers and a gap.
const A: usize = 0x10;
const B: usize = 0x1c;
const SUM: usize = 0x28;
/// Length in numbers.
const LENGTH: usize = 0x34;

const START: u32 = 1;
const DONE: u32 = 1;

/// Why a sum could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum HlsError {
    /// The library refused.
    #[error(transparent)]
    Memory(#[from] fpgamem::Error),
    /// The registers cannot be used, or the model failed.
    #[error(transparent)]
    Registers(#[from] RegisterError),
    /// The vectors differ in length.
    #[error("vectors of {a} and {b} numbers cannot be added to {sum}")]
    Length {
        /// Numbers in the first.
        a: usize,
        /// Numbers in the second.
        b: usize,
        /// Numbers in the sum.
        sum: usize,
    },
    /// The kernel did not report its end in time. It may still be running, so the buffers stay its own.
    #[error(
        "the kernel is not done after {0:?}; see whether its clock runs and its reset is released"
    )]
    Timeout(Duration),
}

impl<B> From<HandOverError<B>> for HlsError {
    fn from(failed: HandOverError<B>) -> Self {
        Self::Memory(failed.into())
    }
}

/// The kernel.
#[derive(Debug)]
pub struct VectorAdd {
    registers: Registers,
    /// How long a run may take.
    pub patience: Duration,
}

impl VectorAdd {
    /// Drives the kernel that these registers belong to.
    #[must_use]
    pub fn new(registers: Registers) -> Self {
        let patience = Duration::from_secs(10);
        Self {
            registers,
            patience,
        }
    }

    /// Adds two vectors; all three come back.
    ///
    /// # Errors
    ///
    /// As [`HlsError`] says. The buffers are gone then: after a timeout the kernel may still use them.
    pub fn run(
        &mut self,
        a: TypedBuffer<u32>,
        b: TypedBuffer<u32>,
        sum: TypedBuffer<u32>,
    ) -> Result<[TypedBuffer<u32>; 3], HlsError> {
        let len = a.len();
        let length = u32::try_from(len).ok();
        let Some(length) = length.filter(|_| len == b.len() && len == sum.len()) else {
            let (a, b, sum) = (len, b.len(), sum.len());
            return Err(HlsError::Length { a, b, sum });
        };
        let a = a.into_device(Direction::ToDevice)?;
        let b = b.into_device(Direction::ToDevice)?;
        let sum = sum.into_device(Direction::FromDevice)?;

        let registers = &mut self.registers;
        registers.write_addr(A, a.as_bytes().device_addr())?;
        registers.write_addr(B, b.as_bytes().device_addr())?;
        registers.write_addr(SUM, sum.as_bytes().device_addr())?;
        registers.write32(LENGTH, length)?;
        registers.write32(GLOBAL_INTERRUPT, 1)?;
        registers.write32(INTERRUPTS, DONE)?;
        registers.enable_interrupt()?;
        // Behind the hand-over and the arguments: writes to registers keep the order.
        registers.write32(CONTROL, START)?;
        if !registers.wait_interrupt(self.patience)? {
            return Err(HlsError::Timeout(self.patience));
        }
        registers.write32(INTERRUPT_STATUS, DONE)?;

        // SAFETY: The kernel, which alone was told of the buffer, has reported its end.
        let a = unsafe { a.into_cpu() }?;
        // SAFETY: As above.
        let b = unsafe { b.into_cpu() }?;
        // SAFETY: As above.
        let sum = unsafe { sum.into_cpu() }?;
        Ok([a, b, sum])
    }
}

#[cfg(test)]
mod tests;
