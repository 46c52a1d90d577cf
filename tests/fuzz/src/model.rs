// SPDX-License-Identifier: MIT OR Apache-2.0

//! The shadow model: what must be live, and what the driver and the kernel must answer.

mod blocks;
mod lives;
#[cfg(test)]
mod tests;
mod vmas;

use crate::worker::digest;
use fpgamem_tests::PAGE;
use std::collections::BTreeMap;

/// A live buffer, known by its first block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) blocks: u32,
    /// `BUFFER_*` bits.
    pub(crate) flags: u32,
    /// The file that allocated it.
    pub(crate) file: u32,
    /// Its handle there, 0 if it has none (any more).
    pub(crate) handle: u32,
    pub(crate) vmas: u32,
    /// An ioctl said that the device may access it.
    pub(crate) device: bool,
    /// The process that allocated it.
    pub(crate) pid: u64,
    /// Words that are not zero, by offset in bytes.
    pub(crate) words: BTreeMap<u64, u64>,
}

impl Buffer {
    /// The word at an offset.
    pub(crate) fn word(&self, offset: u64) -> u64 {
        self.words.get(&offset).copied().unwrap_or(0)
    }

    /// The digest of the page at an offset.
    pub(crate) fn digest(&self, offset: u64) -> u64 {
        let words = self.words.range(offset..offset + PAGE);
        digest(words.map(|(at, word)| ((at - offset) / 8, *word)))
    }
}

/// An open file.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) read_only: bool,
    /// Descriptors and VMAs.
    pub(crate) references: u32,
    /// First blocks of the buffers, by handle.
    pub(crate) handles: BTreeMap<u32, u32>,
}

/// A mapping of a buffer or of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vma {
    pub(crate) end: u64,
    /// First block of the buffer.
    pub(crate) buffer: u32,
    /// Offset in the buffer of the first address.
    pub(crate) offset: u64,
    pub(crate) file: u32,
    /// `PROT_*` bits.
    pub(crate) protection: u32,
    /// Not copied by fork.
    pub(crate) stays: bool,
}

/// A worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    pub(crate) pid: u64,
    /// Descriptors and their files, in the order of their making.
    pub(crate) descriptors: Vec<(u64, u32)>,
    /// By first address.
    pub(crate) vmas: BTreeMap<u64, Vma>,
}

/// What debugfs counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) allocations: u64,
    pub(crate) frees: u64,
    pub(crate) failures: u64,
    pub(crate) quarantined: u64,
    pub(crate) flush_calls: u64,
    pub(crate) invalidate_calls: u64,
}

/// All that is live.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// First physical address of the region.
    pub(crate) base: u64,
    pub(crate) block_bytes: u64,
    pub(crate) nr_blocks: u32,
    /// `BUFFER_*` bits of a buffer that asks for nothing.
    pub(crate) default_flags: u32,
    /// By first block.
    pub(crate) buffers: BTreeMap<u32, Buffer>,
    pub(crate) files: BTreeMap<u32, File>,
    pub(crate) processes: BTreeMap<u32, Process>,
    pub(crate) counts: Counts,
    pub(crate) last_file: u32,
    /// What goes now goes because a signal killed its process.
    pub(crate) crash: bool,
}
