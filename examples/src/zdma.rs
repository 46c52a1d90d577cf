// SPDX-License-Identifier: MIT OR Apache-2.0

//! A channel of ZynqMP's ZDMA as bus master: it copies between device addresses, past the CPU's
//! caches and page tables, as an accelerator in the FPGA would.
//!
//! The channel is reached through UIO, where it is named "zdma". Simple mode is used: source,
//! destination and size lie in registers.

mod emulated;

pub use emulated::EmulatedRegisters;

use crate::uio::{Registers, UioRegisters};
use fpgamem::mmio::RegisterError;
use fpgamem::{DeviceAddr, DeviceBuffer};
use std::time::{Duration, Instant};

/// Interrupt status; a bit is cleared by writing 1 to it.
const ISR: usize = 0x100;
/// Source address, low and high word, and size: three registers.
const SRC_DSCR: usize = 0x128;
/// Destination address, low and high word, and size: three registers.
const DST_DSCR: usize = 0x138;
/// Bytes moved since the register was cleared by writing ones. Reading leaves it alone.
const TOTAL_BYTE: usize = 0x188;
/// Writing 1 starts the transfer.
const CTRL2: usize = 0x200;

const REGISTER_BYTES: usize = CTRL2 + 4;

const ISR_ALL: u32 = 0xfff;
const ISR_DMA_DONE: u32 = 1 << 10;
/// The bits of [`ISR`] that report a failure, with what they mean.
const ISR_ERRORS: [(u32, &str); 8] = [
    (1 << 9, "error response to a write of data"),
    (1 << 8, "error response to a read of data"),
    (
        1 << 7,
        "error response to a read of a destination descriptor",
    ),
    (1 << 6, "error response to a read of a source descriptor"),
    (1 << 5, "overflow of the destination's interrupt count"),
    (1 << 4, "overflow of the source's interrupt count"),
    (1 << 3, "overflow of the byte count"),
    (1 << 0, "access to a register that does not exist"),
];
const CTRL2_EN: u32 = 1;

/// The longest transfer: the size register has 30 bits.
const MAX_BYTES: usize = (1 << 30) - 1;

/// Why a copy failed.
#[derive(Debug, thiserror::Error)]
pub enum ZdmaError {
    /// The registers cannot be used.
    #[error(transparent)]
    Registers(#[from] RegisterError),

    /// A transfer has 1 to 2^30 - 1 bytes, and those are in both buffers.
    #[error("cannot copy {len} bytes from a buffer of {src} to one of {dst}, at most {MAX_BYTES}")]
    Length {
        /// Bytes to copy.
        len: usize,
        /// Length of the source.
        src: usize,
        /// Length of the destination.
        dst: usize,
    },

    /// The source was not handed over for reading, or the destination not for writing.
    #[error("the {which} was handed over as {direction:?}")]
    Direction {
        /// "source" or "destination".
        which: &'static str,
        /// The direction of its hand-over.
        direction: fpgamem::Direction,
    },

    /// The channel reported a failure.
    #[error("the channel reports: {} (ISR {isr:#x})", meanings(*.isr))]
    Failed {
        /// Its interrupt status.
        isr: u32,
    },

    /// The channel did not report the end in time. It may still be running: neither buffer may be
    /// taken back.
    #[error("the channel is not done after {waited:?} (ISR {isr:#x})")]
    Timeout {
        /// How long it had.
        waited: Duration,
        /// Its interrupt status.
        isr: u32,
    },
}

/// What the failure bits of an interrupt status mean.
fn meanings(isr: u32) -> String {
    let set = ISR_ERRORS.into_iter().filter(|(bit, _)| isr & bit != 0);
    set.map(|(_, meaning)| meaning)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A channel.
#[derive(Debug)]
pub struct Zdma<R = UioRegisters> {
    registers: R,
    patience: Duration,
}

impl Zdma {
    /// Opens the channel that UIO offers under the name "zdma".
    ///
    /// # Errors
    ///
    /// As [`UioRegisters::open`].
    pub fn open() -> Result<Self, ZdmaError> {
        Self::open_named("zdma")
    }

    /// Opens the channel that UIO offers under another name.
    ///
    /// # Errors
    ///
    /// As [`UioRegisters::open`].
    pub fn open_named(name: &str) -> Result<Self, ZdmaError> {
        let registers = UioRegisters::open(name, REGISTER_BYTES)?;
        // 1 GiB at a tenth of what the channel moves.
        Ok(Self {
            registers,
            patience: Duration::from_secs(10),
        })
    }
}

impl<R: Registers> Zdma<R> {
    /// Copies the first `len` bytes of a buffer to another and returns how many bytes the channel says
    /// that it has moved.
    ///
    /// When it returns `Ok`, the channel has finished with both buffers.
    ///
    /// # Errors
    ///
    /// * [`ZdmaError::Length`], [`ZdmaError::Direction`]: the buffers do not fit; nothing has happened.
    /// * [`ZdmaError::Failed`]: the channel met an error, and has stopped.
    /// * [`ZdmaError::Timeout`]: the channel may still be running.
    pub fn copy(
        &mut self,
        src: &DeviceBuffer,
        dst: &DeviceBuffer,
        len: usize,
    ) -> Result<usize, ZdmaError> {
        self.prepare(src, dst, len)?;
        self.run()
    }

    /// Does everything that [`copy`](Self::copy) does before the start of the transfer.
    ///
    /// # Errors
    ///
    /// [`ZdmaError::Length`], [`ZdmaError::Direction`]: the buffers do not fit.
    pub fn prepare(
        &mut self,
        src: &DeviceBuffer,
        dst: &DeviceBuffer,
        len: usize,
    ) -> Result<(), ZdmaError> {
        if !src.direction().device_reads() {
            return Err(ZdmaError::Direction {
                which: "source",
                direction: src.direction(),
            });
        }
        if !dst.direction().device_writes() {
            return Err(ZdmaError::Direction {
                which: "destination",
                direction: dst.direction(),
            });
        }
        let size = transfer_size(len, src.len(), dst.len())?;
        self.program(src.device_addr(), dst.device_addr(), size);
        Ok(())
    }

    /// Bytes that the channel has moved since the transfer was programmed.
    pub fn moved_bytes(&self) -> usize {
        // CAST: 32 bits fit.
        self.registers.read(TOTAL_BYTE) as usize
    }

    fn program(&mut self, src: DeviceAddr, dst: DeviceAddr, size: u32) {
        self.registers.write(ISR, ISR_ALL);
        self.registers.write(TOTAL_BYTE, u32::MAX);
        for (base, addr) in [(SRC_DSCR, src), (DST_DSCR, dst)] {
            let [low, high] = words(addr);
            self.registers.write(base, low);
            self.registers.write(base + 4, high);
            self.registers.write(base + 8, size);
        }
    }

    fn run(&mut self) -> Result<usize, ZdmaError> {
        self.registers.write(CTRL2, CTRL2_EN);
        let start = Instant::now();
        loop {
            // The time is taken first, so that a program that was not scheduled for long looks once
            // more.
            let waited = start.elapsed();
            let isr = self.registers.read(ISR);
            if ISR_ERRORS.into_iter().any(|(bit, _)| isr & bit != 0) {
                return Err(ZdmaError::Failed { isr });
            }
            if isr & ISR_DMA_DONE != 0 {
                return Ok(self.moved_bytes());
            }
            if waited >= self.patience {
                return Err(ZdmaError::Timeout { waited, isr });
            }
            std::hint::spin_loop();
        }
    }
}

/// The low and the high word of an address.
fn words(addr: DeviceAddr) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = addr.as_u64().to_le_bytes();
    [
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    ]
}

/// The size register's value for a copy of `len` bytes between buffers of those lengths.
fn transfer_size(len: usize, src: usize, dst: usize) -> Result<u32, ZdmaError> {
    let fits = (1..=MAX_BYTES.min(src).min(dst)).contains(&len);
    u32::try_from(len)
        .ok()
        .filter(|_| fits)
        .ok_or(ZdmaError::Length { len, src, dst })
}

#[cfg(test)]
mod tests;
