// SPDX-License-Identifier: MIT OR Apache-2.0

//! One allocation, cut into pieces of whole cache lines.

use crate::memory::Memory;
use offset_allocator::{Allocation, Allocator};
use std::ops::Range;
use std::sync::Arc;

/// Lines for each piece or hole that there can be; what is cut finer has no more room.
const LINES_PER_NODE: u32 = 4;

/// A chunk.
pub(super) struct Chunk {
    pub(super) memory: Arc<Memory>,
    /// In lines. Indices of 16 bits do for the largest chunk.
    allocator: Allocator<u16>,
    line_bytes: usize,
    pieces: u32,
    /// From this byte on nothing has been used yet: zeroes, in memory too.
    used_up_to: usize,
}

/// What a chunk gave.
pub(super) struct Cut {
    /// In bytes.
    pub(super) range: Range<usize>,
    /// Whether the bytes are still as they were allocated.
    pub(super) fresh: bool,
    pub(super) allocation: Allocation<u16>,
}

impl Chunk {
    pub(super) fn new(memory: Memory, line_bytes: usize) -> Self {
        let lines = u16::try_from(memory.map.len() / line_bytes).unwrap_or(u16::MAX);
        let nodes = (u32::from(lines) / LINES_PER_NODE).max(16);
        Self {
            memory: Arc::new(memory),
            allocator: Allocator::with_max_allocs(lines.into(), nodes),
            line_bytes,
            pieces: 0,
            used_up_to: 0,
        }
    }

    /// Lines of the longest piece that can be had.
    pub(super) fn room(&self) -> u32 {
        self.allocator.storage_report().largest_free_region
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces == 0
    }

    /// Cuts a piece.
    pub(super) fn cut(&mut self, lines: u32) -> Option<Cut> {
        let allocation = self.allocator.allocate(lines)?;
        let start = usize::from(allocation.offset) * self.line_bytes;
        let end = start + lines as usize * self.line_bytes;
        let fresh = start >= self.used_up_to;
        self.used_up_to = self.used_up_to.max(end);
        self.pieces += 1;
        Some(Cut {
            range: start..end,
            fresh,
            allocation,
        })
    }

    /// Takes a piece back.
    pub(super) fn give_back(&mut self, allocation: Allocation<u16>) {
        self.allocator.free(allocation);
        self.pieces -= 1;
    }
}
