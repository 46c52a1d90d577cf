// SPDX-License-Identifier: MIT OR Apache-2.0

//! The shadow model: what must be live, and what the driver and the kernel must answer.

pub(crate) mod blocks;
mod lives;
#[cfg(test)]
mod tests;
mod vmas;

use crate::worker::digest;
use fpgamem_tests::PAGE;
use std::collections::{BTreeMap, BTreeSet};

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
    /// Holds of the accelerator's driver.
    pub(crate) holds: u32,
    /// An ioctl said that the device may access it.
    pub(crate) device: bool,
    /// Its word in the status area of its file.
    pub(crate) slot: Option<u32>,
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
    /// Of Paddle's node.
    pub(crate) paddle: bool,
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

/// The status area of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Area {
    pub(crate) pages: u64,
    /// Words that belong to buffers.
    pub(crate) used: BTreeSet<u32>,
    /// Words that are not 0.
    pub(crate) words: BTreeMap<u32, u32>,
}

impl Area {
    /// A word.
    pub(crate) fn word(&self, slot: u32) -> u32 {
        self.words.get(&slot).copied().unwrap_or(0)
    }

    /// Changes a word.
    pub(crate) fn store(&mut self, slot: u32, value: u32) {
        self.words.insert(slot, value);
        self.words.retain(|_, word| *word != 0);
    }

    /// The word that the next buffer gets.
    pub(crate) fn next_slot(&self) -> Option<u32> {
        let words = u32::try_from(self.pages * PAGE / 4).unwrap_or(0);
        (0..words).find(|slot| !self.used.contains(slot))
    }
}

/// A mapping of a status area, or of registers; it is unmapped as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Other {
    pub(crate) bytes: u64,
    pub(crate) file: u32,
    pub(crate) is_area: bool,
}

/// A part of a buffer that the accelerator's driver holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    /// First block of the buffer.
    pub(crate) buffer: u32,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// A worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    pub(crate) pid: u64,
    /// Descriptors and their files, in the order of their making.
    pub(crate) descriptors: Vec<(u64, u32)>,
    /// By first address.
    pub(crate) vmas: BTreeMap<u64, Vma>,
    /// Status areas and registers, by first address.
    pub(crate) others: BTreeMap<u64, Other>,
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
    /// What was freed since the last allocation: first block and number of blocks.
    pub(crate) freed: Vec<(u32, u32)>,
    pub(crate) files: BTreeMap<u32, File>,
    /// Status areas by file; buffers hold them when their file is closed.
    pub(crate) areas: BTreeMap<u32, Area>,
    pub(crate) processes: BTreeMap<u32, Process>,
    /// The accelerator's driver has registered.
    pub(crate) registered: bool,
    /// What it holds, by slot.
    pub(crate) holds: BTreeMap<u64, Hold>,
    pub(crate) counts: Counts,
    pub(crate) last_file: u32,
    /// What goes now goes because a signal killed its process.
    pub(crate) crash: bool,
}
