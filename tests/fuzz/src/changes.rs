// SPDX-License-Identifier: MIT OR Apache-2.0

//! What becomes of mappings: munmap, mremap, mprotect and madvise.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::mappings::{EXEC, READ, WRITE};
use crate::message::{Action, Request};
use crate::model::blocks::HUGE;
use crate::model::Vma;
use crate::sys::PAGE;
use fpgamem_tests::Errno;

impl Fuzzer {
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

    /// The longest mapping of all workers that may be written, if huge pages may map it.
    fn huge_mapping(&self) -> Option<(u32, u64, Vma)> {
        let processes = self.model.processes.iter();
        let all = processes.flat_map(|(&process, of)| {
            let vmas = of.vmas.iter();
            vmas.map(move |(&start, &vma)| (process, start, vma))
        });
        let huge =
            all.filter(|(_, start, vma)| vma.end - start >= HUGE && vma.protection == READ | WRITE);
        huge.max_by_key(|(_, start, vma)| vma.end - start)
    }

    /// What a word was before a page near it is protected is what it is afterwards: a huge page that
    /// maps both is replaced by pages.
    fn split(&mut self, process: u32, start: u64, vma: Vma) -> Step {
        let page = self.random.below((vma.end - start) / PAGE) * PAGE;
        let near = page / HUGE * HUGE + self.random.below(HUGE / 8) * 8;
        let past = near.min(vma.end - start - 8);
        let value = 1 + self.random.below(u64::MAX - 1);
        self.call(process, Request::new(Action::Store, &[start + past, value]))?;
        if let Some(buffer) = self.model.buffers.get_mut(&vma.buffer) {
            buffer.words.insert(vma.offset + past, value);
        }
        let args = [start + page, PAGE, READ.into()];
        let result = self.syscall(process, libc::SYS_mprotect, &args)?;
        same("mprotect", Ok(0), result)?;
        let end = start + page + PAGE;
        self.model
            .change(process, start + page, end, |vma| vma.protection = READ);
        let answer = self.call(process, Request::new(Action::Load, &[start + past]))?;
        same("the word", Ok(value), answer.result)?;
        Ok(Some(Ok(())))
    }

    pub(crate) fn protect(&mut self) -> Step {
        if let Some((process, start, vma)) = self.huge_mapping().filter(|_| self.chance(40)) {
            return self.split(process, start, vma);
        }
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
}
