// SPDX-License-Identifier: MIT OR Apache-2.0

//! The chunks of an arena.

use super::chunk::{Chunk, Cut};
use super::lease::Loan;
use super::rooms::Rooms;
use crate::memory::Memory;
use offset_allocator::Allocation;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::Arc;

/// How many empty chunks are kept for what comes next.
const KEPT_EMPTY: usize = 1;

/// Where a piece is.
pub(super) struct Place {
    chunk: usize,
    allocation: Allocation<u16>,
}

/// Chunks, and which of them has room.
pub(super) struct Plan {
    /// Chunks by their numbers, which are used again.
    chunks: Vec<Option<Chunk>>,
    unused_numbers: Vec<usize>,
    /// Numbers of chunks without pieces, at most [`KEPT_EMPTY`].
    empty: Vec<usize>,
    rooms: Rooms,
    line_bytes: usize,
    /// Longest piece that is kept when it is freed.
    reuse_bytes: usize,
}

impl Plan {
    pub(super) fn new(line_bytes: usize, reuse_bytes: usize) -> Self {
        Self {
            chunks: Vec::new(),
            unused_numbers: Vec::new(),
            empty: Vec::new(),
            rooms: Rooms::new(),
            line_bytes,
            reuse_bytes,
        }
    }

    /// Adds a chunk that is empty.
    pub(super) fn add(&mut self, memory: Memory) {
        let number = self.unused_numbers.pop().unwrap_or(self.chunks.len());
        if number == self.chunks.len() {
            self.chunks.push(None);
        }
        let chunk = Chunk::new(memory, self.line_bytes);
        self.rooms.set(number, chunk.room());
        self.chunks[number] = Some(chunk);
        self.empty.push(number);
    }

    /// Cuts a piece of `len` bytes, at least 1, from a chunk that has room.
    /// Says whether its bytes are still as they were allocated: zeroes, in memory too.
    pub(super) fn take(&mut self, len: usize) -> Option<(Loan, bool)> {
        let lines = u32::try_from(len.div_ceil(self.line_bytes)).ok()?;
        let number = self.rooms.find(lines)?;
        let chunk = self.chunks.get_mut(number)?.as_mut()?;
        let Cut {
            range,
            fresh,
            allocation,
        } = chunk.cut(lines)?;
        self.rooms.set(number, chunk.room());
        self.empty.retain(|empty| *empty != number);
        let place = Place {
            chunk: number,
            allocation,
        };
        let range_bytes = range.len();
        let loan = Loan {
            memory: Arc::clone(&chunk.memory),
            range,
            place: Some(place),
            reusable: range_bytes <= self.reuse_bytes,
            asked: AtomicUsize::new(len),
        };
        Some((loan, fresh))
    }

    /// Takes a piece back. Whether its chunk is to go back to the pool: it is not the plan's any more then.
    pub(super) fn give_back(&mut self, place: &Place) -> bool {
        let Some(Some(chunk)) = self.chunks.get_mut(place.chunk) else {
            return false;
        };
        chunk.give_back(place.allocation);
        self.rooms.set(place.chunk, chunk.room());
        if !chunk.is_empty() {
            return false;
        }
        if self.empty.len() < KEPT_EMPTY {
            self.empty.push(place.chunk);
            return false;
        }
        self.remove(place.chunk).is_some()
    }

    /// Takes a chunk without pieces out, if there is one.
    pub(super) fn take_empty(&mut self) -> Option<Arc<Memory>> {
        let number = self.empty.pop()?;
        self.remove(number)
    }

    fn remove(&mut self, number: usize) -> Option<Arc<Memory>> {
        let chunk = self.chunks.get_mut(number)?.take()?;
        self.rooms.set(number, 0);
        self.unused_numbers.push(number);
        Some(chunk.memory)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("chunks", &self.chunks.iter().flatten().count())
            .field("empty", &self.empty.len())
            .finish_non_exhaustive()
    }
}
