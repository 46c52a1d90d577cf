// SPDX-License-Identifier: MIT OR Apache-2.0

//! mmap and its kin, and accesses through mappings.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::message::{Action, Request};
use crate::model::{Buffer, Vma};
use crate::sys::{ARENA, ARENA_BYTES, PAGE};
use fpgamem_tests::{abi, Errno};

const READ: u32 = libc::PROT_READ.unsigned_abs();
const WRITE: u32 = libc::PROT_WRITE.unsigned_abs();
const EXEC: u32 = libc::PROT_EXEC.unsigned_abs();
const SHARED: u64 = 1;
const PRIVATE: u64 = 2;
const FIXED: u64 = 0x10;
const FIXED_NOREPLACE: u64 = 0x10_0000;

/// Mappings that a worker has at most.
const MAPPINGS: usize = 24;

impl Fuzzer {
    /// A free place in the arena of a worker, often right behind another mapping.
    fn place(&mut self, process: u32, len: u64) -> u64 {
        let near = self
            .mapping(process)
            .filter(|_| self.chance(30))
            .map(|(_, vma)| vma.end);
        let mut start = near.unwrap_or(0);
        loop {
            let vmas = &self.model.processes[&process].vmas;
            let before = vmas.range(..start.saturating_add(len)).next_back();
            let free = before.is_none_or(|(_, vma)| vma.end <= start);
            if free && start >= ARENA && start + len <= ARENA + ARENA_BYTES {
                return start;
            }
            start = ARENA + self.random.below((ARENA_BYTES - len) / PAGE) * PAGE;
        }
    }

    /// Whole pages within a VMA.
    fn part(&mut self, start: u64, vma: Vma) -> (u64, u64) {
        let pages = (vma.end - start) / PAGE;
        if self.chance(50) {
            return (start, vma.end);
        }
        let first = self.random.below(pages);
        let count = 1 + self.random.below(pages - first);
        (start + first * PAGE, start + (first + count) * PAGE)
    }

    /// A protection that a file may be mapped with.
    fn protection(&mut self, read_only: bool) -> u32 {
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
        let Some((process, descriptor, file)) = self.descriptor() else {
            return Ok(None);
        };
        if self.model.processes[&process].vmas.len() >= MAPPINGS {
            return Ok(None);
        }
        let read_only = self.model.files[&file].read_only;
        let mut len = self.length();
        let mut protection = self.protection(read_only);
        let (address, mut flags) = if over {
            let Some((start, vma)) = self.mapping(process) else {
                return Ok(None);
            };
            // Blocks that go to quarantine would keep the new buffer waiting.
            if self.model.buffers[&vma.buffer].device {
                return Ok(None);
            }
            let (start, end) = self.part(start, vma);
            len = end - start;
            (start, SHARED | FIXED)
        } else {
            let place = self.place(process, len.next_multiple_of(PAGE));
            (place, SHARED | FIXED_NOREPLACE)
        };
        let mut expected = Ok(());
        if !over && self.chance(20) {
            expected = Err(Errno::EINVAL);
            match self.random.below(4) {
                0 => flags = PRIVATE | FIXED_NOREPLACE,
                1 => protection = READ | EXEC,
                2 => len = 0,
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
            Ok(()) => self.predict(len.next_multiple_of(PAGE), 0),
            Err(errno) => Err(errno),
        };
        let args = [address, len, protection.into(), flags, descriptor, 0];
        let result = self.syscall(process, libc::SYS_mmap, &args)?;
        same("mmap", place.map(|_| address), result)?;
        if let Ok(start) = place {
            let buffer = Buffer {
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
        let address = self.place(process, len);
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

    pub(crate) fn unmap(&mut self) -> Step {
        let process = self.process();
        let Some((start, vma)) = self.mapping(process) else {
            return Ok(None);
        };
        let (mut start, end) = self.part(start, vma);
        let mut expected = Ok(0);
        if self.chance(5) {
            start += 8;
            expected = Err(Errno::EINVAL);
        }
        let args = [start, end - start];
        let result = self.syscall(process, libc::SYS_munmap, &args)?;
        same("munmap", expected, result)?;
        if expected.is_ok() {
            self.model.unmap(process, start, end);
        }
        Ok(Some(expected.map(drop)))
    }

    /// mremap: a move, with or without shrinking, a shrinking in place, or a refused growth.
    pub(crate) fn remap(&mut self) -> Step {
        let process = self.process();
        let Some((start, vma)) = self.mapping(process) else {
            return Ok(None);
        };
        let len = vma.end - start;
        let new_len = (1 + self.random.below(len / PAGE)) * PAGE;
        let result;
        let expected = match self.random.below(4) {
            0 => {
                let args = [
                    start,
                    len,
                    len + PAGE,
                    libc::MREMAP_MAYMOVE.unsigned_abs().into(),
                ];
                result = self.syscall(process, libc::SYS_mremap, &args)?;
                Err(Errno::EFAULT)
            }
            1 => {
                result = self.syscall(process, libc::SYS_mremap, &[start, len, new_len, 0])?;
                self.model.unmap(process, start + new_len, vma.end);
                Ok(start)
            }
            _ => {
                let to = self.place(process, new_len);
                let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
                let args = [start, len, new_len, flags.unsigned_abs().into(), to];
                result = self.syscall(process, libc::SYS_mremap, &args)?;
                self.model.unmap(process, start + new_len, vma.end);
                self.model.moved(process, start, start + new_len, to);
                Ok(to)
            }
        };
        same("mremap", expected, result)?;
        Ok(Some(expected.map(drop)))
    }

    pub(crate) fn protect(&mut self) -> Step {
        let process = self.process();
        let Some((start, vma)) = self.mapping(process) else {
            return Ok(None);
        };
        let (start, end) = self.part(start, vma);
        let choices = [0, READ, READ | WRITE, READ | WRITE, READ | EXEC];
        let protection = choices[self.index(choices.len())];
        // A file that is open for reading only gives no mapping that may become writable.
        let read_only = self
            .model
            .files
            .get(&vma.file)
            .is_some_and(|file| file.read_only);
        let refused = protection & EXEC != 0 || read_only && protection & WRITE != 0;
        let expected = if refused { Err(Errno::EACCES) } else { Ok(0) };
        let args = [start, end - start, protection.into()];
        let result = self.syscall(process, libc::SYS_mprotect, &args)?;
        same("mprotect", expected, result)?;
        if expected.is_ok() {
            self.model
                .change(process, start, end, |vma| vma.protection = protection);
        }
        Ok(Some(expected.map(drop)))
    }

    pub(crate) fn advise(&mut self) -> Step {
        let process = self.process();
        let Some((start, vma)) = self.mapping(process) else {
            return Ok(None);
        };
        let (start, end) = self.part(start, vma);
        let choices = [
            (libc::MADV_NORMAL, Ok(0)),
            (libc::MADV_DONTFORK, Ok(0)),
            (libc::MADV_DOFORK, Err(Errno::EINVAL)),
            (libc::MADV_DONTNEED, Err(Errno::EINVAL)),
            (9999, Err(Errno::EINVAL)),
        ];
        let (advice, expected) = choices[self.index(choices.len())];
        let args = [start, end - start, advice.unsigned_abs().into()];
        let result = self.syscall(process, libc::SYS_madvise, &args)?;
        same("madvise", expected, result)?;
        if advice == libc::MADV_DONTFORK {
            self.model
                .change(process, start, end, |vma| vma.stays = true);
        }
        Ok(Some(expected.map(drop)))
    }

    /// A mapped word that may be accessed: its address, buffer and offset there.
    fn word(&mut self, process: u32, protection: u32) -> Option<(u64, u32, u64)> {
        let (start, vma) = self.mapping(process)?;
        if vma.protection & protection != protection {
            return None;
        }
        let past = self.random.below((vma.end - start) / 8) * 8;
        Some((start + past, vma.buffer, vma.offset + past))
    }

    pub(crate) fn load(&mut self) -> Step {
        let process = self.process();
        let Some((mut address, buffer, mut offset)) = self.word(process, READ) else {
            return Ok(None);
        };
        // Rather a word that has been written.
        let near = self.model.buffers[&buffer].words.range(offset..).next();
        if let Some((&written, _)) = near.filter(|(at, _)| **at / PAGE == offset / PAGE) {
            address += written - offset;
            offset = written;
        }
        let answer = self.call(process, Request::new(Action::Load, &[address]))?;
        same(
            "the word",
            Ok(self.model.buffers[&buffer].word(offset)),
            answer.result,
        )?;
        Ok(Some(Ok(())))
    }

    pub(crate) fn store(&mut self) -> Step {
        let process = self.process();
        let Some((address, buffer, offset)) = self.word(process, READ | WRITE) else {
            return Ok(None);
        };
        let value = 1 + self.random.below(u64::MAX - 1);
        self.call(process, Request::new(Action::Store, &[address, value]))?;
        if let Some(buffer) = self.model.buffers.get_mut(&buffer) {
            buffer.words.insert(offset, value);
        }
        Ok(Some(Ok(())))
    }

    pub(crate) fn digest(&mut self) -> Step {
        let process = self.process();
        let Some((address, buffer, offset)) = self.word(process, READ) else {
            return Ok(None);
        };
        let into = address % PAGE;
        let answer = self.call(process, Request::new(Action::Digest, &[address - into]))?;
        let expected = self.model.buffers[&buffer].digest(offset - into);
        same("the digest of a page", Ok(expected), answer.result)?;
        Ok(Some(Ok(())))
    }

    /// The ZDMA copies a page by physical addresses.
    pub(crate) fn copy_by_zdma(&mut self) -> Step {
        let mut pages = [(0, 0); 2];
        for page in &mut pages {
            let index = self.index(self.model.buffers.len());
            let Some(&buffer) = self.model.buffers.keys().nth(index) else {
                return Ok(None);
            };
            let count = self.model.bytes(buffer) / PAGE;
            *page = (buffer, self.random.below(count) * PAGE);
        }
        let [from, to] = pages;
        if from == to {
            return Ok(None);
        }
        let phys = |(buffer, offset): (u32, u64)| self.model.phys(buffer) + offset;
        self.zdma.copy(phys(from), phys(to), abi_page());
        let words = self.model.buffers[&from.0]
            .words
            .range(from.1..from.1 + PAGE);
        let copied: Vec<(u64, u64)> = words
            .map(|(at, word)| (at - from.1 + to.1, *word))
            .collect();
        if let Some(target) = self.model.buffers.get_mut(&to.0) {
            target
                .words
                .retain(|at, _| !(to.1..to.1 + PAGE).contains(at));
            target.words.extend(copied);
        }
        Ok(Some(Ok(())))
    }
}

/// Bytes of a page as the ZDMA counts them.
fn abi_page() -> u32 {
    1 << abi::MIN_ALIGN_SHIFT
}
