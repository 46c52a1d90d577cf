// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel computes, for an emulated device.

use super::{
    A, B, CONTROL, DONE, GLOBAL_INTERRUPT, INTERRUPTS, INTERRUPT_STATUS, LENGTH, START, SUM,
};
use fpgamem::mmio::RegisterModel;
use fpgamem::{BusError, DeviceAddr, FpgaMemory};

/// Bytes of a number.
const NUMBER_BYTES: u64 = 4;
/// The kernel has nothing to do.
const IDLE: u32 = 1 << 2;
/// A run is over; reading the register clears the bit.
const RUN_DONE: u32 = 1 << 1;
const NR_REGISTERS: usize = 16;

/// The kernel, register by register.
#[derive(Debug, Default)]
pub struct VectorAddModel {
    words: [u32; NR_REGISTERS],
    done: bool,
}

impl VectorAddModel {
    fn word(&self, offset: usize) -> u32 {
        self.words[offset / 4]
    }

    /// The place of a number of a vector; behind the last address, one at which no buffer is.
    fn place(&self, pointer: usize, index: u32) -> DeviceAddr {
        let start = u64::from(self.word(pointer + 4)) << 32 | u64::from(self.word(pointer));
        let place = DeviceAddr::new(start).checked_add(u64::from(index) * NUMBER_BYTES);
        place.unwrap_or(DeviceAddr::new(u64::MAX))
    }

    fn number(
        &self,
        memory: &mut FpgaMemory<'_>,
        from: usize,
        index: u32,
    ) -> Result<u32, BusError> {
        let mut bytes = [0; 4];
        memory.read(self.place(from, index), &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

impl RegisterModel for VectorAddModel {
    fn len(&self) -> usize {
        NR_REGISTERS * 4
    }

    fn read(&mut self, offset: usize) -> u32 {
        match offset {
            CONTROL => {
                IDLE | if std::mem::take(&mut self.done) {
                    RUN_DONE
                } else {
                    0
                }
            }
            _ => self.word(offset),
        }
    }

    fn write(&mut self, offset: usize, value: u32) -> bool {
        match offset {
            INTERRUPT_STATUS => self.words[offset / 4] ^= value,
            CONTROL => return value & START != 0,
            _ => self.words[offset / 4] = value,
        }
        false
    }

    fn run(&mut self, memory: &mut FpgaMemory<'_>) -> Result<(), BusError> {
        for index in 0..self.word(LENGTH) {
            let a = self.number(memory, A, index)?;
            let b = self.number(memory, B, index)?;
            memory.write(self.place(SUM, index), &a.wrapping_add(b).to_le_bytes())?;
        }
        self.done = true;
        self.words[INTERRUPT_STATUS / 4] |= self.word(INTERRUPTS) & DONE;
        Ok(())
    }

    fn interrupt(&self) -> bool {
        self.word(GLOBAL_INTERRUPT) & 1 != 0 && self.word(INTERRUPT_STATUS) != 0
    }
}
