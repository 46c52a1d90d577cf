// SPDX-License-Identifier: GPL-2.0

//! The status area of an open file: a word per buffer in which user space tells without a system
//! call that the device may access it.
//!
//! Slots are numbered here and words are only ever compared with 0, so nothing that user space
//! writes there can do more than quarantine its own blocks.

use crate::{kapi::shared_pages::SharedPages, shared::abi};
use kernel::{
    bitmap::BitmapVec,
    mm::virt::VmaNew,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{Arc, Mutex},
};

/// The pages of an area, and which of their words are in use.
#[pin_data]
pub(crate) struct Area {
    pages: SharedPages,
    #[pin]
    slots: Mutex<Slots>,
}

impl Area {
    /// An area of `bytes` bytes, all 0.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if it has no page, or more than an area may have.
    /// - `ENOMEM` if there is no memory for it.
    pub(crate) fn new(bytes: u64) -> Result<Arc<Self>> {
        if bytes == 0 || bytes > abi::MAX_STATUS_BYTES {
            return Err(EINVAL);
        }
        let pages = SharedPages::new(usize::try_from(bytes)?.div_ceil(PAGE_SIZE))?;
        let slots = Slots {
            used: BitmapVec::new(pages.words(), GFP_KERNEL_ACCOUNT)?,
            full_below: 0,
        };
        Arc::pin_init(
            pin_init!(Self {
                pages,
                slots <- new_mutex!(slots, "fpgamem::Area"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Maps the area, or the first part of it.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if the VMA is longer.
    /// - `ENOMEM` if there is no memory for page tables.
    pub(crate) fn map(&self, vma: &VmaNew) -> Result {
        if vma.end() - vma.start() > self.pages.bytes() {
            return Err(EINVAL);
        }
        self.pages.map(vma)
    }

    /// Whether a word says that the device may access its buffer.
    pub(crate) fn says_device(&self, slot: u32) -> bool {
        self.pages.load(slot).is_some_and(|word| word != 0)
    }
}

/// Which words of an area are in use.
///
/// INVARIANT: all words before `full_below` are.
struct Slots {
    used: BitmapVec,
    full_below: usize,
}

impl Slots {
    /// Takes the first word that is not in use; `None` if all are.
    fn take(&mut self) -> Option<usize> {
        if self.full_below >= self.used.len() {
            return None;
        }
        let slot = self.used.next_zero_bit(self.full_below);
        if let Some(slot) = slot {
            self.used.set_bit(slot);
        }
        self.full_below = slot.map_or(self.used.len(), |slot| slot.saturating_add(1));
        slot
    }

    /// Gives back a word that [`Self::take`] returned.
    fn give_back(&mut self, slot: usize) {
        self.used.clear_bit(slot);
        self.full_below = self.full_below.min(slot);
    }
}

/// A word of an area that belongs to one buffer, which holds the area by it.
pub(crate) struct Slot {
    area: Arc<Area>,
    index: u32,
}

impl Slot {
    /// Takes a word and makes it 0; `None` if all are in use.
    pub(crate) fn new(area: &Arc<Area>) -> Option<Self> {
        let index = area.slots.lock().take()?;
        // CAST: An area has at most 2^16 words.
        let index = index as u32;
        area.pages.clear(index);
        Some(Self {
            area: area.clone(),
            index,
        })
    }

    /// Index of the word.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The area.
    pub(crate) fn area(&self) -> &Arc<Area> {
        &self.area
    }

    /// Whether the word says now that the device may access the buffer.
    pub(crate) fn says_device(&self) -> bool {
        self.area.says_device(self.index())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // CAST: usize is 64 bits on arm64.
        self.area.slots.lock().give_back(self.index as usize);
    }
}
