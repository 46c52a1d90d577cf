// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a buffer of an arena holds until its last part is gone.

use super::plan::Place;
use super::{end_or_keep, Shared};
use crate::memory::Memory;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{fence, AtomicUsize, Ordering};
use std::sync::Arc;

/// Memory of an arena that a buffer has, or that waits for one.
pub(crate) struct Loan {
    pub(super) memory: Arc<Memory>,
    /// Bytes of it.
    pub(super) range: Range<usize>,
    /// Where it is in the arena's chunks; `None` if it is an allocation of its own.
    pub(super) place: Option<Place>,
    /// Whether it is kept when it is freed.
    pub(super) reusable: bool,
    /// Bytes that were asked for last.
    pub(super) asked: AtomicUsize,
}

/// A part of a buffer of an arena, which gets its memory back with the last one.
#[derive(Clone)]
pub(crate) struct Lease {
    arena: Arc<Shared>,
    /// Present up to the end of the value.
    loan: Option<Arc<Loan>>,
}

impl Lease {
    /// Lends memory to a buffer of `len` bytes.
    pub(super) fn new(arena: &Arc<Shared>, len: usize, loan: Arc<Loan>) -> Self {
        loan.asked.store(len, Ordering::Relaxed);
        Self {
            arena: Arc::clone(arena),
            loan: Some(loan),
        }
    }

    /// The allocation; `None` in a part that ends.
    #[inline]
    pub(crate) fn memory(&self) -> Option<&Memory> {
        self.loan.as_ref().map(|loan| &*loan.memory)
    }

    /// Keeps what is lent from the arena for ever.
    pub(crate) fn never_end(&mut self) {
        // Without the last reference to it nothing is given back.
        std::mem::forget(self.loan.take());
    }

    /// Whether both are parts of the same buffer.
    pub(crate) fn is_of_same_loan(&self, other: &Self) -> bool {
        match (&self.loan, &other.loan) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A forked child has no such buffer, and the arena may have been locked when it was forked.
        if !self.arena.process.is_current() {
            return;
        }
        let Some(loan) = self.loan.take().and_then(last) else {
            return;
        };
        let mut state = self.arena.lock();
        state.usage.leave(loan.asked.load(Ordering::Relaxed));
        if loan.reusable && state.kept.has_room(loan.range.len()) {
            state.kept.put(loan);
        } else {
            end_or_keep(state, loan);
        }
    }
}

/// The value, if no other part has it.
fn last(loan: Arc<Loan>) -> Option<Arc<Loan>> {
    if Arc::strong_count(&loan) == 1 {
        // What other threads wrote to their parts comes before what the next owner does.
        fence(Ordering::Acquire);
        return Some(loan);
    }
    // Of two that end at the same time one is the last.
    Arc::into_inner(loan).map(Arc::new)
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}
