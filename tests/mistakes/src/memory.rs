// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that the CPU shares with a bus master: loads and stores that happen where they are written.
//!
//! Every access is inlined, so that a report names the function that asked for it.

use crate::verdict::Verdict;
use fpgamem::{Buffer, DeviceBuffer};
use fpgamem_tests::{Mapping, Node};
use std::arch::asm;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// A mapped buffer with its address on the bus.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) mapping: Mapping,
    pub(crate) device_addr: u64,
}

// SAFETY: the memory belongs to the process, not to a thread; the programs here let threads access it
// one after the other.
unsafe impl Sync for Shared {}

/// What a buffer filled with `seed` holds in its 8-byte word `index`. No byte is 0.
#[inline(always)]
pub(crate) fn word(seed: u64, index: u64) -> u64 {
    let mixed = (seed << 32 ^ index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 31) | 0x0101_0101_0101_0101
}

impl Shared {
    /// A mapping of a file of the node, with the address that the driver gives.
    ///
    /// # Panics
    ///
    /// Where the mapping is not one of a buffer.
    pub(crate) fn new(node: &Node, mapping: Mapping) -> Self {
        let place = node
            .user_to_phys(mapping.addr())
            .expect("a buffer's mapping");
        let device_addr = place.device_addr;
        Self {
            mapping,
            device_addr,
        }
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.mapping.len()
    }

    #[inline(always)]
    fn pointer(&self, offset: u64) -> *mut u64 {
        assert!(offset + 8 <= self.len(), "offset {offset} is in the buffer");
        let address = usize::try_from(self.mapping.addr() + offset).unwrap_or(0);
        std::ptr::with_exposed_provenance_mut(address)
    }

    /// Loads the word at an offset that is a multiple of 8.
    #[inline(always)]
    pub(crate) fn load(&self, offset: u64) -> u64 {
        assert!(
            offset.is_multiple_of(8),
            "offset {offset} is that of a word"
        );
        // SAFETY: the word is mapped and aligned; other accesses to it are not atomic but ordered.
        unsafe { self.pointer(offset).read_volatile() }
    }

    /// Stores a word at an offset that is a multiple of 8.
    #[inline(always)]
    pub(crate) fn store(&self, offset: u64, value: u64) {
        assert!(
            offset.is_multiple_of(8),
            "offset {offset} is that of a word"
        );
        // SAFETY: as in `load`.
        unsafe { self.pointer(offset).write_volatile(value) };
    }

    /// Stores a word at any offset, in one access.
    #[inline(always)]
    pub(crate) fn store_unaligned(&self, offset: u64, value: u64) {
        // SAFETY: the bytes are mapped; other accesses to them are ordered.
        unsafe { self.pointer(offset).write_unaligned(value) };
    }

    /// Clears the line at an offset that is a multiple of 64, by DC ZVA.
    #[inline(always)]
    pub(crate) fn clear_line(&self, offset: u64) {
        assert!(
            offset.is_multiple_of(64),
            "offset {offset} is that of a line"
        );
        let line = self.pointer(offset + 56).wrapping_byte_sub(56);
        // SAFETY: the line, 64 bytes on the board's processors, is mapped.
        unsafe { asm!("dc zva, {}", in(reg) line, options(nostack, preserves_flags)) };
    }

    /// Adds to a word atomically.
    #[inline(always)]
    pub(crate) fn add(&self, offset: u64, value: u64) {
        assert!(
            offset.is_multiple_of(8),
            "offset {offset} is that of a word"
        );
        // SAFETY: the word is mapped and aligned, and lives as long as `self`.
        let word = unsafe { AtomicU64::from_ptr(self.pointer(offset)) };
        word.fetch_add(value, Ordering::Relaxed);
    }

    /// Stores a 32-bit device register.
    #[inline(always)]
    pub(crate) fn store_register(&self, offset: u64, value: u32) {
        assert!(
            offset.is_multiple_of(4),
            "offset {offset} is that of a register"
        );
        let register = self.pointer(offset).cast::<u32>();
        // SAFETY: the register is mapped and aligned. What the device does then is what the program
        // has asked for.
        unsafe { register.write_volatile(value) };
    }

    /// Loads a 32-bit device register.
    pub(crate) fn load_register(&self, offset: u64) -> u32 {
        assert!(
            offset.is_multiple_of(4),
            "offset {offset} is that of a register"
        );
        let register = self.pointer(offset).cast::<u32>();
        // SAFETY: the register is mapped and aligned.
        unsafe { register.read_volatile() }
    }

    /// Fills a range of whole words with the pattern of `seed`, which starts with the range.
    #[inline(always)]
    pub(crate) fn fill_range(&self, range: Range<u64>, seed: u64) {
        for index in 0..(range.end - range.start) / 8 {
            self.store(range.start + index * 8, word(seed, index));
        }
    }

    /// Fills everything with the pattern of `seed`.
    #[inline(always)]
    pub(crate) fn fill(&self, seed: u64) {
        self.fill_range(0..self.len(), seed);
    }

    /// Compares a range of whole words with what `expected` says of each, by its number.
    #[inline(always)]
    pub(crate) fn compare_with(&self, range: Range<u64>, expected: impl Fn(u64) -> u64) -> Verdict {
        let mut verdict = Verdict::default();
        for index in 0..(range.end - range.start) / 8 {
            verdict.word(self.load(range.start + index * 8), expected(index));
        }
        verdict
    }

    /// Compares a range with the pattern of `seed`, which starts with the range.
    #[inline(always)]
    pub(crate) fn compare_range(&self, range: Range<u64>, seed: u64) -> Verdict {
        self.compare_with(range, |index| word(seed, index))
    }

    /// Compares everything with the pattern of `seed`.
    #[inline(always)]
    pub(crate) fn compare(&self, seed: u64) -> Verdict {
        self.compare_range(0..self.len(), seed)
    }
}

/// Fills a slice of whole words with the pattern of `seed`.
#[inline(always)]
pub(crate) fn fill_slice(bytes: &mut [u8], seed: u64) {
    for (index, bytes) in (0..).zip(bytes.chunks_exact_mut(8)) {
        bytes.copy_from_slice(&word(seed, index).to_le_bytes());
    }
}

/// Compares a slice of whole words with what `expected` says of each, by its number.
#[inline(always)]
pub(crate) fn compare_slice_with(bytes: &[u8], expected: impl Fn(u64) -> u64) -> Verdict {
    let mut verdict = Verdict::default();
    for (index, bytes) in (0..).zip(bytes.chunks_exact(8)) {
        let mut found = [0; 8];
        found.copy_from_slice(bytes);
        verdict.word(u64::from_le_bytes(found), expected(index));
    }
    verdict
}

/// Compares a slice of whole words with the pattern of `seed`.
#[inline(always)]
pub(crate) fn compare_slice(bytes: &[u8], seed: u64) -> Verdict {
    compare_slice_with(bytes, |index| word(seed, index))
}

/// Takes a buffer back from the channel, which has finished when [`crate::scene::Scene::copy`]
/// returns.
///
/// # Panics
///
/// Where the driver refuses.
pub(crate) fn take_back(buffer: DeviceBuffer) -> Buffer {
    // SAFETY: the channel is the only device that is told of a buffer, and each transfer has been
    // waited for.
    unsafe { buffer.into_cpu() }.expect("the driver takes it back")
}
