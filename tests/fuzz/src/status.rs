// SPDX-License-Identifier: MIT OR Apache-2.0

//! Status areas, and what is written there.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::mappings::{EXEC, FIXED_NOREPLACE, PRIVATE, READ, SHARED, WRITE};
use crate::message::{Action, Request};
use crate::model::{Area, Other};
use crate::sys::{OTHERS, PAGE};
use fpgamem_tests::{abi, Errno};

/// Status areas and mappings of registers that a worker has at most.
const MOST: usize = 6;

/// Bytes from one to the next.
const STRIDE: u64 = 16 << 20;

impl Fuzzer {
    /// A free place for a status area or registers, unless there are enough.
    pub(crate) fn other_place(&self, process: u32) -> Option<u64> {
        let others = &self.model.processes[&process].others;
        let mut places = (0..).map(|index| OTHERS + index * STRIDE);
        let free = places.find(|place| !others.contains_key(place));
        free.filter(|_| others.len() < MOST)
    }

    /// Enters a mapping of a status area or of registers.
    pub(crate) fn mapped_other(&mut self, process: u32, address: u64, other: Other) {
        self.model.hold(other.file);
        if let Some(process) = self.model.processes.get_mut(&process) {
            process.others.insert(address, other);
        }
    }

    pub(crate) fn map_status(&mut self) -> Step {
        let Some((process, descriptor, file)) = self.descriptor() else {
            return Ok(None);
        };
        let Some(address) = self.other_place(process) else {
            return Ok(None);
        };
        let most = abi::MAX_STATUS_BYTES / PAGE;
        let mut pages = match self.random.below(10) {
            0 => most,
            1 => 1 + self.random.below(most),
            _ => 1 + self.random.below(2),
        };
        let (mut flags, mut protection) = (SHARED | FIXED_NOREPLACE, READ | WRITE);
        let mut refused = None;
        if self.chance(15) {
            refused = Some(Errno::EINVAL);
            match self.random.below(3) {
                0 => flags = PRIVATE | FIXED_NOREPLACE,
                1 => protection = READ | EXEC,
                _ => pages = most + 1 + self.random.below(1000),
            }
        }
        if self.model.files[&file].read_only {
            // A private mapping may be written whatever the file is, but is refused.
            let private = flags & PRIVATE == PRIVATE;
            protection &= !WRITE;
            let executable = protection & EXEC != 0;
            refused = refused
                .filter(|_| private || executable)
                .or(Some(Errno::EACCES));
        }
        let there = self.model.areas.get(&file).map(|area| area.pages);
        if there.is_some_and(|there| pages > there) {
            refused = refused.or(Some(Errno::EINVAL));
        }
        let bytes = pages * PAGE;
        let offset = abi::MMAP_STATUS_OFFSET;
        let args = [address, bytes, protection.into(), flags, descriptor, offset];
        let expected = refused.map_or(Ok(address), Err);
        let result = self.syscall(process, libc::SYS_mmap, &args)?;
        same("mmap of the status area", expected, result)?;
        if expected.is_ok() {
            let area = self.model.areas.entry(file);
            area.or_insert_with(|| Area {
                pages,
                ..Area::default()
            });
            let other = Other {
                bytes,
                file,
                is_area: true,
            };
            self.mapped_other(process, address, other);
        }
        Ok(Some(expected.map(drop)))
    }

    /// Unmaps a status area or registers.
    pub(crate) fn unmap_other(&mut self) -> Step {
        let process = self.process();
        let others = &self.model.processes[&process].others;
        let Some((address, other)) = self.some_other(process, others.len(), |_| true) else {
            return Ok(None);
        };
        let args = [address, other.bytes];
        let result = self.syscall(process, libc::SYS_munmap, &args)?;
        same("munmap", Ok(0), result)?;
        if let Some(process) = self.model.processes.get_mut(&process) {
            process.others.remove(&address);
        }
        self.model.release(other.file);
        Ok(Some(Ok(())))
    }

    fn some_other(
        &mut self,
        process: u32,
        count: usize,
        such: impl Fn(&Other) -> bool,
    ) -> Option<(u64, Other)> {
        let index = self.index(count);
        let others = self.model.processes[&process].others.iter();
        let mut others = others.filter(|(_, other)| such(other)).cycle().skip(index);
        others.next().map(|(&address, &other)| (address, other))
    }

    /// Writes anything into a status area, or reads what is there: two words at once.
    pub(crate) fn status_word(&mut self) -> Step {
        let process = self.process();
        let Some((address, other)) = self.some_other(process, MOST, |other| other.is_area) else {
            return Ok(None);
        };
        let pairs = other.bytes / 8;
        // Rather words that belong to buffers, and they are the first.
        let pair = match self.chance(80) {
            true => self.random.below(4),
            false => self.random.below(pairs),
        };
        let first = u32::try_from(pair * 2).unwrap_or(0);
        let place = address + pair * 8;
        let Some(area) = self.model.areas.get(&other.file) else {
            return Err("a mapping of no status area".to_owned());
        };
        if self.random.below(3) == 0 {
            let there = u64::from(area.word(first)) | u64::from(area.word(first + 1)) << 32;
            let answer = self.call(process, Request::new(Action::Load, &[place]))?;
            same("words of the status area", Ok(there), answer.result)?;
            return Ok(Some(Ok(())));
        }
        let choices = [0, 1, 1 << 32, self.random.below(u64::MAX)];
        let value = choices[self.index(choices.len())];
        self.call(process, Request::new(Action::Store, &[place, value]))?;
        if let Some(area) = self.model.areas.get_mut(&other.file) {
            for (slot, word) in [(first, value & 0xffff_ffff), (first + 1, value >> 32)] {
                area.store(slot, u32::try_from(word).unwrap_or(0));
            }
        }
        Ok(Some(Ok(())))
    }
}
