// SPDX-License-Identifier: MIT OR Apache-2.0

//! The words in which the kernel reads, should this process die, which buffers the device may still
//! write to.

use crate::map::Map;
use fpgamem_shared::abi;
use std::fs::File;

/// Bytes of the area: a page, with a word for each of 1024 buffers. Those beyond need an ioctl per
/// change.
const BYTES: usize = 4 << 10;

/// The status area of an open file.
#[derive(Debug)]
pub(crate) struct StatusArea(Map);

impl StatusArea {
    /// Maps the area; `None` where the process may have no more mappings or the kernel no memory,
    /// which the ioctl makes up for.
    pub(crate) fn new(file: &File) -> Option<Self> {
        Map::new(file, abi::MMAP_STATUS_OFFSET, BYTES)
            .ok()
            .map(Self)
    }

    /// Says who owns the buffer of a slot; false where the slot is none of this area, or this process
    /// is a forked child, which has no area.
    pub(crate) fn set(&self, slot: u32, device: bool) -> bool {
        usize::try_from(slot).is_ok_and(|slot| self.0.store_word(slot, u32::from(device)))
    }
}
