// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers that were freed and wait for the next of their size.

use super::lease::Loan;
use std::fmt;
use std::sync::Arc;

/// How many are kept at most: each is looked at.
const MOST: usize = 32;

/// Freed buffers, the newest last.
pub(super) struct Kept {
    loans: Vec<Arc<Loan>>,
    bytes: usize,
    /// Most bytes that are kept.
    most_bytes: usize,
}

impl Kept {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            loans: Vec::with_capacity(if most_bytes == 0 { 0 } else { MOST }),
            bytes: 0,
            most_bytes,
        }
    }

    /// Takes the newest one of so many bytes out.
    pub(super) fn take(&mut self, bytes: usize) -> Option<Arc<Loan>> {
        let newest = self
            .loans
            .iter()
            .rposition(|loan| loan.range.len() == bytes)?;
        self.bytes -= bytes;
        if newest + 1 == self.loans.len() {
            // The usual one, for which nothing moves.
            return self.loans.pop();
        }
        Some(self.loans.remove(newest))
    }

    /// Takes the oldest one out.
    pub(super) fn take_oldest(&mut self) -> Option<Arc<Loan>> {
        let first = (!self.loans.is_empty()).then(|| self.loans.remove(0))?;
        self.bytes -= first.range.len();
        Some(first)
    }

    /// Whether one more of so many bytes, of the most at most, may be kept.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.loans.len() < MOST && bytes <= self.most_bytes - self.bytes
    }

    /// Keeps one for which there [is room](Self::has_room).
    pub(super) fn put(&mut self, loan: Arc<Loan>) {
        self.bytes += loan.range.len();
        self.loans.push(loan);
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
