// SPDX-License-Identifier: MIT OR Apache-2.0

//! mmap of new buffers and of those that have a handle.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::model::blocks::HUGE;
use crate::model::{Buffer, Vma};
use crate::sys::{ARENA, ARENA_BYTES, PAGE};
use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::{block_map, Errno};

pub(crate) const READ: u32 = libc::PROT_READ.unsigned_abs();
pub(crate) const WRITE: u32 = libc::PROT_WRITE.unsigned_abs();
pub(crate) const EXEC: u32 = libc::PROT_EXEC.unsigned_abs();
pub(crate) const SHARED: u64 = 1;
pub(crate) const PRIVATE: u64 = 2;
const FIXED: u64 = 0x10;
pub(crate) const FIXED_NOREPLACE: u64 = 0x10_0000;

/// Mappings that a worker has at most.
const MAPPINGS: usize = 24;

impl Fuzzer {
    /// A free place in the arena of a worker, often right behind another mapping.
    pub(crate) fn place(&mut self, process: u32, len: u64) -> u64 {
        let near = self
            .mapping(process)
            .filter(|_| self.chance(30))
            .map(|(_, vma)| vma.end);
        self.place_in(process, len, near.unwrap_or(0), PAGE, 0)
    }

    /// The same for memory at a physical address: where huge pages can map it, if it is that long.
    fn place_for(&mut self, process: u32, len: u64, phys: u64) -> u64 {
        if len < HUGE || self.chance(20) {
            return self.place(process, len);
        }
        self.place_in(process, len, 0, HUGE, phys % HUGE)
    }

    /// `start`, or a place that is so many bytes past a multiple of `step`.
    fn place_in(&mut self, process: u32, len: u64, start: u64, step: u64, past: u64) -> u64 {
        let mut start = start;
        loop {
            let vmas = &self.model.processes[&process].vmas;
            let before = vmas.range(..start.saturating_add(len)).next_back();
            let free = before.is_none_or(|(_, vma)| vma.end <= start);
            if free && start >= ARENA && start + len <= ARENA + ARENA_BYTES {
                return start;
            }
            start = ARENA + past + self.random.below((ARENA_BYTES - len) / step) * step;
        }
    }

    /// Whole pages within a VMA.
    pub(crate) fn part(&mut self, start: u64, vma: Vma) -> (u64, u64) {
        let pages = (vma.end - start) / PAGE;
        if self.chance(50) {
            return (start, vma.end);
        }
        let first = self.random.below(pages);
        let count = 1 + self.random.below(pages - first);
        (start + first * PAGE, start + (first + count) * PAGE)
    }

    /// A protection that a file may be mapped with.
    pub(crate) fn protection(&mut self, read_only: bool) -> u32 {
        let choices = [READ | WRITE, READ | WRITE, READ | WRITE, READ, 0];
        let chosen = choices[self.index(choices.len())];
        if read_only {
            chosen & READ
        } else {
            chosen
        }
    }

    /// mmap at offset 0, at a free place or over another mapping.
    pub(crate) fn map_new(&mut self, over: bool) -> Step {
        let Some((process, descriptor, file)) = self.any_descriptor() else {
            return Ok(None);
        };
        if self.model.processes[&process].vmas.len() >= MAPPINGS {
            return Ok(None);
        }
        let is_paddle = self.model.files[&file].paddle;
        let offset = match is_paddle || self.chance(85) {
            true => 0,
            false => paddle::B_BASE,
        };
        let read_only = self.model.files[&file].read_only;
        let mut len = self.length();
        let mut protection = self.protection(read_only);
        let (mut address, mut flags) = if over {
            let Some((start, vma)) = self.mapping(process) else {
                return Ok(None);
            };
            // Blocks that go to quarantine would keep the new buffer waiting.
            if self.model.is_marked(vma.buffer) {
                return Ok(None);
            }
            let (start, end) = self.part(start, vma);
            len = end - start;
            (start, SHARED | FIXED)
        } else {
            let blocks = self.model.blocks_for(len);
            // Only a guess, for blocks that were just freed may be taken again.
            let phys = self
                .model
                .find(blocks, 0)
                .map_or(0, |block| self.model.phys(block));
            let place = self.place_for(process, len.next_multiple_of(PAGE), phys);
            (place, SHARED | FIXED_NOREPLACE)
        };
        let mut expected = Ok(());
        if !over && self.chance(20) {
            expected = Err(Errno::EINVAL);
            // Some of Paddle's clients exit at EINVAL of what is shared.
            let refused = if is_paddle {
                Errno::ENOMEM
            } else {
                Errno::EINVAL
            };
            match self.random.below(5) {
                0 => flags = PRIVATE | FIXED_NOREPLACE,
                1 => {
                    protection = READ | EXEC;
                    expected = Err(refused);
                }
                2 => len = 0,
                3 => {
                    let blocks = u64::from(self.model.nr_blocks);
                    len = blocks * self.model.block_bytes + 1 + self.random.below(1 << 20);
                    address = self.place(process, len.next_multiple_of(PAGE));
                    expected = Err(refused);
                }
                _ => {
                    protection = READ | WRITE;
                    expected = if read_only {
                        Err(Errno::EACCES)
                    } else {
                        Ok(())
                    };
                }
            }
        }
        let mut gone = Vec::new();
        let end = address + len.next_multiple_of(PAGE);
        if over {
            gone = self.model.unmapped(process, address, end);
        }
        let place = match expected {
            // The hook sees whole pages.
            Ok(()) => self.predict(file, len.next_multiple_of(PAGE), 0),
            Err(errno) => Err(errno),
        };
        let args = [address, len, protection.into(), flags, descriptor, offset];
        let result = self.syscall(process, libc::SYS_mmap, &args)?;
        let mapped = place.as_ref().map(|_| address).map_err(|errno| *errno);
        same("mmap", mapped, result)?;
        if let Ok((places, slot)) = &place {
            let (start, slot) = (self.shown(places)?, *slot);
            let buffer = Buffer {
                slot,
                blocks: self.model.blocks_for(len.next_multiple_of(PAGE)),
                flags: self.model.default_flags,
                file,
                pid: self.model.processes[&process].pid,
                ..Buffer::default()
            };
            self.model.allocated(start, buffer);
            let vma = Vma {
                end,
                buffer: start,
                offset: 0,
                file,
                protection,
                stays: false,
            };
            self.model.mapped(process, address, vma);
        }
        for (_, vma) in gone {
            self.model.release(vma.file);
        }
        Ok(Some(place.map(drop)))
    }

    /// The one of `places` where debugfs shows a buffer that the model does not know yet.
    fn shown(&self, places: &[u32]) -> Result<u32, String> {
        if let [only] = places {
            return Ok(*only);
        }
        let lines = block_map::read();
        let starts = lines
            .iter()
            .filter_map(|line| self.model.block_at(line.phys.start));
        let mut new = starts.filter(|start| !self.model.buffers.contains_key(start));
        let start = new.next().ok_or("debugfs shows no new buffer")?;
        self.chosen(places, self.model.phys(start))
    }

    /// mmap of a buffer that has a handle, or of a part of it.
    pub(crate) fn map_handle(&mut self) -> Step {
        let Some((process, descriptor, file)) = self.descriptor() else {
            return Ok(None);
        };
        if self.model.processes[&process].vmas.len() >= MAPPINGS {
            return Ok(None);
        }
        let Some((_, buffer)) = self.handle(file) else {
            return Ok(None);
        };
        let pages = self.model.bytes(buffer) / PAGE;
        let first = if self.chance(50) {
            0
        } else {
            self.random.below(pages)
        };
        let mut len = (1 + self.random.below(pages - first)) * PAGE;
        if pages * PAGE >= HUGE && self.chance(60) {
            len = (pages - first) * PAGE;
        }
        let mut offset = self.model.mmap_offset(self.model.phys(buffer)) + first * PAGE;
        let mut flags = SHARED | FIXED_NOREPLACE;
        let protection = self.protection(self.model.files[&file].read_only);
        let mut expected = Ok(());
        if self.chance(25) {
            expected = Err(Errno::EINVAL);
            match self.random.below(4) {
                0 => len = (pages - first + 1) * PAGE,
                1 => offset = PAGE * (1 + self.random.below(1000)),
                2 => offset += 1 << 41,
                _ => flags = PRIVATE | FIXED_NOREPLACE,
            }
        }
        let address = self.place_for(process, len, self.model.phys(buffer) + first * PAGE);
        let args = [address, len, protection.into(), flags, descriptor, offset];
        let result = self.syscall(process, libc::SYS_mmap, &args)?;
        same("mmap", expected.map(|()| address), result)?;
        if expected.is_ok() {
            let end = address + len;
            let vma = Vma {
                end,
                buffer,
                offset: first * PAGE,
                file,
                protection,
                stays: false,
            };
            self.model.mapped(process, address, vma);
        }
        Ok(Some(expected))
    }
}
