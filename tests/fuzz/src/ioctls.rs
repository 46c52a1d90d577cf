// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ioctls: valid ones, and such as have one wrong field.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::message::{Action, Answer, Request};
use crate::model::Buffer;
use crate::sys::{PAGE, SCRATCH};
use fpgamem_tests::{abi, Errno};

/// Two fields of 32 bits in a word.
fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// The lower field of a word.
fn low(word: u64) -> u32 {
    u32::try_from(word & 0xffff_ffff).unwrap_or(0)
}

/// A range in a buffer of a worker, for cache maintenance.
type Range = ([u64; 3], Result<(), Errno>);

impl Fuzzer {
    fn ioctl(
        &mut self,
        process: u32,
        descriptor: u64,
        command: u32,
        words: &[u64],
    ) -> Result<Answer, String> {
        let args = [descriptor, command.into(), SCRATCH];
        let mut request = Request::new(Action::Ioctl, &args);
        request.payload[..words.len()].copy_from_slice(words);
        self.call(process, request)
    }

    pub(crate) fn info(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.descriptor() else {
            return Ok(None);
        };
        let answer = self.ioctl(process, descriptor, abi::IOC_INFO, &[])?;
        same("INFO", Ok(0), answer.result)?;
        let (model, got) = (&self.model, &answer.payload);
        let free = u64::from(model.nr_blocks - model.blocks_used()) * model.block_bytes;
        same("free bytes", free, got[6])?;
        let buffers = u32::try_from(model.buffers.len()).unwrap_or(u32::MAX);
        same("buffers", buffers, low(got[7]))?;
        for (shift, seen) in (abi::MIN_ALIGN_SHIFT..).zip(&got[8..8 + abi::NR_ALIGNMENTS]) {
            let largest = u64::from(model.largest(1 << shift)) * model.block_bytes;
            same("largest free run", largest, *seen)?;
        }
        same("quarantined bytes", 0, got[27])?;
        Ok(Some(Ok(())))
    }

    /// What an allocation must come to, and its first block.
    pub(crate) fn predict(&mut self, len: u64, align: u64) -> Result<u32, Errno> {
        let blocks = self.model.blocks_for(len);
        let found = self.model.find(blocks, align);
        if found.is_none() {
            self.model.counts.failures += 1;
        }
        found.ok_or(Errno::ENOMEM)
    }

    /// A length that is often small.
    pub(crate) fn length(&mut self) -> u64 {
        let block = self.model.block_bytes;
        let blocks = match self.random.below(100) {
            0..=1 => return block * u64::from(self.model.nr_blocks),
            2..=9 => self.random.below(64),
            _ => self.random.below(4),
        };
        blocks * block + 1 + self.random.below(block)
    }

    pub(crate) fn alloc(&mut self) -> Step {
        let Some((process, descriptor, file)) = self.descriptor() else {
            return Ok(None);
        };
        let region = self.model.block_bytes * u64::from(self.model.nr_blocks);
        let mut words = [0; 9];
        words[0] = self.length();
        if self.chance(20) {
            words[1] = 1 << self.random.below(24);
        }
        let choices = [0, 0, 0, 1, 2, 4, 5, 3];
        words[2] = choices[self.index(choices.len())];
        let mut expected = Ok(());
        if self.chance(20) {
            expected = Err(Errno::EINVAL);
            match self.random.below(7) {
                0 => words[0] = 0,
                1 => words[0] = region + 1 + self.random.below(u64::MAX - region - 1),
                2 => words[1] = 3 << self.random.below(20),
                3 => words[1] = abi::MAX_ALIGN << (1 + self.random.below(30)),
                4 => words[2] |= 1 << (3 + self.random.below(29)),
                5 => words[2] |= 6,
                _ => words[7 + self.index(2)] = 1 << (32 + self.random.below(32)),
            }
        }
        let flags = low(words[2]);
        let place = match expected {
            Ok(()) => self.predict(words[0], words[1]),
            Err(errno) => Err(errno),
        };
        let answer = self.ioctl(process, descriptor, abi::IOC_ALLOC, &words)?;
        same("ALLOC", place.map(|_| 0), answer.result)?;
        let Ok(start) = place else {
            return Ok(Some(place.map(drop)));
        };
        let got = &answer.payload;
        let handle = low(got[2] >> 32);
        let used = self.model.files[&file].handles.contains_key(&handle);
        same(
            "whether the handle is 0 or in use",
            false,
            handle == 0 || used,
        )?;
        let coherency = match flags & 6 {
            2 => abi::BUFFER_COHERENT,
            4 => 0,
            _ => self.model.default_flags,
        };
        let phys = self.model.phys(start);
        let blocks = self.model.blocks_for(words[0]);
        let buffer = Buffer {
            blocks,
            flags: coherency | (flags & abi::ALLOC_WRITE_COMBINE),
            file,
            handle,
            pid: self.model.processes[&process].pid,
            ..Buffer::default()
        };
        self.model.allocated(start, buffer);
        let bytes = self.model.bytes(start);
        let offset = self.model.mmap_offset(phys);
        same("the buffer", &[bytes, phys, phys, offset][..], &got[3..7])?;
        same("slot", abi::NO_SLOT, low(got[7]))?;
        Ok(Some(Ok(())))
    }

    /// A handle of a file, or an unknown one with the errno that it gives.
    fn some_handle(&mut self, file: u32) -> (u32, Result<u32, Errno>) {
        if !self.chance(15) {
            if let Some((handle, buffer)) = self.handle(file) {
                return (handle, Ok(buffer));
            }
        }
        let handles = [0, u32::MAX - low(self.random.below(1000))];
        (handles[self.index(2)], Err(Errno::ENOENT))
    }

    pub(crate) fn free(&mut self) -> Step {
        let Some((process, descriptor, file)) = self.descriptor() else {
            return Ok(None);
        };
        let (handle, buffer) = self.some_handle(file);
        let mut expected = buffer.map(|_| 0);
        let mut word = pair(handle, 0);
        if self.chance(10) {
            word |= 1 << (32 + self.random.below(32));
            expected = Err(Errno::EINVAL);
        }
        let answer = self.ioctl(process, descriptor, abi::IOC_FREE, &[word])?;
        same("FREE", expected, answer.result)?;
        if expected.is_ok() {
            self.model.free_handle(file, handle);
        }
        Ok(Some(expected.map(drop)))
    }

    pub(crate) fn query(&mut self) -> Step {
        let Some((process, descriptor, file)) = self.descriptor() else {
            return Ok(None);
        };
        let (handle, buffer) = self.some_handle(file);
        let mut words = [0; 7];
        words[0] = handle.into();
        let mut buffer = buffer;
        if self.chance(10) {
            words[5] = 1 << (32 + self.random.below(32));
            buffer = Err(Errno::EINVAL);
        }
        let answer = self.ioctl(process, descriptor, abi::IOC_QUERY, &words)?;
        same("QUERY", buffer.map(|_| 0), answer.result)?;
        if let Ok(start) = buffer {
            let phys = self.model.phys(start);
            let flags = self.model.buffers[&start].flags;
            let offset = self.model.mmap_offset(phys);
            let expected = [
                pair(handle, flags),
                self.model.bytes(start),
                phys,
                phys,
                offset,
            ];
            same("the buffer", &expected[..], &answer.payload[..5])?;
        }
        Ok(Some(buffer.map(drop)))
    }

    /// An address of a worker that no buffer is at.
    fn stray_address(&mut self, process: u32) -> u64 {
        let ends: Vec<u64> = self.model.processes[&process]
            .vmas
            .values()
            .map(|v| v.end)
            .collect();
        let choices = [0, SCRATCH, SCRATCH + PAGE, u64::MAX - 7];
        if let Some(&end) = ends.get(self.index(ends.len())) {
            if self.chance(50) && self.model.vma_at(process, end).is_none() {
                return end;
            }
        }
        choices[self.index(choices.len())]
    }

    pub(crate) fn user_to_phys(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.descriptor() else {
            return Ok(None);
        };
        let mapping = self.mapping(process).filter(|_| !self.chance(20));
        let mut words = [0; 6];
        let mut expected = Err(Errno::EFAULT);
        if let Some((start, vma)) = mapping {
            words[0] = start + self.random.below(vma.end - start);
            expected = Ok(0);
        } else {
            words[0] = self.stray_address(process);
        }
        if self.chance(10) {
            words[5] = 1 << self.random.below(64);
            expected = Err(Errno::EINVAL);
        }
        let answer = self.ioctl(process, descriptor, abi::IOC_USER_TO_PHYS, &words)?;
        same("USER_TO_PHYS", expected, answer.result)?;
        if let (Ok(_), Some((start, vma))) = (expected, mapping) {
            let phys = self.model.phys(vma.buffer) + vma.offset + (words[0] - start);
            let bytes = self.model.contiguous(process, words[0]);
            let flags = self.model.buffers[&vma.buffer].flags;
            let expected = [words[0], phys, phys, bytes, pair(flags, abi::NO_SLOT)];
            same("the place", &expected[..], &answer.payload[..5])?;
        }
        Ok(Some(expected.map(drop)))
    }

    pub(crate) fn phys_to_user(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.descriptor() else {
            return Ok(None);
        };
        let region = self.model.block_bytes * u64::from(self.model.nr_blocks);
        let mut past = self.random.below(region);
        if let Some((start, vma)) = self.mapping(process).filter(|_| !self.chance(20)) {
            let first = self.model.phys(vma.buffer) - self.model.base;
            past = first + vma.offset + self.random.below(vma.end - start);
        }
        let mut words = [self.model.base + past, 0, 0, 0];
        let block = low(past / self.model.block_bytes);
        let buffer = self.model.buffers.range(..=block).next_back();
        let address = buffer.and_then(|(&start, _)| {
            let offset = words[0] - self.model.phys(start);
            self.model.address_of(process, start, offset)
        });
        let mut expected = address.ok_or(Errno::EFAULT);
        match self.random.below(20) {
            0 => {
                words[3] = 1 << self.random.below(64);
                expected = Err(Errno::EINVAL);
            }
            1 => {
                words[0] = self.model.base - 1 - self.random.below(self.model.base);
                expected = Err(Errno::EFAULT);
            }
            _ => {}
        }
        let answer = self.ioctl(process, descriptor, abi::IOC_PHYS_TO_USER, &words)?;
        same("PHYS_TO_USER", expected.map(|_| 0), answer.result)?;
        if let Ok(address) = expected {
            let bytes = self.model.contiguous(process, address);
            same("the place", &[address, bytes][..], &answer.payload[1..3])?;
        }
        Ok(Some(expected.map(drop)))
    }

    /// A range by handle or by address, and what its maintenance must come to.
    fn range(&mut self, process: u32, file: u32, may_fail: bool) -> Range {
        let by_handle = self.handle(file).filter(|_| self.chance(50));
        let (from, room, handle) = match (by_handle, self.mapping(process)) {
            (Some((handle, buffer)), _) => (0, self.model.bytes(buffer), handle),
            (None, Some((start, _))) => (start, self.model.contiguous(process, start), 0),
            (None, None) => return ([SCRATCH, 8, 0], Err(Errno::EFAULT)),
        };
        let past = self.random.below(room);
        let mut words = [
            from + past,
            1 + self.random.below(room - past),
            handle.into(),
        ];
        let mut expected = Ok(());
        if may_fail && self.chance(30) {
            expected = Err(Errno::EFAULT);
            match self.random.below(5) {
                0 => words[1] = room - past + 1 + self.random.below(8),
                1 => words[1] = u64::MAX - self.random.below(room),
                2 => {
                    words[1] = 0;
                    expected = Err(Errno::EINVAL);
                }
                3 => {
                    words[2] |= 1 << (32 + self.random.below(32));
                    expected = Err(Errno::EINVAL);
                }
                _ => {
                    words[2] = pair(u32::MAX, 0);
                    expected = Err(Errno::ENOENT);
                }
            }
        }
        (words, expected)
    }

    pub(crate) fn sync_one(&mut self, invalidate: bool) -> Step {
        let Some((process, descriptor, file)) = self.descriptor() else {
            return Ok(None);
        };
        let (words, expected) = self.range(process, file, true);
        let command = if invalidate {
            abi::IOC_INVALIDATE
        } else {
            abi::IOC_FLUSH
        };
        let answer = self.ioctl(process, descriptor, command, &words)?;
        same("the sync", expected.map(|()| 0), answer.result)?;
        if expected.is_ok() {
            self.count_sync(invalidate, 1);
        }
        Ok(Some(expected))
    }

    fn count_sync(&mut self, invalidate: bool, ranges: u64) {
        let counts = &mut self.model.counts;
        if invalidate {
            counts.invalidate_calls += ranges;
        } else {
            counts.flush_calls += ranges;
        }
    }

    pub(crate) fn sync_many(&mut self) -> Step {
        let Some((process, descriptor, file)) = self.descriptor() else {
            return Ok(None);
        };
        let count = 1 + low(self.random.below(8));
        let invalidate = self.chance(50);
        let op = if invalidate {
            abi::SYNC_INVALIDATE
        } else {
            abi::SYNC_FLUSH
        };
        let mut words = vec![SCRATCH + 24, pair(count, op), 0];
        let bad = self.chance(30).then(|| self.random.below(count.into()));
        let mut expected = Ok(());
        for index in 0..u64::from(count) {
            let (range, outcome) = self.range(process, file, bad == Some(index));
            words.extend(range);
            expected = expected.and(outcome);
        }
        if self.chance(15) {
            expected = Err(Errno::EINVAL);
            match self.random.below(4) {
                0 => words[1] = pair(0, op),
                1 => words[1] = pair(abi::MAX_RANGES + 1, op),
                2 => words[1] = pair(count, 3 + low(self.random.below(1000))),
                _ => words[2] = 1 << self.random.below(64),
            }
        } else if self.chance(5) {
            words[0] = SCRATCH + PAGE;
            expected = Err(Errno::EFAULT);
        }
        let answer = self.ioctl(process, descriptor, abi::IOC_SYNC, &words)?;
        same("SYNC", expected.map(|()| 0), answer.result)?;
        if expected.is_ok() {
            self.count_sync(invalidate, count.into());
        }
        Ok(Some(expected))
    }

    pub(crate) fn set_owner(&mut self) -> Step {
        let Some((process, descriptor, file)) = self.descriptor() else {
            return Ok(None);
        };
        let owner = low(self.random.below(2));
        let by_handle = self.handle(file).filter(|_| self.chance(50));
        let (mut words, target) = match (by_handle, self.mapping(process)) {
            (Some((handle, buffer)), _) => ([0, pair(handle, owner), 0], Ok(buffer)),
            (None, Some((start, vma))) => ([start, pair(0, owner), 0], Ok(vma.buffer)),
            (None, None) => ([0, pair(0, owner), 0], Err(Errno::EFAULT)),
        };
        let mut target = target;
        if self.chance(20) {
            target = Err(Errno::EINVAL);
            match self.random.below(2) {
                0 => words[1] |= 1 << (33 + self.random.below(31)),
                _ => words[2] = 1 << self.random.below(64),
            }
        }
        let answer = self.ioctl(process, descriptor, abi::IOC_SET_OWNER, &words)?;
        same("SET_OWNER", target.map(|_| 0), answer.result)?;
        if let Some(buffer) = target
            .ok()
            .and_then(|start| self.model.buffers.get_mut(&start))
        {
            buffer.device = owner == abi::OWNER_DEVICE;
        }
        Ok(Some(target.map(drop)))
    }

    pub(crate) fn quiet(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.descriptor() else {
            return Ok(None);
        };
        let answer = self.ioctl(process, descriptor, abi::IOC_QUIET, &[])?;
        same("QUIET", Ok(0), answer.result)?;
        Ok(Some(Ok(())))
    }

    pub(crate) fn unknown_command(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.descriptor() else {
            return Ok(None);
        };
        // Another number, size or direction than that of any command.
        let command = match self.random.below(3) {
            0 => abi::IOC_ALLOC + 0x40 + low(self.random.below(0x80)),
            1 => abi::IOC_SYNC ^ 1 << (18 + self.random.below(10)),
            _ => abi::IOC_FREE | 1 << 31,
        };
        let answer = self.ioctl(process, descriptor, command, &[])?;
        same("an unknown command", Err(Errno::ENOTTY), answer.result)?;
        Ok(Some(Err(Errno::ENOTTY)))
    }

    pub(crate) fn bad_pointer(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.descriptor() else {
            return Ok(None);
        };
        let commands = [
            abi::IOC_INFO,
            abi::IOC_ALLOC,
            abi::IOC_QUERY,
            abi::IOC_USER_TO_PHYS,
            abi::IOC_PHYS_TO_USER,
            abi::IOC_FLUSH,
            abi::IOC_INVALIDATE,
            abi::IOC_SYNC,
            abi::IOC_SET_OWNER,
        ];
        let mut command = commands[self.index(commands.len())];
        let places = [0, SCRATCH + PAGE, SCRATCH + PAGE - 8, u64::MAX - 7, SCRATCH];
        let place = places[self.index(places.len())];
        let mut action = Action::Ioctl;
        let mut expected = Errno::EFAULT;
        let mut request = Request::new(action, &[]);
        if place == SCRATCH {
            // The argument can be read; telling the result fails.
            action = Action::IoctlReadOnly;
            command = commands[self.index(2)];
            request.payload[0] = self.length();
            if command == abi::IOC_ALLOC {
                match self.predict(request.payload[0], 0) {
                    Ok(_) => {
                        self.model.counts.allocations += 1;
                        self.model.counts.frees += 1;
                    }
                    Err(errno) => expected = errno,
                }
            }
        }
        request.action = action;
        request.args[..3].copy_from_slice(&[descriptor, command.into(), place]);
        let answer = self.call(process, request)?;
        same("a bad pointer", Err(expected), answer.result)?;
        Ok(Some(Err(expected)))
    }
}
