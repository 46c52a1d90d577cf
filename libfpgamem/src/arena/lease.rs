// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a buffer of an arena holds until its last part is gone.

use super::{Place, Shared};
use std::fmt;
use std::sync::Arc;

/// A buffer's place in an arena, which gets it back when the value is dropped.
pub(crate) struct Lease {
    arena: Arc<Shared>,
    /// Bytes that were asked for.
    len: usize,
    what: What,
}

enum What {
    /// A piece of a chunk.
    Piece(Place),
    /// An allocation of its own, of so many bytes.
    Own(usize),
}

impl Lease {
    pub(super) fn piece(arena: &Arc<Shared>, len: usize, place: Place) -> Arc<Self> {
        Self::new(arena, len, What::Piece(place))
    }

    pub(super) fn own(arena: &Arc<Shared>, len: usize, capacity: usize) -> Arc<Self> {
        Self::new(arena, len, What::Own(capacity))
    }

    fn new(arena: &Arc<Shared>, len: usize, what: What) -> Arc<Self> {
        Arc::new(Self {
            arena: Arc::clone(arena),
            len,
            what,
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A forked child has no such buffer, and the arena may have been locked when it was forked.
        if self.arena.check_fork().is_err() {
            return;
        }
        match &self.what {
            What::Piece(place) => self.arena.give_back(place, self.len),
            What::Own(capacity) => self.arena.end_own(self.len, *capacity),
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}
