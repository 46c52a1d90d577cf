// SPDX-License-Identifier: MIT OR Apache-2.0

//! How an arena is to be, and what it holds.

use crate::alloc::AllocOptions;

/// Largest chunk in bytes.
const MAX_CHUNK_BYTES: usize = 2 << 20;

/// More than there is memory, and far from the last number.
const MAX_REUSE_BYTES: usize = usize::MAX / 4;

/// How an [`Arena`](crate::Arena) is to be.
///
/// ```
/// use fpgamem::{Arena, ArenaOptions, Device};
///
/// # fn main() -> Result<(), fpgamem::Error> {
/// # let device = Device::emulated().open()?;
/// let options = ArenaOptions::new().chunk_bytes(1 << 20).largest_piece(64 << 10);
/// let arena = Arena::with_options(&device, options);
/// # let _ = arena;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaOptions {
    pub(super) chunk_bytes: usize,
    pub(super) largest_piece: usize,
    pub(super) reuse_bytes: usize,
    pub(super) alloc: AllocOptions,
}

impl ArenaOptions {
    /// What [`Arena::new`](crate::Arena::new) uses: chunks of 512 KiB, pieces of at most 256 KiB, cached, port as the
    /// pool's.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            chunk_bytes: 512 << 10,
            largest_piece: 256 << 10,
            reuse_bytes: 0,
            alloc: AllocOptions::new(),
        }
    }

    /// Bytes of a chunk, of which pieces are cut: rounded up to whole blocks, at most 2 MiB.
    #[must_use]
    pub const fn chunk_bytes(self, bytes: usize) -> Self {
        Self {
            chunk_bytes: bytes,
            ..self
        }
    }

    /// Longest buffer in bytes that is a piece of a chunk; longer ones are allocations of their own.
    /// More than a chunk counts as a chunk.
    #[must_use]
    pub const fn largest_piece(self, bytes: usize) -> Self {
        Self {
            largest_piece: bytes,
            ..self
        }
    }

    /// Keeps up to so many bytes of buffers that were freed, 32 of them at most, for the next ones of the same
    /// [capacity](crate::Buffer::capacity): the oldest go first. 0 is none, the default.
    ///
    /// Where it is not 0, [`Arena::alloc`](crate::Arena::alloc) does not clear. A buffer then has bytes that
    /// an earlier one of this arena left, as the memory of `malloc` has, and takes the same time whatever its
    /// length.
    #[must_use]
    pub const fn reuse_bytes(self, bytes: usize) -> Self {
        Self {
            reuse_bytes: bytes,
            ..self
        }
    }

    /// How all buffers of the arena are mapped and reached. An alignment is that of chunks and of
    /// allocations of their own; pieces are aligned to cache lines.
    #[must_use]
    pub const fn alloc(self, options: AllocOptions) -> Self {
        Self {
            alloc: options,
            ..self
        }
    }

    /// The nearest options that an arena can have.
    pub(super) fn possible(self) -> Self {
        let chunk_bytes = self.chunk_bytes.clamp(1, MAX_CHUNK_BYTES);
        Self {
            chunk_bytes,
            largest_piece: self.largest_piece.min(chunk_bytes),
            reuse_bytes: self.reuse_bytes.min(MAX_REUSE_BYTES),
            ..self
        }
    }
}

impl Default for ArenaOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What an arena holds now; see [`Arena::usage`](crate::Arena::usage).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArenaUsage {
    /// Live buffers.
    pub buffers: usize,
    /// Bytes that were asked for by them.
    pub bytes: usize,
    /// Bytes held from the pool: whole blocks, those of chunks and of allocations of their own.
    pub held_bytes: usize,
    /// Mappings that hold them.
    pub mappings: usize,
    /// Allocations from the pool so far.
    pub allocations: u64,
}

impl ArenaUsage {
    pub(super) fn hold(&mut self, bytes: usize) {
        self.held_bytes += bytes;
        self.mappings += 1;
        self.allocations += 1;
    }

    pub(super) fn let_go(&mut self, bytes: usize) {
        self.held_bytes -= bytes;
        self.mappings -= 1;
    }

    pub(super) fn enter(&mut self, len: usize) {
        self.buffers += 1;
        self.bytes += len;
    }

    pub(super) fn leave(&mut self, len: usize) {
        self.buffers -= 1;
        self.bytes -= len;
    }
}
