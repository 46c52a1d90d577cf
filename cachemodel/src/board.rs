// SPDX-License-Identifier: GPL-2.0-or-later

//! What happens on the board, told by QEMU, put into the terms of the cache model.

mod trace;

use crate::accelerator::Accelerator;
use crate::cpu::{Cpu, Registers};
use crate::filter::Filter;
use crate::instruction::CacheOperation;
use crate::interrupt::{Socket, Wire};
use crate::memory::Memory;
use crate::model::{Access, Interrupted, Maintenance, Model};
use crate::page::{LINE, PAGE};
use crate::policy;
use crate::process::{Anchors, Layout, Process};
use crate::report::{Kind, Place};
use crate::symbols::{Frame, Symbols};
use crate::transfer;
use crate::walk::uncached_by_process;
use crate::zdma::{self, Channel, NR_CHANNELS};
use std::collections::HashMap;

/// A load or store of the CPU.
#[derive(Clone, Copy, Debug)]
pub struct MemoryAccess {
    /// Address of the instruction.
    pub pc: u64,
    /// Virtual address of the first byte.
    pub address: u64,
    /// Bytes, at most 16.
    pub len: u64,
    /// Whether it was a store.
    pub is_store: bool,
}

/// Names of the functions at both places of a report.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// Where it showed.
    pub at: Vec<Frame>,
    /// What led to it.
    pub cause: Vec<Frame>,
}

/// The board.
#[derive(Debug)]
pub struct Board<M> {
    /// The cache.
    pub model: Model<M>,
    cpu: Cpu,
    channels: [Channel; NR_CHANNELS],
    accelerator: Option<Accelerator>,
    interrupt: Option<Wire>,
    /// The functions where the accelerator was started, which may be long ago when it shows that
    /// this was wrong.
    doorbells: HashMap<Place, Vec<Frame>>,
    symbols: Symbols,
    anchors: Option<Anchors>,
    layout: Option<Layout>,
    processes: Vec<Process>,
    process_index: HashMap<Process, u32>,
    frames: Vec<Frames>,
    /// Processes that wait for the end of an interrupt, by number.
    interrupted: HashMap<u32, Interrupted>,
    /// Who started each bus master last.
    starters: HashMap<u32, Starter>,
}

/// Names the accelerator in a [`Place`]; lower numbers are channels of ZDMA, from 1 on.
const ACCELERATOR: u32 = 100;

/// GICC_IAR of ZynqMP's interrupt controller: tells the kernel which interrupt it takes.
const INTERRUPT_ACKNOWLEDGE: u64 = 0xf902_000c;
/// The number in it.
const INTERRUPT_NUMBER: u32 = 0x3ff;

/// A process that started a bus master.
#[derive(Debug)]
struct Starter {
    process: u32,
    /// Whether it has made a system call since that may tell of the end.
    asked: bool,
    /// Whether the kernel has taken the interrupt since, and nobody has asked.
    interrupted: bool,
}

/// The register with the number of a system call, and that of ioctl.
const SYSTEM_CALL_NUMBER: u8 = 8;
const SYSTEM_CALL_IOCTL: u64 = 29;

/// Processes that may be interrupted at the same time.
const MOST_INTERRUPTED: usize = 16;

/// The name of the bus master with a number, if that is one.
pub fn master_name(number: u32) -> Option<String> {
    if number == ACCELERATOR {
        return Some("accelerator".to_owned());
    }
    let channel = usize::try_from(number).ok()?.checked_sub(1)?;
    Some(zdma::channel_name(channel))
}

/// The number of a channel of ZDMA as a bus master.
fn channel_number(channel: usize) -> u32 {
    u32::try_from(channel + 1).unwrap_or(0)
}

/// The 4-byte words of what was stored, with their offsets.
fn words(value: u128, len: u64) -> impl Iterator<Item = (u64, u32)> {
    (0..len).step_by(4).map(move |at| {
        let word = value >> (at * 8) & u128::from(u32::MAX);
        (at, u32::try_from(word).unwrap_or(0))
    })
}

/// Bit 55 tells the two halves of the addresses apart.
fn is_kernel(address: u64) -> bool {
    address >> 55 & 1 != 0
}

impl<M: Memory> Board<M> {
    /// A board whose memory goes through `model`.
    pub fn new(model: Model<M>, symbols: Symbols) -> Self {
        let anchors = symbols.kernel_address("init_task").and_then(|init_task| {
            let entry_task = symbols.kernel_address("__entry_task")?;
            Some(Anchors {
                init_task,
                entry_task,
            })
        });
        Self {
            model,
            cpu: Cpu::default(),
            channels: std::array::from_fn(|_| Channel::default()),
            accelerator: None,
            interrupt: None,
            doorbells: HashMap::new(),
            symbols,
            anchors,
            layout: None,
            processes: Vec::new(),
            process_index: HashMap::new(),
            frames: Vec::new(),
            interrupted: HashMap::new(),
            starters: HashMap::new(),
        }
    }

    /// Adds an accelerator with its registers at a physical address, and an interrupt.
    pub fn add_accelerator(&mut self, base: u64, interrupt: Option<Socket>) {
        self.interrupt = interrupt.map(Wire::new);
        let accelerator = Accelerator::new(base);
        accelerator.show(&mut self.model.memory);
        self.accelerator = Some(accelerator);
    }

    /// The CPU has loaded or stored.
    ///
    /// `value` says what, the first byte lowest; it is asked of few.
    pub fn access(
        &mut self,
        filter: &Filter,
        registers: &impl Registers,
        access: &MemoryAccess,
        value: impl Fn() -> u128,
    ) {
        let mut done = 0;
        while done < access.len {
            let address = access.address.wrapping_add(done);
            let len = (access.len - done).min(PAGE - address % PAGE);
            let part = MemoryAccess {
                address,
                len,
                ..*access
            };
            self.access_in_page(filter, registers, &part, || value() >> (done * 8));
            done += len;
        }
        self.resolve(registers);
    }

    fn access_in_page(
        &mut self,
        filter: &Filter,
        registers: &impl Registers,
        access: &MemoryAccess,
        value: impl Fn() -> u128,
    ) {
        let memory = &self.model.memory;
        let found = self
            .cpu
            .translate(registers, memory, filter, access.address);
        let Some(found) = found else {
            return;
        };
        let physical = found.physical;
        if self.model.covers(physical) {
            let mut place = self.place(registers, access.pc);
            if access.is_store {
                place.link = registers.general(30);
            }
            let access_kind = Access {
                place,
                kernel: is_kernel(access.address),
                attribute: found.attribute,
            };
            if access.is_store {
                self.model.store(&access_kind, physical, access.len);
            } else {
                self.model.load(&access_kind, physical, access.len);
            }
            self.tick(registers);
        } else if let Some((channel, register)) = zdma::channel_at(physical) {
            if access.is_store {
                let words = words(value(), access.len);
                self.store_zdma(registers, access.pc, channel, register, words);
            } else {
                self.model.look_at(channel_number(channel));
            }
        } else if physical == INTERRUPT_ACKNOWLEDGE {
            if !access.is_store {
                self.interrupt_taken(words(value(), access.len));
            }
        } else if self.is_accelerator(physical) {
            if access.is_store {
                let words = words(value(), access.len);
                self.store_accelerator(registers, access.pc, physical, words);
            } else {
                self.model.look_at(ACCELERATOR);
            }
            self.tick(registers);
        } else {
            filter.pass(access.address);
        }
    }

    fn store_zdma(
        &mut self,
        registers: &impl Registers,
        pc: u64,
        channel: usize,
        register: u64,
        words: impl Iterator<Item = (u64, u32)>,
    ) {
        let start = Place {
            master: channel_number(channel),
            link: registers.general(30),
            ..self.place(registers, pc)
        };
        if zdma::may_start(register) {
            self.note_starter(start);
            self.look_for_uncached(registers);
        }
        if zdma::acknowledges(register) {
            self.model.look_at(start.master);
        }
        let channel = &mut self.channels[channel];
        for (word, value) in words {
            transfer::zdma_store(&mut self.model, channel, start, register + word, value);
        }
    }

    /// The kernel takes an interrupt: it will tell whoever waits that the bus master is done.
    fn interrupt_taken(&mut self, words: impl Iterator<Item = (u64, u32)>) {
        for (_, word) in words {
            let number = word & INTERRUPT_NUMBER;
            let accelerator = self.interrupt.as_ref().map(Wire::number);
            let master = match zdma::channel_of_interrupt(number) {
                Some(channel) => channel_number(channel),
                None if accelerator == Some(number) => ACCELERATOR,
                None => continue,
            };
            // A process that runs on does not know before it asks.
            match self.starters.get_mut(&master) {
                Some(starter) if !starter.asked => starter.interrupted = true,
                _ => self.model.look_at(master),
            }
        }
    }

    /// Whether a process started a bus master and has not asked yet what became of it.
    pub fn has_starters(&self) -> bool {
        self.starters.values().any(|starter| !starter.asked)
    }

    /// A process calls the kernel. All calls but those to the driver may tell of an interrupt.
    pub fn system_call(&mut self, registers: &impl Registers, pc: u64) {
        if registers.general(SYSTEM_CALL_NUMBER) == SYSTEM_CALL_IOCTL {
            return;
        }
        let process = self.place(registers, pc).process;
        for (master, starter) in &mut self.starters {
            if starter.process == process {
                starter.asked = true;
                if std::mem::take(&mut starter.interrupted) {
                    self.model.look_at(*master);
                }
            }
        }
    }

    fn note_starter(&mut self, start: Place) {
        let starter = Starter {
            process: start.process,
            asked: false,
            interrupted: false,
        };
        self.starters.insert(start.master, starter);
    }

    fn is_accelerator(&self, physical: u64) -> bool {
        let accelerator = self.accelerator.as_ref();
        accelerator.is_some_and(|a| a.registers().contains(&physical))
    }

    fn store_accelerator(
        &mut self,
        registers: &impl Registers,
        pc: u64,
        physical: u64,
        words: impl Iterator<Item = (u64, u32)>,
    ) {
        let start = Place {
            master: ACCELERATOR,
            link: registers.general(30),
            ..self.place(registers, pc)
        };
        let Some(registers_at) = self.accelerator.as_ref().map(Accelerator::registers) else {
            return;
        };
        let offset = physical - registers_at.start;
        if Accelerator::is_doorbell(offset) {
            self.note_starter(start);
            self.look_for_uncached(registers);
            if !self.doorbells.contains_key(&start) {
                let frames = self.backtrace(registers, start);
                self.doorbells.insert(start, frames);
            }
        }
        if Accelerator::acknowledges(offset) {
            self.model.look_at(ACCELERATOR);
        }
        if let Some(accelerator) = &mut self.accelerator {
            for (word, value) in words {
                accelerator.store(&mut self.model, start, offset + word, value);
            }
        }
        self.interrupt();
    }

    /// Time passes for the accelerator.
    fn tick(&mut self, registers: &impl Registers) {
        if self.accelerator.as_ref().is_some_and(Accelerator::is_due) {
            self.look_for_uncached(registers);
        }
        if let Some(accelerator) = &mut self.accelerator {
            accelerator.tick(&mut self.model);
        }
        self.interrupt();
    }

    /// Brings the accelerator's interrupt in line with what it asks for.
    fn interrupt(&mut self) {
        if let (Some(accelerator), Some(wire)) = (&self.accelerator, &mut self.interrupt) {
            wire.set(accelerator.interrupts());
        }
    }

    /// The CPU is about to sleep until an interrupt comes: time passes, for the accelerator until it
    /// has one.
    pub fn sleep(&mut self, registers: &impl Registers) {
        if let Some(accelerator) = &mut self.accelerator {
            while accelerator.is_busy() && !accelerator.interrupts() {
                accelerator.tick(&mut self.model);
            }
        }
        self.interrupt();
        self.model.sleep();
        self.resolve(registers);
    }

    /// Where the kernel begins to handle interrupts that come while a process runs, and where system
    /// calls and faults of a process; 0 if it is not known.
    pub fn kernel_entries(&self) -> [u64; 2] {
        ["el0t_64_irq_handler", "el0t_64_sync_handler"]
            .map(|name| self.symbols.kernel_address(name).unwrap_or(0))
    }

    /// The kernel begins to handle a fault, or an interrupt that came while a process ran.
    pub fn interrupted(&mut self, registers: &impl Registers, pc: u64) {
        let process = self.place(registers, pc).process;
        // A process that an interrupt ends never goes on.
        if self.interrupted.len() == MOST_INTERRUPTED {
            self.interrupted.clear();
        }
        self.interrupted.insert(process, self.model.interrupt());
    }

    /// The kernel returns from an exception. Says whether to a process that had been interrupted.
    pub fn returns(&mut self, registers: &impl Registers, pc: u64) -> bool {
        let process = self.place(registers, pc).process;
        let Some(interrupted) = self.interrupted.remove(&process) else {
            return false;
        };
        self.model.resume(interrupted);
        true
    }

    /// Whether a process is being interrupted.
    pub fn has_interrupted(&self) -> bool {
        !self.interrupted.is_empty()
    }

    /// Tells the model what the running process reaches past the cache.
    fn look_for_uncached(&mut self, registers: &impl Registers) {
        if self.model.policy().kind() == policy::Kind::Prefetch {
            let tables = self.cpu.tables(registers);
            let region = self.model.region();
            let ranges = uncached_by_process(&self.model.memory, &tables, region);
            self.model.set_uncached(ranges);
        }
    }

    /// The CPU is about to work on a cache line.
    pub fn cache_operation(
        &mut self,
        filter: &Filter,
        registers: &impl Registers,
        pc: u64,
        (operation, address): (CacheOperation, u64),
    ) {
        let instructions = &mut self.model.counts.instructions;
        let (count, maintenance) = match operation {
            CacheOperation::Cvac => (&mut instructions.cvac, Some(Maintenance::Clean)),
            CacheOperation::Civac => (&mut instructions.civac, Some(Maintenance::CleanInvalidate)),
            CacheOperation::Ivac => (&mut instructions.ivac, Some(Maintenance::Invalidate)),
            CacheOperation::Zva => (&mut instructions.zva, None),
            CacheOperation::Cvau => (&mut instructions.cvau, None),
        };
        *count += 1;
        // Early at boot the kernel runs at low addresses too.
        let by_process = !is_kernel(pc) && registers.exception_level() == 0;
        // EL0 has no IVAC: the instruction is about to be refused.
        if operation == CacheOperation::Cvau || operation == CacheOperation::Ivac && by_process {
            return;
        }
        let memory = &self.model.memory;
        let found = self.cpu.translate(registers, memory, filter, address);
        match (found, maintenance) {
            (Some(found), maintenance) if found.user || !by_process => {
                if !self.model.covers(found.physical) {
                    filter.pass(address);
                    return;
                }
                let mut place = self.place(registers, pc);
                if maintenance.is_none() {
                    place.link = registers.general(30);
                }
                let access = Access {
                    place,
                    kernel: is_kernel(address),
                    attribute: found.attribute,
                };
                match maintenance {
                    Some(kind) => self.model.maintain(kind, &access, found.physical),
                    None => self.model.zero_line(&access, found.physical),
                }
                self.tick(registers);
            }
            (_, Some(_)) => {
                let line = address / LINE * LINE;
                let place = self.place(registers, pc);
                let lines = line..line.saturating_add(LINE);
                self.model.reports.add(Kind::Unmapped, place, None, lines);
            }
            // QEMU takes the fault that the store deserves.
            (_, None) => {}
        }
        self.resolve(registers);
    }

    /// The meaning of addresses is about to change.
    pub fn tables_change(&mut self) {
        self.cpu.forget_tables();
    }

    /// Another task is about to run.
    pub fn task_switches(&mut self) {
        self.cpu.process = None;
    }

    /// Names of functions for each report.
    pub fn frames(&self) -> &[Frames] {
        &self.frames
    }

    /// The process with a number.
    pub fn process(&self, number: u32) -> Option<&Process> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.processes.get(index)
    }
}
