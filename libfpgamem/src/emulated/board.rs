// SPDX-License-Identifier: MIT OR Apache-2.0

//! The emulated memory, and the caches in front of it.
//!
//! Every line of a live buffer is in the cache, as it may be at any time on hardware. Beside what the
//! CPU sees there are what memory holds, which the FPGA sees, and what the line held when it was last
//! clean. A line that differs from the last is dirty: storing the value that a line has already does
//! not make it so.

use super::chance::Chance;
use super::cpu::CpuCopy;
use super::{Policy, LINE_BYTES};
use crate::direction::Maintenance;
use crate::map::Map;
use std::collections::BTreeMap;
use std::ops::Range;

/// What the emulated caches have done; see [`Emulator::counts`](crate::Emulator::counts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Lines cleaned because the program wanted it.
    pub cleaned: u64,
    /// Lines cleaned and invalidated because the program wanted it.
    pub invalidated: u64,
    /// Dirty lines written back unasked.
    pub evicted: u64,
    /// Lines fetched again unasked, whose bytes had changed in memory.
    pub fetched: u64,
}

/// A live buffer.
#[derive(Debug)]
struct Cached {
    copy: CpuCopy,
    /// The device sees what the CPU sees: a port that snoops, or a write-combine mapping.
    shared: bool,
}

/// Memory and caches. Places are bytes from the start of the region.
#[derive(Debug)]
pub(super) struct Board {
    /// What the FPGA sees.
    memory: Vec<u8>,
    /// What lines held when they were last clean.
    clean: Vec<u8>,
    /// By their first byte.
    buffers: BTreeMap<usize, Cached>,
    /// What the device owns: ends by starts.
    owned: BTreeMap<usize, usize>,
    policy: Policy,
    chance: Chance,
    counts: Counts,
}

impl Board {
    pub(super) fn new(bytes: usize, policy: Policy) -> Self {
        Self {
            memory: vec![0; bytes],
            clean: vec![0; bytes],
            buffers: BTreeMap::new(),
            owned: BTreeMap::new(),
            policy,
            chance: policy.into(),
            counts: Counts::default(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Enters a buffer of zeroes.
    pub(super) fn enter(&mut self, start: usize, map: &Map, shared: bool) {
        for bytes in [&mut self.memory, &mut self.clean] {
            if let Some(bytes) = bytes.get_mut(start..start + map.len()) {
                bytes.fill(0);
            }
        }
        let copy = CpuCopy::new(map);
        self.buffers.insert(start, Cached { copy, shared });
    }

    /// Forgets a buffer.
    pub(super) fn leave(&mut self, start: usize) {
        self.buffers.remove(&start);
    }

    pub(super) fn set_owner(&mut self, range: Range<usize>, device: bool) {
        if device {
            self.owned.insert(range.start, range.end);
        } else {
            self.owned.remove(&range.start);
        }
    }

    /// Maintains every line that a range touches.
    pub(super) fn maintain(&mut self, op: Maintenance, range: Range<usize>) {
        let lines = lines_of(&range);
        if !self.is_shared(range.start) {
            let count = lines.len() as u64;
            match op {
                Maintenance::Clean => self.counts.cleaned += count,
                Maintenance::CleanInvalidate => self.counts.invalidated += count,
            }
        }
        for line in lines {
            self.write_back(line);
            if op == Maintenance::CleanInvalidate {
                self.fetch(line);
            }
        }
    }

    /// Before the CPU accesses bytes that the device owns.
    pub(super) fn before_view(&mut self, range: Range<usize>) {
        let shared = self.is_shared(range.start);
        for line in lines_of(&range) {
            if shared {
                self.write_back(line);
                self.fetch(line);
            } else {
                self.disturb(line);
            }
        }
    }

    /// After it has done so.
    pub(super) fn after_view(&mut self, range: Range<usize>) {
        if self.is_shared(range.start) {
            lines_of(&range).for_each(|line| {
                self.write_back(line);
            });
        } else {
            lines_of(&range).for_each(|line| self.disturb(line));
        }
    }

    /// Reads what the FPGA sees; false where the bytes are not all of one buffer.
    pub(super) fn read(&mut self, place: usize, to: &mut [u8]) -> bool {
        let range = place..place.saturating_add(to.len());
        if !self.is_one_buffer(&range) {
            return false;
        }
        lines_of(&range).for_each(|line| self.disturb(line));
        match self.memory.get(range) {
            Some(bytes) => to.copy_from_slice(bytes),
            None => return false,
        }
        true
    }

    /// Writes what the FPGA sees; false where the bytes are not all of one buffer.
    pub(super) fn write(&mut self, place: usize, from: &[u8]) -> bool {
        let range = place..place.saturating_add(from.len());
        if !self.is_one_buffer(&range) {
            return false;
        }
        lines_of(&range).for_each(|line| self.disturb(line));
        match self.memory.get_mut(range.clone()) {
            Some(bytes) => bytes.copy_from_slice(from),
            None => return false,
        }
        lines_of(&range).for_each(|line| self.disturb(line));
        true
    }

    /// Lets the caches do to all that the device owns what they do unasked.
    pub(super) fn disturb_all(&mut self) {
        if self.policy == Policy::Never {
            return;
        }
        let owned = self.owned.iter().map(|(start, end)| *start..*end);
        for range in owned.collect::<Vec<_>>() {
            lines_of(&range).for_each(|line| self.disturb(line));
        }
    }

    /// The same for one line, if the device owns it.
    fn disturb(&mut self, line: usize) {
        if self.policy == Policy::Never || !self.is_owned(line * LINE_BYTES) {
            return;
        }
        if self.is_shared(line * LINE_BYTES) || !self.chance.even() {
            return;
        }
        match self.policy {
            Policy::Never => {}
            Policy::Evict(_) => self.counts.evicted += u64::from(self.write_back(line)),
            Policy::Prefetch(_) => {
                if !self.is_dirty(line) {
                    self.counts.fetched += u64::from(self.fetch(line));
                }
            }
        }
    }

    fn buffer_of(&self, place: usize) -> Option<(usize, &Cached)> {
        let (start, buffer) = self.buffers.range(..=place).next_back()?;
        let inside = (place - start) / LINE_BYTES < buffer.copy.nr_lines();
        inside.then_some((*start, buffer))
    }

    fn is_one_buffer(&self, range: &Range<usize>) -> bool {
        let found = self.buffer_of(range.start);
        found
            .is_some_and(|(start, buffer)| range.end - start <= buffer.copy.nr_lines() * LINE_BYTES)
    }

    fn is_shared(&self, place: usize) -> bool {
        self.buffer_of(place)
            .is_some_and(|(_, buffer)| buffer.shared)
    }

    fn is_owned(&self, place: usize) -> bool {
        let last = self.owned.range(..=place).next_back();
        last.is_some_and(|(_, end)| place < *end)
    }

    /// The CPU's copy of a line, with its number in the copy.
    fn copy_of(&self, line: usize) -> Option<(&CpuCopy, usize)> {
        let (start, buffer) = self.buffer_of(line * LINE_BYTES)?;
        Some((&buffer.copy, line - start / LINE_BYTES))
    }

    fn is_dirty(&self, line: usize) -> bool {
        let bytes = self.copy_of(line).map(|(copy, number)| copy.load(number));
        bytes.is_some_and(|bytes| self.clean.get(bytes_of(line)) != Some(&bytes[..]))
    }

    /// Writes a line to memory if it is dirty, and says whether it was.
    fn write_back(&mut self, line: usize) -> bool {
        let Some((copy, number)) = self.copy_of(line) else {
            return false;
        };
        let bytes = copy.load(number);
        match self.clean.get_mut(bytes_of(line)) {
            Some(clean) if *clean != bytes => clean.copy_from_slice(&bytes),
            _ => return false,
        }
        if let Some(memory) = self.memory.get_mut(bytes_of(line)) {
            memory.copy_from_slice(&bytes);
        }
        true
    }

    /// Lets the CPU see in a line, which is clean, what memory holds; says whether that is something
    /// else.
    fn fetch(&mut self, line: usize) -> bool {
        let memory = self.memory.get(bytes_of(line));
        let Some(bytes) = memory.and_then(|m| <[u8; LINE_BYTES]>::try_from(m).ok()) else {
            return false;
        };
        match self.clean.get_mut(bytes_of(line)) {
            Some(clean) if *clean != bytes => clean.copy_from_slice(&bytes),
            _ => return false,
        }
        if let Some((copy, number)) = self.copy_of(line) {
            copy.store(number, &bytes);
        }
        true
    }
}

/// Numbers of the lines that a range touches.
fn lines_of(range: &Range<usize>) -> Range<usize> {
    if range.is_empty() {
        return 0..0;
    }
    range.start / LINE_BYTES..range.end.div_ceil(LINE_BYTES)
}

fn bytes_of(line: usize) -> Range<usize> {
    line * LINE_BYTES..(line + 1) * LINE_BYTES
}
