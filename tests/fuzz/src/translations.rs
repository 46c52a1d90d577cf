// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ioctls that translate addresses.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::ioctls::{low, pair};
use crate::sys::{PAGE, SCRATCH};
use fpgamem_tests::{abi, Errno};

impl Fuzzer {
    /// An address of a worker that no buffer is at.
    pub(crate) fn stray_address(&mut self, process: u32) -> u64 {
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
            let (flags, slot) = self.flags_and_slot(vma.buffer);
            let expected = [words[0], phys, phys, bytes, pair(flags, slot)];
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
}
