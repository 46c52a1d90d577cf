// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers of a channel that copies within an emulated device's memory.

use super::{Zdma, CTRL2, CTRL2_EN, DST_DSCR, ISR, ISR_DMA_DONE, SRC_DSCR, TOTAL_BYTE};
use crate::uio::Registers;
use fpgamem::{Device, DeviceAddr, FpgaMemory};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the channel reports where it cannot reach a source or a destination.
const ISR_BUS_ERROR: u32 = 1 << 8;
/// Bytes that the channel moves at once.
const BURST_BYTES: usize = 64;

/// The register file. A transfer happens while its start is written.
#[derive(Debug)]
pub struct EmulatedRegisters {
    device: Device,
    values: BTreeMap<usize, u32>,
}

impl Zdma<EmulatedRegisters> {
    /// A channel that sees what the FPGA of an emulated device sees; on a device of a board every
    /// transfer fails.
    #[must_use]
    pub fn emulated(device: &Device) -> Self {
        let registers = EmulatedRegisters {
            device: device.clone(),
            values: BTreeMap::new(),
        };
        Self {
            registers,
            patience: Duration::ZERO,
        }
    }
}

impl Registers for EmulatedRegisters {
    fn read(&self, offset: usize) -> u32 {
        self.values.get(&offset).copied().unwrap_or(0)
    }

    fn write(&mut self, offset: usize, value: u32) {
        let value = match offset {
            // Write 1 to clear.
            ISR | TOTAL_BYTE => self.read(offset) & !value,
            _ => value,
        };
        self.values.insert(offset, value);
        if (offset, value) == (CTRL2, CTRL2_EN) {
            self.transfer();
        }
    }
}

impl EmulatedRegisters {
    fn address(&self, register: usize) -> DeviceAddr {
        let [low, high] = [register, register + 4].map(|offset| u64::from(self.read(offset)));
        DeviceAddr::new(high << 32 | low)
    }

    fn transfer(&mut self) {
        let (from, to) = (self.address(SRC_DSCR), self.address(DST_DSCR));
        let size = self.read(SRC_DSCR + 8);
        let mut copy = |memory: &mut FpgaMemory<'_>| {
            // CAST: 32 bits fit.
            let len = size as usize;
            for start in (0..len).step_by(BURST_BYTES) {
                let mut burst = [0; BURST_BYTES];
                let burst = &mut burst[..BURST_BYTES.min(len - start)];
                memory.read(behind(from, start), burst)?;
                memory.write(behind(to, start), burst)?;
            }
            Ok(())
        };
        let done = self.device.emulator().map(|fpga| fpga.run(&mut copy));
        let isr = match done {
            Some(Ok(())) => {
                let moved = self.read(TOTAL_BYTE).wrapping_add(size);
                self.values.insert(TOTAL_BYTE, moved);
                ISR_DMA_DONE
            }
            Some(Err(_)) | None => ISR_BUS_ERROR,
        };
        self.values.insert(ISR, isr);
    }
}

/// The address so many bytes on; where there is none, one at which no buffer is.
fn behind(addr: DeviceAddr, bytes: usize) -> DeviceAddr {
    let sum = addr.checked_add(bytes as u64);
    sum.unwrap_or(DeviceAddr::new(u64::MAX))
}
