// SPDX-License-Identifier: GPL-2.0-or-later

//! An accelerator: a bus master with a page of registers and a ring of descriptors.
//!
//! `ACCELERATOR.md` is its manual. The registers lie in a page of the DDR that the device tree
//! reserves; the plugin sees the CPU's stores and keeps the page showing what the registers hold.

pub mod compute;
pub mod descriptor;
mod pending;

use self::descriptor::{Refusal, DESCRIPTOR_BYTES, STATUS as STATUS_WORD};
use self::pending::{Bus, Pending};
use crate::barriers::Barriers;
use crate::master::Master;
use crate::memory::{host, Memory};
use crate::model::Model;
use crate::report::Place;
use std::collections::VecDeque;
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
const INTERRUPT_ENABLE: u64 = 0x038;
const INTERRUPT_STATUS: u64 = 0x03c;
const INTERRUPT_DONE: u32 = 1;
const INTERRUPT_ERROR: u32 = 2;
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
    interrupt_enable: u32,
    interrupt_status: u32,
    /// What is outstanding, from the head on.
    pending: VecDeque<Pending>,
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
            interrupt_enable: 0,
            interrupt_status: 0,
            pending: VecDeque::new(),
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

    /// Whether it asks for an interrupt.
    pub fn interrupts(&self) -> bool {
        self.interrupt_enable & self.interrupt_status != 0
    }

    /// Whether a store to a register may start something.
    pub fn is_doorbell(offset: u64) -> bool {
        offset == CONTROL || offset == TAIL
    }

    /// Whether a store to a register tells that a program knows of a descriptor's end.
    pub fn acknowledges(offset: u64) -> bool {
        offset == INTERRUPT_STATUS
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
        set(INTERRUPT_ENABLE, self.interrupt_enable);
        set(INTERRUPT_STATUS, self.interrupt_status);
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
        match offset {
            CONTROL if value & CONTROL_RESET != 0 => *self = Self::new(self.base),
            CONTROL => {
                self.enabled = value & CONTROL_ENABLE != 0;
                self.ring_doorbell(model, start);
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
                self.ring_doorbell(model, start);
            }
            INTERRUPT_ENABLE => {
                self.interrupt_enable = value & (INTERRUPT_DONE | INTERRUPT_ERROR);
            }
            INTERRUPT_STATUS => self.interrupt_status &= !value,
            _ => {}
        }
        self.show(&mut model.memory);
    }

    /// Whether a range is DDR, and not the registers.
    fn is_memory(registers: &Range<u64>, memory: &impl Memory, address: u64, len: u64) -> bool {
        let apart = || address >= registers.end || address + len <= registers.start;
        memory.holds(address, len) && apart()
    }

    fn ring_doorbell<M: Memory>(&mut self, model: &mut Model<M>, start: Place) {
        self.delay = DELAY;
        if !self.enabled || self.error.is_some() {
            return;
        }
        let bytes = u64::from(self.count) * DESCRIPTOR_BYTES;
        let usable = self.count.is_power_of_two()
            && self.count <= MOST_DESCRIPTORS
            && self.tail < self.count
            && self.ring.is_multiple_of(DESCRIPTOR_BYTES)
            && Self::is_memory(&self.registers(), &model.memory, self.ring, bytes);
        if usable {
            self.take_descriptors(model, start);
        } else {
            self.fail(Refusal::Ring);
        }
    }

    fn fail(&mut self, refusal: Refusal) {
        self.error = Some(refusal);
        self.interrupt_status |= INTERRUPT_ERROR;
    }

    /// Takes the descriptors that a doorbell made visible, up to one that cannot be executed.
    fn take_descriptors<M: Memory>(&mut self, model: &mut Model<M>, start: Place) {
        let registers = self.registers();
        let in_ring = self.count - 1;
        let outstanding = self.tail.wrapping_sub(self.head) & in_ring;
        self.pending.truncate(host(u64::from(outstanding)));
        let first = self
            .head
            .wrapping_add(u32::try_from(self.pending.len()).unwrap_or(0));
        let barriers = model.barriers();
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
        let mut slot = first & in_ring;
        while slot != self.tail && self.pending.back().is_none_or(|last| last.job.is_ok()) {
            let at = self.ring + u64::from(slot) * DESCRIPTOR_BYTES;
            let taken = Pending::take(&mut bus, at, &self.pending, |memory, at, len| {
                Self::is_memory(&registers, memory, at, len)
            });
            self.pending.push_back(taken);
            slot = (slot + 1) & in_ring;
        }
        self.read += bus.read;
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
        let Some(mut pending) = self.pending.pop_front() else {
            return;
        };
        model.start_transfer();
        let mut bus = Bus {
            model,
            master: Master {
                // What was missing before the doorbell has been found then.
                barriers: Barriers::COMPLETE,
                ..pending.master
            },
            read: 0,
            written: 0,
        };
        let status = match pending.execute(&mut bus) {
            Ok(()) => {
                self.head = (self.head + 1) & (self.count - 1);
                self.completed = self.completed.wrapping_add(1);
                self.interrupt_status |= INTERRUPT_DONE;
                DONE
            }
            Err(refusal) => {
                self.fail(refusal);
                REFUSED | refusal as u32
            }
        };
        bus.write(pending.address + STATUS_WORD, &status.to_le_bytes());
        self.read += bus.read;
        self.written += bus.written;
    }
}

#[cfg(test)]
mod tests;
