// SPDX-License-Identifier: MIT OR Apache-2.0

//! Accesses through mappings, and those of the DMA.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::mappings::{READ, WRITE};
use crate::message::{Action, Request};
use crate::sys::PAGE;
use fpgamem_tests::{abi, Errno};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

impl Fuzzer {
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

    /// The coordinator reads or writes a word of a worker as a debugger does.
    pub(crate) fn inspect(&mut self) -> Step {
        let process = self.process();
        let Some((address, buffer, offset)) = self.word(process, 0) else {
            return Ok(None);
        };
        let path = format!("/proc/{}/mem", self.model.processes[&process].pid);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|error| format!("{path}: {error}"))?;
        let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0));
        if self.chance(60) {
            let mut word = [0; 8];
            let result = file.read_exact_at(&mut word, address).map_err(errno);
            let expected = self.model.buffers[&buffer].word(offset);
            same("a read", Ok(()), result)?;
            same("the word", expected, u64::from_ne_bytes(word))?;
            return Ok(Some(Ok(())));
        }
        let value = 1 + self.random.below(u64::MAX - 1);
        let result = file.write_all_at(&value.to_ne_bytes(), address);
        let vma = self.model.vma_at(process, address);
        let writable = vma.is_some_and(|(_, vma)| vma.protection & WRITE != 0);
        let expected = if writable { Ok(()) } else { Err(Errno::EIO) };
        same("a write", expected, result.map_err(errno))?;
        if let Some(buffer) = self.model.buffers.get_mut(&buffer).filter(|_| writable) {
            buffer.words.insert(offset, value);
        }
        Ok(Some(expected))
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
