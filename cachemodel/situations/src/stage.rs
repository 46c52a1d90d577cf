// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the situations act on: buffers of the driver, and a bus master.

use crate::cache;
use fpgamem_tests::abi::{self, Alloc, Range};
use fpgamem_tests::zdma::Zdma;
use fpgamem_tests::{pattern, Mapping, Node};

/// The driver and the bus master.
pub(crate) struct Stage {
    pub(crate) node: Node,
    zdma: Zdma,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            node: Node::open(),
            zdma: Zdma::open(),
        }
    }

    /// A buffer of whole blocks, cached.
    pub(crate) fn buffer(&self, len: u64) -> Buffer {
        self.buffer_with(len, 0)
    }

    /// A buffer of whole blocks, with flags of ALLOC.
    pub(crate) fn buffer_with(&self, len: u64, flags: u32) -> Buffer {
        let request = Alloc {
            len,
            flags,
            ..Default::default()
        };
        let alloc = self.node.alloc(request).expect("the pool has room");
        let mapping = self.node.map_buffer(&alloc).expect("the buffer maps");
        self.node.free(alloc.handle).expect("the handle is ours");
        Buffer {
            mapping,
            phys_addr: alloc.phys_addr,
        }
    }

    /// Lets the device copy from one buffer to another.
    pub(crate) fn copy(&self, from: &Buffer, to: &Buffer, len: u64) {
        self.copy_at(from.phys_addr, to.phys_addr, len);
    }

    /// Lets the device copy between physical addresses.
    pub(crate) fn copy_at(&self, from: u64, to: u64, len: u64) {
        let len = u32::try_from(len).expect("the length fits the register");
        self.zdma.copy(from, to, len);
    }

    /// What a range of a buffer holds in the eyes of the device: copied to another buffer, which is
    /// handed over as it should be.
    pub(crate) fn seen_by_device(&self, buffer: &Buffer, len: u64) -> Vec<u8> {
        let result = self.buffer(len);
        self.copy(buffer, &result, len);
        result.invalidate(0..len);
        result.bytes(0..len)
    }

    /// Cleans by the driver, which the ABI calls flush.
    pub(crate) fn flush(&self, buffer: &Buffer, range: std::ops::Range<u64>) {
        self.node
            .flush(buffer.abi_range(range))
            .expect("the range is good");
    }

    /// Cleans and invalidates by the driver.
    pub(crate) fn invalidate(&self, buffer: &Buffer, range: std::ops::Range<u64>) {
        self.node
            .invalidate(buffer.abi_range(range))
            .expect("the range is good");
    }

    /// Cleans several ranges in one call.
    pub(crate) fn flush_all(&self, ranges: &[Range]) {
        self.node
            .sync(abi::SYNC_FLUSH, ranges)
            .expect("the ranges are good");
    }
}

/// A buffer that is mapped.
pub(crate) struct Buffer {
    pub(crate) mapping: Mapping,
    pub(crate) phys_addr: u64,
}

impl Buffer {
    /// Stores the pattern of `seed`.
    pub(crate) fn fill(&self, range: std::ops::Range<u64>, seed: u64) {
        let mut bytes = vec![0; host(range.end - range.start)];
        pattern::fill(&mut bytes, seed, 0);
        self.mapping.write(range.start, &bytes);
    }

    /// Loads a range.
    pub(crate) fn bytes(&self, range: std::ops::Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; host(range.end - range.start)];
        self.mapping.read(range.start, &mut bytes);
        bytes
    }

    /// Whether a range holds the pattern of `seed`.
    pub(crate) fn holds(&self, range: std::ops::Range<u64>, seed: u64) -> bool {
        is_pattern(&self.bytes(range), seed)
    }

    fn addresses(&self, range: std::ops::Range<u64>) -> std::ops::Range<u64> {
        let base = self.mapping.addr();
        base + range.start..base + range.end
    }

    /// Cleans a range in user space, and waits.
    pub(crate) fn clean(&self, range: std::ops::Range<u64>) {
        self.clean_without_barrier(range);
        cache::barrier();
    }

    /// Cleans a range in user space.
    pub(crate) fn clean_without_barrier(&self, range: std::ops::Range<u64>) {
        cache::clean(self.addresses(range));
    }

    /// Cleans a range as far as instruction fetches see it.
    pub(crate) fn clean_to_unification(&self, range: std::ops::Range<u64>) {
        cache::clean_to_unification(self.addresses(range));
        cache::barrier();
    }

    /// Cleans and invalidates a range in user space, and waits.
    pub(crate) fn invalidate(&self, range: std::ops::Range<u64>) {
        cache::clean_invalidate(self.addresses(range));
        cache::barrier();
    }

    pub(crate) fn abi_range(&self, range: std::ops::Range<u64>) -> Range {
        Range {
            addr: self.mapping.addr() + range.start,
            len: range.end - range.start,
            ..Default::default()
        }
    }
}

/// Whether bytes are the pattern of `seed`.
pub(crate) fn is_pattern(bytes: &[u8], seed: u64) -> bool {
    let mut expected = vec![0; bytes.len()];
    pattern::fill(&mut expected, seed, 0);
    bytes == expected
}

fn host(len: u64) -> usize {
    usize::try_from(len).expect("a length fits the address space")
}
