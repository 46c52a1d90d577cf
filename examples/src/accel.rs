// SPDX-License-Identifier: MIT OR Apache-2.0

//! The accelerator of the cache model as bus master: it copies, fills, multiplies matrices and
//! convolves tensors of 8-bit integers, by device addresses and past the CPU's caches.
//!
//! It is reached through UIO, where it is named "accelerator"; `cachemodel/ACCELERATOR.md` is its
//! manual. What it is to do lies in a ring of descriptors in a buffer, into which it also writes, descriptor
//! by descriptor, how that went. One operation is given to it at a time.

mod descriptor;
mod ring;
#[cfg(test)]
mod software;
#[cfg(test)]
mod tests;

pub use descriptor::{Conv3x3, MatMul, Output};
pub use ring::Ring;

use crate::uio::{Interrupt, Registers, UioRegisters};
use descriptor::{Descriptor, DESCRIPTOR_BYTES, STATUS_OFFSET};
use fpgamem::mmio::RegisterError;
use fpgamem::{Device, DeviceBuffer, Direction};
use std::io;
use std::time::{Duration, Instant};

/// What kind of device it is.
const ID: usize = 0x000;
const ID_VALUE: u32 = 0x4143_4346;
/// The version of its registers, the major number in the upper half.
const VERSION: usize = 0x004;
const VERSION_MAJOR: u32 = 1;
const CONTROL: usize = 0x010;
const CONTROL_ENABLE: u32 = 1 << 0;
const CONTROL_RESET: u32 = 1 << 1;
const STATUS: usize = 0x014;
const STATUS_ERROR: u32 = 1 << 1;
/// Why it has stopped.
const ERROR: usize = 0x018;
/// Address of the ring, low and high word, and its number of descriptors: three registers.
const RING: usize = 0x020;
/// The first descriptor that is not to be executed. Writing it is the doorbell.
const TAIL: usize = 0x02c;
/// Which ends of a descriptor interrupt, and those that were not acknowledged by writing ones.
const INTERRUPT_ENABLE: usize = 0x038;
const INTERRUPT_STATUS: usize = 0x03c;
/// One was executed, or was refused.
const INTERRUPT_ALL: u32 = 0b11;
/// Bytes read from and written to memory since the reset, low and high word each.
const READ_BYTES: usize = 0x040;
const WRITTEN_BYTES: usize = 0x048;

const REGISTER_BYTES: usize = 0x050;

/// The status word of a descriptor that was executed.
const DONE: u32 = 1;
/// The status word of one that was not has this bit, and a number of [`MEANINGS`].
const REFUSED: u32 = 1 << 31;

/// What the numbers in [`ERROR`] mean, from 1 on.
const MEANINGS: [&str; 5] = [
    "the operation or a flag does not exist",
    "an address is not a multiple of 16",
    "an operand is not wholly in memory",
    "a size or the shift is out of range",
    "the ring cannot be used",
];

/// Descriptors in the ring, a power of two.
const SLOTS: u32 = 16;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum AccelError {
    /// The registers cannot be used.
    #[error(
        "there is no accelerator to be used; the test board has one under the cache model only \
         (cargo xtask guest --cache-model)"
    )]
    Registers(#[from] RegisterError),

    /// The registers are those of something else.
    #[error(
        "the device named \"accelerator\" has identity {id:#x} and version {version:#x}, not {:#x} and \
         {VERSION_MAJOR}.x",
        ID_VALUE
    )]
    Unknown {
        /// What it says that it is.
        id: u32,
        /// Version of its registers.
        version: u32,
    },

    /// The ring's buffer cannot be had or used.
    #[error("the ring of descriptors")]
    Ring(#[from] fpgamem::Error),

    /// A buffer is too short for what it is to hold.
    #[error("the {which} takes {needed} bytes, but the buffer has {len}")]
    Length {
        /// Which operand.
        which: &'static str,
        /// Bytes that it takes.
        needed: usize,
        /// Length of its buffer.
        len: usize,
    },

    /// A buffer was not handed over for what is to be done with it.
    #[error("the buffer of the {which} was handed over as {direction:?}")]
    Direction {
        /// Which operand.
        which: &'static str,
        /// The direction of its hand-over.
        direction: Direction,
    },

    /// A number is outside of what a descriptor can say.
    #[error("the accelerator takes {min} to {max} as {which}, not {found}")]
    Extent {
        /// Which number.
        which: &'static str,
        /// Its value.
        found: usize,
        /// The smallest.
        min: usize,
        /// The largest.
        max: usize,
    },

    /// The accelerator reported a failure; it has stopped.
    #[error("the accelerator reports error {error}: {}", meaning(*.error))]
    Failed {
        /// The number of the error, as the manual lists them.
        error: u32,
    },

    /// The interrupt cannot be waited for. The accelerator may be running, as with [`Self::Timeout`].
    #[error("waiting for the accelerator's interrupt")]
    Interrupt(#[source] io::Error),

    /// The accelerator did not report the end in time. It may still be running: no buffer of the
    /// operation may be taken back.
    #[error("the accelerator is not done after {waited:?} (status word {word:#x})")]
    Timeout {
        /// How long it had.
        waited: Duration,
        /// The status word of the descriptor.
        word: u32,
    },
}

fn meaning(error: u32) -> &'static str {
    let index = usize::try_from(error).unwrap_or(usize::MAX).checked_sub(1);
    index
        .and_then(|at| MEANINGS.get(at))
        .unwrap_or(&"which its manual does not list")
}

/// What an operation moved, by the accelerator's own counters: operands, and its descriptor of 64
/// bytes with a status word of 4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes read from memory.
    pub read: u64,
    /// Bytes written to memory.
    pub written: u64,
}

/// The accelerator. Dropping it resets the hardware.
#[derive(Debug)]
pub struct Accel<R: Registers = UioRegisters, M: Ring = DeviceBuffer> {
    registers: R,
    /// `None` only while it is being dropped.
    ring: Option<M>,
    /// The slot of the next descriptor.
    next: u32,
    patience: Duration,
    /// Whether the process sleeps until the interrupt comes.
    sleeps: bool,
}

impl Accel {
    /// Opens the accelerator that UIO offers under the name "accelerator", with a ring in a buffer of
    /// `device`.
    ///
    /// # Errors
    ///
    /// * [`AccelError::Registers`]: there is none, or its registers cannot be mapped.
    /// * [`AccelError::Unknown`]: it is something else.
    /// * [`AccelError::Ring`]: no buffer can be had.
    pub fn open(device: &Device) -> Result<Self, AccelError> {
        let registers = UioRegisters::open("accelerator", REGISTER_BYTES)?;
        identify(&registers)?;
        let ring = device.alloc(host(SLOTS) * DESCRIPTOR_BYTES)?;
        let ring = ring
            .into_device(Direction::Bidirectional)
            .map_err(fpgamem::Error::from)?;
        // The largest operation of the example takes about a second where QEMU is slowest.
        Ok(Self::start(registers, ring, Duration::from_secs(60)))
    }

    /// Copies the first `bytes` bytes of a buffer to another.
    ///
    /// When this or another operation returns `Ok`, the accelerator has finished with all buffers.
    ///
    /// # Errors
    ///
    /// * [`AccelError::Length`], [`AccelError::Direction`], [`AccelError::Extent`]: the buffers do
    ///   not fit the operation; nothing has happened.
    /// * [`AccelError::Failed`]: the accelerator met an error, and has stopped for good.
    /// * [`AccelError::Timeout`]: the accelerator may still be running.
    /// * [`AccelError::Ring`]: the ring cannot be used; the accelerator may be running.
    pub fn copy(
        &mut self,
        from: &DeviceBuffer,
        to: &DeviceBuffer,
        bytes: usize,
    ) -> Result<Traffic, AccelError> {
        self.execute(&Descriptor::copy(from.into(), to.into(), bytes)?)
    }

    /// Fills the first `bytes` bytes of a buffer with a word of 4 bytes, again and again.
    ///
    /// # Errors
    ///
    /// As [`copy`](Self::copy).
    pub fn fill(
        &mut self,
        to: &DeviceBuffer,
        word: u32,
        bytes: usize,
    ) -> Result<Traffic, AccelError> {
        self.execute(&Descriptor::fill(to.into(), word, bytes)?)
    }

    /// Multiplies two matrices and adds a bias to every column.
    ///
    /// # Errors
    ///
    /// As [`copy`](Self::copy).
    pub fn matmul(
        &mut self,
        product: &MatMul,
        left: &DeviceBuffer,
        right: &DeviceBuffer,
        bias: &DeviceBuffer,
        to: &DeviceBuffer,
    ) -> Result<Traffic, AccelError> {
        let operands = [left.into(), right.into(), bias.into(), to.into()];
        self.execute(&Descriptor::matmul(product, operands)?)
    }

    /// Convolves a tensor and adds a bias to every channel of the output.
    ///
    /// # Errors
    ///
    /// As [`copy`](Self::copy).
    pub fn conv3x3(
        &mut self,
        conv: &Conv3x3,
        input: &DeviceBuffer,
        weights: &DeviceBuffer,
        bias: &DeviceBuffer,
        to: &DeviceBuffer,
    ) -> Result<Traffic, AccelError> {
        let operands = [input.into(), weights.into(), bias.into(), to.into()];
        self.execute(&Descriptor::conv3x3(conv, operands)?)
    }
}

impl<R: Registers + Interrupt, M: Ring> Accel<R, M> {
    /// Resets the accelerator and gives it the ring.
    fn start(mut registers: R, ring: M, patience: Duration) -> Self {
        let [a, b, c, d, e, f, g, h] = ring.device_addr().as_u64().to_le_bytes();
        for (register, value) in [
            (CONTROL, CONTROL_RESET),
            (RING, u32::from_le_bytes([a, b, c, d])),
            (RING + 4, u32::from_le_bytes([e, f, g, h])),
            (RING + 8, SLOTS),
            (CONTROL, CONTROL_ENABLE),
        ] {
            registers.write(register, value);
        }
        Self {
            registers,
            ring: Some(ring),
            next: 0,
            patience,
            sleeps: false,
        }
    }

    /// From now on sleeps until the accelerator's interrupt comes, instead of polling.
    pub fn use_interrupt(&mut self) {
        self.registers.write(INTERRUPT_ENABLE, INTERRUPT_ALL);
        self.sleeps = true;
    }

    /// Has a descriptor executed.
    fn execute(&mut self, descriptor: &Descriptor) -> Result<Traffic, AccelError> {
        let Some(ring) = &mut self.ring else {
            unreachable!("the ring is there until the value is dropped");
        };
        let offset = host(self.next) * DESCRIPTOR_BYTES;
        ring.write(offset, &descriptor.bytes())?;
        let before = traffic(&self.registers);
        self.next = (self.next + 1) % SLOTS;
        self.registers.write(TAIL, self.next);
        let interrupts = self.sleeps;
        let status = offset + STATUS_OFFSET;
        wait(&mut self.registers, interrupts, ring, status, self.patience)?;
        let after = traffic(&self.registers);
        Ok(Traffic {
            read: after.read.wrapping_sub(before.read),
            written: after.written.wrapping_sub(before.written),
        })
    }
}

impl<R: Registers, M: Ring> Drop for Accel<R, M> {
    fn drop(&mut self) {
        self.registers.write(CONTROL, CONTROL_RESET);
        // Once the load is answered, the store has arrived.
        self.registers.read(CONTROL);
        if let Some(ring) = self.ring.take() {
            // SAFETY: A reset ends everything that the accelerator does, and it has been reset.
            unsafe { ring.release() };
        }
    }
}

/// Checks that the registers are those of an accelerator that this driver knows.
fn identify(registers: &impl Registers) -> Result<(), AccelError> {
    let (id, version) = (registers.read(ID), registers.read(VERSION));
    if (id, version >> 16) == (ID_VALUE, VERSION_MAJOR) {
        Ok(())
    } else {
        Err(AccelError::Unknown { id, version })
    }
}

/// Waits until the status word at `offset` of the ring says how the operation went.
///
/// Between two looks it sleeps if the device `interrupts`.
fn wait(
    registers: &mut (impl Registers + Interrupt),
    interrupts: bool,
    ring: &impl Ring,
    offset: usize,
    patience: Duration,
) -> Result<(), AccelError> {
    let start = Instant::now();
    loop {
        if interrupts {
            // Before the look: what ends after it interrupts.
            registers.enable().map_err(AccelError::Interrupt)?;
        }
        // The time is taken first, so that a program that was not scheduled for long looks once
        // more.
        let waited = start.elapsed();
        // Not every error has a descriptor to which it could be written.
        if registers.read(STATUS) & STATUS_ERROR != 0 {
            return Err(AccelError::Failed {
                error: registers.read(ERROR),
            });
        }
        match ring.read_word(offset)? {
            DONE => {
                if interrupts {
                    registers.write(INTERRUPT_STATUS, INTERRUPT_ALL);
                }
                return Ok(());
            }
            word if word & REFUSED != 0 => {
                return Err(AccelError::Failed {
                    error: word & !REFUSED,
                });
            }
            word if waited >= patience => return Err(AccelError::Timeout { waited, word }),
            _ if interrupts => {
                let rest = patience.saturating_sub(waited);
                let came = registers.wait(rest).map_err(AccelError::Interrupt)?;
                if came {
                    registers.write(INTERRUPT_STATUS, INTERRUPT_ALL);
                }
            }
            _ => std::hint::spin_loop(),
        }
    }
}

/// The counters, which stand still while nothing is being executed.
fn traffic(registers: &impl Registers) -> Traffic {
    let counter = |register| {
        u64::from(registers.read(register + 4)) << 32 | u64::from(registers.read(register))
    };
    Traffic {
        read: counter(READ_BYTES),
        written: counter(WRITTEN_BYTES),
    }
}

fn host(number: u32) -> usize {
    // CAST: 32 bits fit.
    number as usize
}
