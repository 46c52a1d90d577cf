// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ioctls for cache maintenance and ownership.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::ioctls::{low, pair};
use crate::sys::{PAGE, SCRATCH};
use fpgamem_tests::{abi, Errno};

/// A range in a buffer of a worker, for cache maintenance.
type Range = ([u64; 3], Result<(), Errno>);

impl Fuzzer {
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

    pub(crate) fn count_sync(&mut self, invalidate: bool, ranges: u64) {
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
}
