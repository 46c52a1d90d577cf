// SPDX-License-Identifier: GPL-2.0

//! Poison: what builds with debug assertions fill free blocks with, to catch who writes to them.
//!
//! No sanitizer of the kernel watches a region that the kernel does not map. So a block is filled
//! before it becomes free and looked at when it is scrubbed, and again when it is allocated: what has changed
//! meanwhile was written by a device, or by a mapping that should not exist. Other builds do nothing.

use crate::{
    kapi::{
        cache::{self, Operation},
        region::RegionSlice,
    },
    shared::block_map::BlockRange,
};
use kernel::{new_mutex, prelude::*, sync::Mutex};

/// Whether free blocks are poisoned.
const ENABLED: bool = cfg!(debug_assertions);
/// The byte that free blocks are full of.
const BYTE: u8 = 0xdb;

/// What a free block is full of, and the process that had allocated it.
#[derive(Clone, Copy)]
struct Content {
    /// `None` after a scrub of which that is not known.
    byte: Option<u8>,
    /// Then it is not known either.
    is_being_scrubbed: bool,
    former: i32,
}

/// Which free blocks are full of what.
#[pin_data]
pub(crate) struct Poison {
    /// By block; `None` where that is not known.
    #[pin]
    content: Mutex<KVVec<Option<Content>>>,
}

/// A byte of a free block that has changed.
pub(crate) struct Damage {
    /// The first block that has one.
    pub(crate) block: u32,
    /// Physical address of the first one.
    pub(crate) phys_addr: u64,
    /// What it is now.
    pub(crate) byte: u8,
    /// The process that had allocated its block last.
    pub(crate) former: i32,
}

impl Poison {
    /// No block has been filled.
    pub(crate) fn new(nr_blocks: u32) -> impl PinInit<Self, Error> {
        // CAST: usize is 64 bits on arm64.
        let count = if ENABLED { nr_blocks as usize } else { 0 };
        try_pin_init!(Self {
            content <- new_mutex!(KVVec::from_elem(None, count, GFP_KERNEL)?, "fpgamem::Poison"),
        })
    }

    /// Fills blocks that are about to become free; `slice` is their memory, `pid` the process that
    /// had allocated them.
    ///
    /// Takes long under the pool's lock, which only builds with debug assertions can afford.
    pub(crate) fn fill(&self, slice: &RegionSlice<'_>, blocks: BlockRange, pid: i32) {
        if !ENABLED {
            return;
        }
        slice.fill(BYTE);
        slice.maintain(Operation::CleanInvalidate);
        cache::barrier();
        self.set(
            blocks,
            Some(Content {
                byte: Some(BYTE),
                is_being_scrubbed: false,
                former: pid,
            }),
        );
    }

    /// The scrubber begins with free blocks, which have just been looked at.
    pub(crate) fn begin_to_scrub(&self, blocks: BlockRange) {
        if ENABLED {
            self.change(blocks, |of_block| {
                if let Some(content) = of_block {
                    content.is_being_scrubbed = true;
                }
            });
        }
    }

    /// The scrubber is done with a run that it began with: it has scrubbed some blocks, written to those that it had
    /// begun, and left the others as they were.
    pub(crate) fn end_scrub(
        &self,
        run: BlockRange,
        scrubbed: Option<BlockRange>,
        begun: Option<BlockRange>,
    ) {
        self.end_scrub_of(scrubbed, |_| Some(0));
        self.end_scrub_of(begun, |_| None);
        self.end_scrub_of(Some(run), |byte| byte);
    }

    /// Blocks were allocated.
    pub(crate) fn forget(&self, blocks: BlockRange) {
        if ENABLED {
            self.set(blocks, None);
        }
    }

    fn content(&self, block: u32) -> Option<Content> {
        // CAST: usize is 64 bits on arm64.
        *self.content.lock().get(block as usize)?
    }

    /// Looks at blocks that are about to be used, the memory of each of which `slice_of` gives, and tells
    /// the first damage.
    pub(crate) fn check<'a>(
        &self,
        blocks: BlockRange,
        slice_of: impl Fn(u32) -> Result<RegionSlice<'a>>,
    ) -> Option<Damage> {
        if !ENABLED {
            return None;
        }
        (blocks.start()..blocks.end()).find_map(|block| {
            let content = self.content(block)?;
            let expected = content.byte.filter(|_| !content.is_being_scrubbed)?;
            let slice = slice_of(block).ok()?;
            // What a device wrote is not in the caches.
            slice.maintain(Operation::CleanInvalidate);
            cache::barrier();
            let (phys_addr, byte) = slice.first_other_than(expected)?;
            Some(Damage {
                block,
                phys_addr,
                byte,
                former: content.former,
            })
        })
    }

    fn set(&self, blocks: BlockRange, content: Option<Content>) {
        self.change(blocks, |of_block| *of_block = content);
    }

    /// Says what blocks are full of now that were being scrubbed and that nobody has taken since.
    fn end_scrub_of(&self, blocks: Option<BlockRange>, now: impl Fn(Option<u8>) -> Option<u8>) {
        let Some(blocks) = blocks.filter(|_| ENABLED) else {
            return;
        };
        self.change(blocks, |of_block| {
            if let Some(content) = of_block
                .as_mut()
                .filter(|content| content.is_being_scrubbed)
            {
                content.is_being_scrubbed = false;
                content.byte = now(content.byte);
            }
        });
    }

    fn change(&self, blocks: BlockRange, change: impl FnMut(&mut Option<Content>)) {
        let mut contents = self.content.lock();
        // CAST: usize is 64 bits on arm64.
        let range = blocks.start() as usize..blocks.end() as usize;
        if let Some(blocks) = contents.get_mut(range) {
            blocks.iter_mut().for_each(change);
        }
    }
}
