// SPDX-License-Identifier: GPL-2.0-or-later

//! An accelerator: a bus master with a page of registers and a ring of descriptors.
//!
//! `ACCELERATOR.md` is its manual. The registers lie in a page of the DDR that the device tree
//! reserves; the plugin sees the CPU's stores and keeps the page showing what the registers hold.

pub mod compute;
pub mod descriptor;

use self::descriptor::{decode, Job, Operand, Refusal, DESCRIPTOR_BYTES, STATUS as STATUS_WORD};
use crate::master::Master;
use crate::memory::{host, Memory};
use crate::model::{Barriers, Model};
use crate::report::Place;
use std::ops::Range;

/// Bytes of the registers.
pub const REGISTER_BYTES: u64 = 0x1000;

const ID: u64 = 0x000;
const ID_VALUE: u32 = 0x4143_4346;
const VERSION: u64 = 0x004;
const VERSION_VALUE: u32 = 0x0001_0000;
const CONTROL: u64 = 0x010;
const CONTROL_ENABLE: u32 = 1;
const CONTROL_RESET: u32 = 2;
const STATUS: u64 = 0x014;
const STATUS_BUSY: u32 = 1;
const STATUS_ERROR: u32 = 2;
const ERROR: u64 = 0x018;
const RING_LOW: u64 = 0x020;
const RING_HIGH: u64 = 0x024;
const RING_COUNT: u64 = 0x028;
const TAIL: u64 = 0x02c;
const HEAD: u64 = 0x030;
const COMPLETED: u64 = 0x034;
const READ_BYTES: u64 = 0x040;
const WRITTEN_BYTES: u64 = 0x048;
/// The first offset after the registers.
const END: u64 = 0x050;

const MOST_DESCRIPTORS: u32 = 4096;

/// The status word of a descriptor that was executed.
const DONE: u32 = 1;
/// Added to the number of a [`Refusal`].
const REFUSED: u32 = 0x8000_0000;

/// Events on the board that pass between a doorbell and the execution of a descriptor.
const DELAY: u32 = 16;

/// The accelerator.
#[derive(Debug)]
pub struct Accelerator {
    /// Physical address of the registers.
    base: u64,
    enabled: bool,
    error: Option<Refusal>,
    ring: u64,
    count: u32,
    head: u32,
    tail: u32,
    completed: u32,
    read: u64,
    written: u64,
    /// The store that rang the doorbell, and the barriers until then.
    start: Option<(Place, Barriers)>,
    /// Events until the next descriptor is executed.
    delay: u32,
}

impl Accelerator {
    /// An accelerator with its registers at `base`, after a reset.
    pub fn new(base: u64) -> Self {
        Self {
            base,
            enabled: false,
            error: None,
            ring: 0,
            count: 0,
            head: 0,
            tail: 0,
            completed: 0,
            read: 0,
            written: 0,
            start: None,
            delay: 0,
        }
    }

    /// Where its registers are.
    pub fn registers(&self) -> Range<u64> {
        self.base..self.base + REGISTER_BYTES
    }

    /// Whether there is something to do.
    pub fn is_busy(&self) -> bool {
        self.enabled && self.error.is_none() && self.head != self.tail
    }

    /// Whether the next tick executes a descriptor.
    pub fn is_due(&self) -> bool {
        self.is_busy() && self.delay == 0
    }

    /// Makes the page of registers show what they hold.
    pub fn show(&self, memory: &mut impl Memory) {
        let mut words = [0_u32; host(END / 4)];
        let mut set = |offset: u64, value: u32| words[host(offset / 4)] = value;
        let halves = |value: u64| {
            let bytes = value.to_le_bytes();
            let word =
                |at| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            (word(0), word(4))
        };
        set(ID, ID_VALUE);
        set(VERSION, VERSION_VALUE);
        set(CONTROL, if self.enabled { CONTROL_ENABLE } else { 0 });
        let busy = if self.is_busy() { STATUS_BUSY } else { 0 };
        let failed = if self.error.is_some() {
            STATUS_ERROR
        } else {
            0
        };
        set(STATUS, busy | failed);
        set(ERROR, self.error.map_or(0, |refusal| refusal as u32));
        for (offset, value) in [
            (RING_LOW, self.ring),
            (READ_BYTES, self.read),
            (WRITTEN_BYTES, self.written),
        ] {
            let (low, high) = halves(value);
            set(offset, low);
            set(offset + 4, high);
        }
        set(RING_COUNT, self.count);
        set(TAIL, self.tail);
        set(HEAD, self.head);
        set(COMPLETED, self.completed);
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        memory.write(self.base, &bytes.collect::<Vec<_>>());
    }

    /// The CPU stored a register.
    pub fn store<M: Memory>(
        &mut self,
        model: &mut Model<M>,
        start: Place,
        offset: u64,
        value: u32,
    ) {
        let start = (start, model.barriers());
        match offset {
            CONTROL if value & CONTROL_RESET != 0 => *self = Self::new(self.base),
            CONTROL => {
                self.enabled = value & CONTROL_ENABLE != 0;
                self.ring_doorbell(start);
            }
            // What the ring is cannot change while it is in use.
            RING_LOW if !self.enabled => {
                self.ring = self.ring & !u64::from(u32::MAX) | u64::from(value);
            }
            RING_HIGH if !self.enabled => {
                self.ring = self.ring & u64::from(u32::MAX) | u64::from(value) << 32;
            }
            RING_COUNT if !self.enabled => self.count = value,
            TAIL => {
                self.tail = value;
                self.ring_doorbell(start);
            }
            _ => {}
        }
        self.show(&mut model.memory);
    }

    fn ring_doorbell(&mut self, start: (Place, Barriers)) {
        self.start = Some(start);
        self.delay = DELAY;
        if !self.enabled {
            return;
        }
        let usable = self.count.is_power_of_two()
            && self.count <= MOST_DESCRIPTORS
            && self.tail < self.count
            && self.ring.is_multiple_of(DESCRIPTOR_BYTES);
        if !usable {
            self.error = Some(Refusal::Ring);
        }
    }

    /// Something happened on the board: time passes for the accelerator.
    pub fn tick<M: Memory>(&mut self, model: &mut Model<M>) {
        if !self.is_busy() {
            return;
        }
        if self.delay > 0 {
            self.delay -= 1;
            return;
        }
        self.delay = DELAY;
        self.execute(model);
        self.show(&mut model.memory);
    }

    /// Executes the descriptor at the head of the ring.
    fn execute<M: Memory>(&mut self, model: &mut Model<M>) {
        let Some((start, barriers)) = self.start else {
            return;
        };
        let at = self.ring + u64::from(self.head) * DESCRIPTOR_BYTES;
        let registers = self.registers();
        let is_memory = |model: &Model<M>, address: u64, len: u64| {
            let apart = || address >= registers.end || address + len <= registers.start;
            model.memory.holds(address, len) && apart()
        };
        if !is_memory(model, at, DESCRIPTOR_BYTES) {
            self.error = Some(Refusal::Ring);
            return;
        }
        let mut bytes = [0; host(DESCRIPTOR_BYTES)];
        model.counts.transfers += 1;
        let mut bus = Bus {
            model,
            master: Master {
                start,
                barriers,
                coherent: false,
            },
            read: 0,
            written: 0,
        };
        bus.master_read(at, &mut bytes);
        let status = match decode(&bytes, |at, len| is_memory(bus.model, at, len)) {
            Ok(job) => {
                bus.run(&job);
                self.head = (self.head + 1) & (self.count - 1);
                self.completed = self.completed.wrapping_add(1);
                DONE
            }
            Err(refusal) => {
                self.error = Some(refusal);
                REFUSED | refusal as u32
            }
        };
        bus.master_write(at + STATUS_WORD, &status.to_le_bytes());
        self.read += bus.read;
        self.written += bus.written;
    }
}

/// The accelerator's port to the DDR, counting what passes.
struct Bus<'a, M> {
    model: &'a mut Model<M>,
    master: Master,
    read: u64,
    written: u64,
}

impl<M: Memory> Bus<'_, M> {
    fn master_read(&mut self, address: u64, bytes: &mut [u8]) {
        self.read += bytes.len() as u64;
        self.model.master_read(&self.master, address, bytes);
    }

    fn master_write(&mut self, address: u64, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        self.model.master_write(&self.master, address, bytes);
    }

    fn fetch(&mut self, operand: Operand) -> Vec<u8> {
        let mut bytes = vec![0; host(operand.len)];
        self.master_read(operand.address, &mut bytes);
        bytes
    }

    fn fetch_words(&mut self, operand: Option<Operand>) -> Option<Vec<i32>> {
        let bytes = self.fetch(operand?);
        let words = bytes.chunks_exact(4);
        Some(
            words
                .map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
        )
    }

    fn run(&mut self, job: &Job) {
        match *job {
            Job::Copy {
                source,
                destination,
            } => {
                let bytes = self.fetch(source);
                self.master_write(destination, &bytes);
            }
            Job::Fill { destination, value } => {
                let pattern = value.to_le_bytes();
                let bytes = pattern.iter().copied().cycle();
                let bytes = bytes.take(host(destination.len)).collect::<Vec<_>>();
                self.master_write(destination.address, &bytes);
            }
            Job::MatrixProduct {
                ref shape,
                operands,
                bias,
                destination,
                output,
            } => {
                let [a, b] = operands.map(|operand| self.fetch(operand));
                let bias = self.fetch_words(bias);
                let result = compute::matrix_product(shape, &a, &b, bias.as_deref(), output);
                self.master_write(destination.address, &result);
            }
            Job::Convolution {
                ref shape,
                operands,
                bias,
                destination,
                output,
            } => {
                let [image, weights] = operands.map(|operand| self.fetch(operand));
                let bias = self.fetch_words(bias);
                let result = compute::convolution(shape, &image, &weights, bias.as_deref(), output);
                self.master_write(destination.address, &result);
            }
        }
    }
}

#[cfg(test)]
mod tests;
