// SPDX-License-Identifier: GPL-2.0-or-later

//! Remembers which pages the model need not look at.
//!
//! The plugin is called for every load and store of the board. Most of them are far from the region,
//! so the first thing is to find that out in a few host instructions and without a lock.

use crate::memory::host;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Pages remembered.
const ENTRIES: usize = 4096;

const PAGE_SHIFT: u32 = 12;
/// Bits of a page number, with one that tells the kernel's half of the addresses.
const PAGE_BITS: u32 = 37;

/// What is remembered, valid until the meaning of the addresses changes.
///
/// All access is relaxed: the board has one processor.
#[derive(Debug)]
pub struct Filter {
    /// Counts changes of both halves of the addresses.
    both: AtomicU64,
    /// Counts changes of the lower half alone.
    lower: AtomicU64,
    pages: [AtomicU64; ENTRIES],
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}

impl Filter {
    /// Remembers nothing.
    pub const fn new() -> Self {
        Self {
            // No key is 0, what empty entries hold.
            both: AtomicU64::new(1),
            lower: AtomicU64::new(0),
            pages: [const { AtomicU64::new(0) }; ENTRIES],
        }
    }

    /// What stands for the page of an address until its meaning changes.
    #[inline]
    pub fn key(&self, address: u64) -> u64 {
        let kernel = address >> 55 & 1;
        let page = (address & ((1 << 48) - 1)) >> PAGE_SHIFT | kernel << (PAGE_BITS - 1);
        let mut changes = self.both.load(Relaxed);
        if kernel == 0 {
            changes = changes.wrapping_add(self.lower.load(Relaxed));
        }
        page | changes << PAGE_BITS
    }

    fn entry(&self, key: u64) -> &AtomicU64 {
        &self.pages[host(key ^ key >> 12) % ENTRIES]
    }

    /// Whether the page of an address is known not to matter.
    #[inline]
    pub fn passes(&self, address: u64) -> bool {
        let key = self.key(address);
        self.entry(key).load(Relaxed) == key
    }

    /// Remembers that the page of an address does not matter.
    pub fn pass(&self, address: u64) {
        let key = self.key(address);
        self.entry(key).store(key, Relaxed);
    }

    /// The lower half of the addresses means something else from now on.
    pub fn forget_lower_half(&self) {
        self.lower.fetch_add(1, Relaxed);
    }

    /// All addresses mean something else from now on.
    pub fn forget(&self) {
        self.both.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: u64 = 0x5555_0000_1000;
    const KERNEL: u64 = 0xffff_8000_0000_1000;

    fn filter() -> Box<Filter> {
        let filter = Box::new(Filter::new());
        filter.pass(USER);
        filter.pass(KERNEL);
        filter
    }

    #[test]
    fn a_page_is_remembered() {
        let filter = filter();
        assert!(filter.passes(USER + 0xfff));
        assert!(filter.passes(KERNEL));
        assert!(!filter.passes(USER + 0x1000));
        assert!(!filter.passes(0));
    }

    #[test]
    fn another_address_space_forgets_the_lower_half() {
        let filter = filter();
        filter.forget_lower_half();
        assert!(!filter.passes(USER));
        assert!(filter.passes(KERNEL));
    }

    #[test]
    fn tlb_invalidation_forgets_everything() {
        let filter = filter();
        filter.forget();
        assert!(!filter.passes(USER));
        assert!(!filter.passes(KERNEL));
    }
}
