// SPDX-License-Identifier: GPL-2.0-or-later

//! Who executes an instruction, and how it came to that: processes, functions and their callers.

use super::{is_kernel, Board, Frames};
use crate::cpu::{Registers, SystemRegister};
use crate::memory::{host, Memory};
use crate::page::PAGE;
use crate::process::{KernelMemory, Layout};
use crate::report::Place;
use crate::symbols::{Code, Frame};
use crate::unwind::{ReadWord, Registers as Values, FRAME_POINTER, LINK, STACK_POINTER};
use crate::walk::{walk, Tables};

/// Calls that a report follows back.
const MOST_CALLS: usize = 24;

/// Bytes of code around an instruction by which its program is recognised.
const CODE_BYTES: u64 = 64;

/// Whether the innermost function is one of those that move or clear memory and call no other.
fn is_leaf(frames: &[Frame]) -> bool {
    let name = frames.first().map_or("", |frame| frame.function.as_str());
    ["mem", "copy", "clear_page"]
        .iter()
        .any(|part| name.contains(part))
}

/// Where the kernel's function returns to whose frames begin with those of `frames`; the kernel keeps
/// a chain of frame pointers.
fn kernel_caller(frames: &[Frame], values: &mut Values, read: &ReadWord<'_>) -> Option<u64> {
    if frames.len() == 1 && is_leaf(frames) {
        return Some(values[LINK]);
    }
    let frame = values[FRAME_POINTER];
    values[FRAME_POINTER] = read(frame)?;
    read(frame.checked_add(8)?).filter(|address| is_kernel(*address))
}

/// A process's memory and the kernel's, as the page tables say.
struct Mapped<'a, M> {
    memory: &'a M,
    tables: Tables,
}

impl<M: Memory> KernelMemory for Mapped<'_, M> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Option<()> {
        let found = walk(self.memory, &self.tables, address)?;
        self.memory.read(found.physical, bytes);
        Some(())
    }
}

impl<M: Memory> Board<M> {
    /// The instruction at `pc` with the process that runs.
    pub(super) fn place(&mut self, registers: &impl Registers, pc: u64) -> Place {
        let process = match self.cpu.process {
            Some(process) => process,
            None => {
                let process = self.identify(registers);
                self.cpu.process = Some(process);
                process
            }
        };
        Place {
            pc,
            process,
            ..Place::default()
        }
    }

    /// The number of the running process, 0 if it is not known.
    fn identify(&mut self, registers: &impl Registers) -> u32 {
        let Some(anchors) = self.anchors else {
            return 0;
        };
        let mapped = Mapped {
            memory: &self.model.memory,
            tables: self.cpu.tables(registers),
        };
        if self.layout.is_none() {
            self.layout = Layout::find(&mapped, &anchors);
        }
        let offset = registers.system(SystemRegister::Tpidr);
        let process = self
            .layout
            .and_then(|layout| layout.current(&mapped, &anchors, offset));
        let Some(process) = process else {
            return 0;
        };
        if let Some(index) = self.process_index.get(&process) {
            return *index;
        }
        self.processes.push(process.clone());
        let index = u32::try_from(self.processes.len()).unwrap_or(0);
        self.process_index.insert(process, index);
        index
    }

    /// Names the places of new reports, while what they refer to is still mapped.
    pub(super) fn resolve(&mut self, registers: &impl Registers) {
        for index in self.model.reports.take_new() {
            let report = &self.model.reports.list()[index];
            let (at, cause) = (report.at, report.cause);
            let frames = Frames {
                at: match self.doorbells.get(&at) {
                    Some(frames) => frames.clone(),
                    None => self.backtrace(registers, at),
                },
                cause: cause.map_or_else(Vec::new, |cause| self.frames_of_past(registers, cause)),
            };
            self.frames.push(frames);
        }
    }

    /// The functions at a place where the processor is now, and those that called them.
    pub(super) fn backtrace(&mut self, registers: &impl Registers, place: Place) -> Vec<Frame> {
        let name = self.process_name(place);
        let mut values = [0; 32];
        for (number, value) in (0..31).zip(&mut values) {
            *value = registers.general(number);
        }
        values[STACK_POINTER] = registers.stack_pointer();
        let tables = self.cpu.tables(registers);
        let mut pc = place.pc;
        let mut frames = self
            .symbols
            .frames(pc, self.code(&tables, pc).as_ref(), &name);
        for _ in 0..MOST_CALLS {
            let memory = Mapped {
                memory: &self.model.memory,
                tables,
            };
            let read = |address| memory.read_u64(address);
            let next = match self.code(&tables, pc) {
                _ if is_kernel(pc) => kernel_caller(&frames, &mut values, &read),
                Some(code) => self.symbols.step((pc, &code, &name), &mut values, &read),
                None => None,
            };
            // The call is the instruction before the one that it returns to. The outermost function
            // has no caller, and seems to return to itself.
            let call = next.and_then(|next| next.checked_sub(4));
            let Some(call) = call.filter(|call| *call != pc) else {
                break;
            };
            pc = call;
            let code = self.code(&tables, pc);
            let more = self.symbols.frames(pc, code.as_ref(), &name);
            if more.is_empty() {
                break;
            }
            frames.extend(more);
        }
        frames
    }

    /// The functions at a place where the processor has been, and the caller if the link register
    /// told it.
    fn frames_of_past(&mut self, registers: &impl Registers, place: Place) -> Vec<Frame> {
        let name = self.process_name(place);
        let tables = self.cpu.tables(registers);
        let code = self.code(&tables, place.pc);
        let mut frames = self.symbols.frames(place.pc, code.as_ref(), &name);
        let by_link = match &code {
            _ if is_kernel(place.pc) => is_leaf(&frames),
            Some(code) => self.symbols.returns_by_link(place.pc, code, &name),
            None => false,
        };
        if let Some(call) = place.link.checked_sub(4).filter(|_| by_link) {
            let code = self.code(&tables, call);
            frames.extend(self.symbols.frames(call, code.as_ref(), &name));
        }
        frames
    }

    fn process_name(&self, place: Place) -> String {
        let process = self.process(place.process);
        process.map_or_else(String::new, |process| process.name.clone())
    }

    /// The code around an instruction, if it is mapped.
    fn code(&self, tables: &Tables, pc: u64) -> Option<Code> {
        let found = walk(&self.model.memory, tables, pc)?;
        let start = (pc % PAGE).saturating_sub(CODE_BYTES / 2);
        let in_page = start.min(PAGE - CODE_BYTES);
        let mut bytes = vec![0; host(CODE_BYTES)];
        let page = found.physical / PAGE * PAGE;
        self.model.memory.read(page + in_page, &mut bytes);
        Some(Code {
            address: pc / PAGE * PAGE + in_page,
            bytes,
        })
    }
}
