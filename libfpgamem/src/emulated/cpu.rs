// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CPU's copies of buffers: the same bytes that the program has slices of.
//!
//! They are read while the program may have shared slices, and written while it has none: while the
//! device owns the bytes, or in a call that has borrowed the buffer exclusively. All of that happens
//! under the emulator's lock, as do the accesses of views, so no two accesses race.

use super::LINE_BYTES;
use crate::map::Map;

/// The CPU's copy of one allocation, in whole lines.
#[derive(Debug)]
pub(super) struct CpuCopy {
    start: *mut u8,
    nr_lines: usize,
}

// SAFETY: The pointer is to memory of the process, not of a thread; who may use it when is said above.
unsafe impl Send for CpuCopy {}

impl CpuCopy {
    /// The copy that is mapped there. It is given up before the mapping ends.
    pub(super) fn new(map: &Map) -> Self {
        Self {
            start: map.as_ptr(),
            nr_lines: map.len() / LINE_BYTES,
        }
    }

    pub(super) fn nr_lines(&self) -> usize {
        self.nr_lines
    }

    /// What the CPU sees in a line; zeroes where there is no such line.
    pub(super) fn load(&self, line: usize) -> [u8; LINE_BYTES] {
        let mut bytes = [0; LINE_BYTES];
        if line < self.nr_lines {
            // In bounds: the line has just been checked.
            let from = self.start.wrapping_add(line * LINE_BYTES);
            // SAFETY: The line is mapped, and nobody writes it now: whoever calls the emulator holds
            // its lock and has borrowed or owns the buffer.
            unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), LINE_BYTES) };
        }
        bytes
    }

    /// Lets the CPU see other bytes in a line, for which there is no slice now; nothing happens where
    /// there is no such line.
    pub(super) fn store(&self, line: usize, bytes: &[u8; LINE_BYTES]) {
        if line < self.nr_lines {
            // In bounds: the line has just been checked.
            let to = self.start.wrapping_add(line * LINE_BYTES);
            // SAFETY: The line is mapped, and nobody accesses it now: the device owns it, or the
            // caller of the emulator has borrowed the buffer exclusively.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, LINE_BYTES) };
        }
    }
}
