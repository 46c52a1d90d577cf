// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ioctls about the pool and its buffers: valid ones, and such as have one wrong field.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::message::{Action, Answer, Request};
use crate::model::blocks::HUGE;
use crate::model::Buffer;
use crate::sys::SCRATCH;
use fpgamem_tests::{abi, Errno};

/// Two fields of 32 bits in a word.
pub(crate) fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// The lower field of a word.
pub(crate) fn low(word: u64) -> u32 {
    u32::try_from(word & 0xffff_ffff).unwrap_or(0)
}

/// What an allocation comes to: first blocks that it may have, and its slot.
type Predicted = Result<(Vec<u32>, Option<u32>), Errno>;

impl Fuzzer {
    pub(crate) fn ioctl(
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

    /// What an allocation through a file must come to.
    pub(crate) fn predict(&mut self, file: u32, len: u64, align: u64) -> Predicted {
        let slot = self.model.clear_next_slot(file);
        let places = self.model.places(self.model.blocks_for(len), align);
        self.model.freed.clear();
        if places.is_empty() {
            self.model.counts.failures += 1;
            return Err(Errno::ENOMEM);
        }
        Ok((places, slot))
    }

    /// The one of `places` that has a physical address.
    pub(crate) fn chosen(&self, places: &[u32], phys: u64) -> Result<u32, String> {
        let block = self.model.block_at(phys);
        let chosen = places.iter().copied().find(|&place| Some(place) == block);
        chosen.ok_or_else(|| format!("a buffer at block {block:?}, expected one of {places:?}"))
    }

    /// What the calls that describe a buffer tell of it.
    pub(crate) fn flags_and_slot(&self, buffer: u32) -> (u32, u32) {
        let buffer = &self.model.buffers[&buffer];
        (buffer.flags, buffer.slot.unwrap_or(abi::NO_SLOT))
    }

    /// A length that is often small.
    pub(crate) fn length(&mut self) -> u64 {
        let block = self.model.block_bytes;
        let blocks = match self.random.below(100) {
            0..=1 => return block * u64::from(self.model.nr_blocks),
            2..=9 => self.random.below(64),
            // Of huge pages, more or less.
            10..=13 => HUGE / block * (1 + self.random.below(2)) + self.random.below(9),
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
            Ok(()) => self.predict(file, words[0], words[1]),
            Err(errno) => Err(errno),
        };
        let answer = self.ioctl(process, descriptor, abi::IOC_ALLOC, &words)?;
        same(
            "ALLOC",
            place.as_ref().map(|_| 0).map_err(|errno| *errno),
            answer.result,
        )?;
        let (places, slot) = match place {
            Ok(place) => place,
            Err(errno) => return Ok(Some(Err(errno))),
        };
        let got = &answer.payload;
        let start = self.chosen(&places, got[4])?;
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
            slot,
            pid: self.model.processes[&process].pid,
            ..Buffer::default()
        };
        self.model.allocated(start, buffer);
        let bytes = self.model.bytes(start);
        let offset = self.model.mmap_offset(phys);
        same("the buffer", &[bytes, phys, phys, offset][..], &got[3..7])?;
        same("slot", slot.unwrap_or(abi::NO_SLOT), low(got[7]))?;
        Ok(Some(Ok(())))
    }

    /// A handle of a file, or an unknown one with the errno that it gives.
    pub(crate) fn some_handle(&mut self, file: u32) -> (u32, Result<u32, Errno>) {
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
            let (flags, slot) = self.flags_and_slot(start);
            let offset = self.model.mmap_offset(phys);
            let expected = [
                pair(handle, flags),
                self.model.bytes(start),
                phys,
                phys,
                offset,
            ];
            same("the buffer", &expected[..], &answer.payload[..5])?;
            same("slot", slot, low(answer.payload[5]))?;
        }
        Ok(Some(buffer.map(drop)))
    }
}
