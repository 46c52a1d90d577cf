// SPDX-License-Identifier: MIT OR Apache-2.0

//! What one process does.

use super::{Limits, Summary};
use crate::failure::Failure;
use crate::progress::Progress;
use fpgamem::{AllocOptions, Buffer, Device, Direction, Error, HandOverError};
use fpgamem_examples::pattern;
use std::time::Instant;

/// Numbers that look random: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below another, which is not 0.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number below a length, which is not 0.
    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }
}

/// A buffer that holds the pattern of a number.
struct Held {
    buffer: Buffer,
    id: u32,
}

struct Work<'a> {
    device: &'a Device,
    limits: &'a Limits,
    random: Random,
    held: Vec<Held>,
    held_bytes: u64,
    next_id: u32,
    summary: Summary,
}

/// Works until the limits are reached, and frees what is held.
pub(super) fn run(device: &Device, limits: &Limits) -> Result<Summary, Failure> {
    let mut work = Work {
        device,
        limits,
        random: Random(limits.seed),
        held: Vec::new(),
        held_bytes: 0,
        next_id: 0,
        summary: Summary::default(),
    };
    let start = Instant::now();
    let mut progress = Progress::new("stress", limits.time.as_secs());
    while work.summary.operations < limits.operations && start.elapsed() < limits.time {
        work.step()?;
        work.summary.operations += 1;
        progress.at(start.elapsed().as_secs());
    }
    progress.end();
    for held in std::mem::take(&mut work.held) {
        work.check(&held);
    }
    Ok(work.summary)
}

impl Work<'_> {
    fn step(&mut self) -> Result<(), Failure> {
        match self.random.below(8) {
            0..=2 => self.alloc(),
            3 | 4 => {
                if let Some(held) = self.any() {
                    self.check(&held);
                }
                Ok(())
            }
            5 => self.hand_over(),
            6 => self.split(),
            _ => self.sync(),
        }
    }

    /// Takes out one of the buffers.
    fn any(&mut self) -> Option<Held> {
        let count = self.held.len();
        let index = self.random.index(count.max(1));
        let held = (count != 0).then(|| self.held.swap_remove(index))?;
        self.held_bytes -= held.buffer.capacity() as u64;
        Some(held)
    }

    fn hold(&mut self, held: Held) {
        self.held_bytes += held.buffer.capacity() as u64;
        self.held.push(held);
    }

    fn alloc(&mut self) -> Result<(), Failure> {
        // Small ones are as many as large ones.
        let bits = self
            .random
            .below(u64::from(u64::BITS - self.limits.largest.leading_zeros()) + 1);
        let len = 1 + self
            .random
            .below(1 << bits.min(62))
            .min(self.limits.largest - 1);
        if self.held_bytes + len > self.limits.most {
            return Ok(());
        }
        let align = 1 << self.random.below(20);
        let options = AllocOptions::new()
            .align(align)
            .write_combine(self.random.below(8) == 0);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let mut buffer = match self.device.alloc_with(len, options) {
            Ok(buffer) => buffer,
            Err(Error::OutOfMemory { .. }) => {
                self.summary.refused += 1;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.summary.allocs += 1;
        if buffer.phys_addr().as_u64() % align != 0 {
            let addr = buffer.phys_addr();
            self.fail(format!("a buffer aligned to {align} begins at {addr:#x}"));
        }
        if let Some(offset) = buffer.iter().position(|byte| *byte != 0) {
            self.fail(format!(
                "byte {offset} of a new buffer of {len} bytes is not 0"
            ));
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        pattern::fill(id, &mut buffer);
        self.hold(Held { buffer, id });
        Ok(())
    }

    fn check(&mut self, held: &Held) {
        self.summary.checked_bytes += held.buffer.len() as u64;
        if let Err(mismatch) = pattern::check(held.id, &held.buffer) {
            let addr = held.buffer.phys_addr();
            self.fail(format!("a buffer at {addr:#x} has changed: {mismatch}"));
        }
    }

    fn hand_over(&mut self) -> Result<(), Failure> {
        let Some(Held { buffer, id }) = self.any() else {
            return Ok(());
        };
        let directions = [
            Direction::ToDevice,
            Direction::FromDevice,
            Direction::Bidirectional,
        ];
        let direction = directions[self.random.index(3)];
        let buffer = buffer.into_device(direction).map_err(given_up)?;
        let addr = buffer.phys_addr();
        if self.device.user_of(addr).is_none() {
            self.fail(format!("nobody has the buffer at {addr:#x}"));
        }
        // SAFETY: No device was told of the buffer.
        let buffer = unsafe { buffer.into_cpu() }.map_err(given_up)?;
        self.summary.hand_overs += 1;
        let held = Held { buffer, id };
        self.check(&held);
        self.hold(held);
        Ok(())
    }

    /// Splits a buffer, fills its parts, and joins them again.
    fn split(&mut self) -> Result<(), Failure> {
        let Some(Held { buffer, id }) = self.any() else {
            return Ok(());
        };
        let line = self.device.line_bytes();
        let lines = (buffer.len() - 1) / line;
        if lines == 0 {
            self.hold(Held { buffer, id });
            return Ok(());
        }
        let mid = (1 + self.random.index(lines)) * line;
        let (mut first, mut second) = buffer.split_at(mid).map_err(given_up)?;
        pattern::fill(id.wrapping_add(1), &mut first);
        pattern::fill(id.wrapping_add(2), &mut second);
        let parts = [
            Held {
                buffer: first,
                id: id.wrapping_add(1),
            },
            Held {
                buffer: second,
                id: id.wrapping_add(2),
            },
        ];
        parts.iter().for_each(|part| self.check(part));
        let [first, second] = parts.map(|part| part.buffer);
        let mut buffer = first.join(second).map_err(given_up)?;
        pattern::fill(id, &mut buffer);
        self.summary.splits += 1;
        self.hold(Held { buffer, id });
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Failure> {
        let Some(Held { mut buffer, id }) = self.any() else {
            return Ok(());
        };
        let start = self.random.index(buffer.len());
        buffer.sync_for_device(start..)?;
        buffer.sync_for_cpu(..=start)?;
        buffer.sync_for_cpu_by_driver(start..)?;
        self.hold(Held { buffer, id });
        Ok(())
    }

    fn fail(&mut self, what: String) {
        self.summary.failures.push(what);
    }
}

fn given_up<B>(failed: HandOverError<B>) -> Error {
    failed.into()
}
