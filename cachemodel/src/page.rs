// SPDX-License-Identifier: GPL-2.0-or-later

//! The lines of one page: what is known of each, and its bytes as the devices and as the CPU see
//! them.
//!
//! The DDR file of the emulated board always holds the bytes that the next access of the CPU must
//! see. For a line that is not in the cache these are the bytes that devices see; otherwise the
//! two differ where the CPU stored and nobody wrote back, or where a device wrote since.

use crate::memory::{host, Memory};
use crate::walk::Attribute;
use std::ops::Range;

/// Bytes of a cache line on Cortex-A53.
pub(crate) const LINE: u64 = 64;
/// Bytes that are tracked together.
pub(crate) const PAGE: u64 = 4096;
/// Lines of a page.
pub(crate) const LINES: usize = 64;

/// What the DDR holds before anybody wrote to it. Real DDR holds anything at power-on.
const GARBAGE: u8 = 0xa5;

/// What is known of one line.
///
/// The first group is what may be, whatever the cache does on its own: mistakes are judged by it,
/// so that they are found under every policy. The second is what is, under the policy at hand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line {
    /// Bytes that the CPU stored and nobody cleaned since, a bit each.
    pub(crate) dirty: u64,
    /// Bytes that a device wrote since the line was last invalidated, a bit each.
    pub(crate) stale: u64,
    /// How the CPU accessed the line since it was last invalidated.
    pub(crate) accessed: Option<Attribute>,
    /// Whether the last store went through a mapping of the kernel.
    pub(crate) by_kernel: bool,
    /// Places as indices: the last store, the start of the device that wrote last, the first access
    /// since the line was last invalidated.
    pub(crate) writer: u32,
    pub(crate) device: u32,
    pub(crate) toucher: u32,
    /// The epoch of barriers in which a dirty line was last written back on request.
    pub(crate) maintained: u32,
    /// The epoch of ordering barriers in which the CPU last stored to the line.
    pub(crate) stored: u32,
    /// The number of the transfer that wrote the stale bytes.
    pub(crate) flight: u32,
    /// Bytes that a device read last, a bit each, the place of its start and the transfer's number.
    pub(crate) reading: u64,
    pub(crate) reader: u32,
    pub(crate) read_flight: u32,

    /// The line is in the cache.
    pub(crate) present: bool,
    /// The cached bytes are newer than those in the DDR.
    pub(crate) unwritten: bool,
}

impl Line {
    /// Whether the DDR file holds the cached bytes.
    pub(crate) fn shows_cache(&self) -> bool {
        self.present && self.accessed != Some(Attribute::NonCacheable)
    }
}

/// A page of which something is known.
pub(crate) struct Page {
    /// Physical address.
    address: u64,
    pub(crate) lines: [Line; LINES],
    /// Lines that the kernel cleared since a process last accessed the page, a bit each.
    pub(crate) cleared: u64,
    /// As devices see it: the DDR.
    device: [u8; host(PAGE)],
    /// As the cache holds it, where lines are present.
    cached: [u8; host(PAGE)],
}

impl Page {
    /// Starts to track the page at `address`, after the CPU accessed `accessed`, offsets into the
    /// page. If it `stored` there, what was there before is lost.
    ///
    /// If nobody wrote to the rest, it becomes what DDR holds at power-on.
    pub(crate) fn adopt(
        memory: &mut impl Memory,
        address: u64,
        accessed: &Range<usize>,
        stored: bool,
    ) -> Box<Self> {
        let mut page = Box::new(Self {
            address,
            lines: [Line::default(); LINES],
            cleared: 0,
            device: [0; host(PAGE)],
            cached: [0; host(PAGE)],
        });
        memory.read(address, &mut page.device);
        let Range { start, end } = *accessed;
        let rest = page.device[..start].iter().chain(&page.device[end..]);
        if rest.copied().all(|byte| byte == 0) {
            page.device[..start].fill(GARBAGE);
            page.device[end..].fill(GARBAGE);
            memory.write(address, &page.device[..start]);
            memory.write(address + end as u64, &page.device[end..]);
        }
        if stored {
            page.device[start..end].fill(GARBAGE);
        }
        page
    }

    /// Physical addresses of a line.
    pub(crate) fn addresses_of(&self, line: usize) -> Range<u64> {
        let start = self.address + line as u64 * LINE;
        start..start + LINE
    }

    /// The bytes of the DDR at offsets into the page.
    pub(crate) fn device(&self, range: &Range<usize>) -> &[u8] {
        &self.device[range.clone()]
    }

    /// As [`Self::device`], to change them.
    pub(crate) fn device_mut(&mut self, range: &Range<usize>) -> &mut [u8] {
        &mut self.device[range.clone()]
    }

    /// The cached bytes at offsets into the page.
    pub(crate) fn cached(&self, range: &Range<usize>) -> &[u8] {
        &self.cached[range.clone()]
    }

    /// Takes over what the CPU just stored, at offsets into the page, from the DDR file.
    pub(crate) fn take_store(&mut self, memory: &impl Memory, range: &Range<usize>) {
        let address = self.address + range.start as u64;
        memory.read(address, &mut self.cached[range.clone()]);
    }

    /// As [`Self::take_store`], for a store past the cache.
    pub(crate) fn take_uncached_store(&mut self, memory: &impl Memory, range: &Range<usize>) {
        let address = self.address + range.start as u64;
        memory.read(address, &mut self.device[range.clone()]);
    }

    /// Whether the cached bytes of a line are all zero.
    pub(crate) fn is_zero(&self, line: usize) -> bool {
        self.cached[bytes_of(line)].iter().all(|byte| *byte == 0)
    }

    /// The line enters the cache because the CPU accessed it, which the DDR file already shows.
    pub(crate) fn fetch(&mut self, memory: &impl Memory, line: usize) {
        let (address, bytes) = (self.addresses_of(line).start, bytes_of(line));
        memory.read(address, &mut self.cached[bytes]);
        self.lines[line].present = true;
    }

    /// The line enters the cache as zeroes.
    pub(crate) fn clear(&mut self, line: usize) {
        self.cached[bytes_of(line)].fill(0);
        self.lines[line].present = true;
    }

    /// The line enters the cache unasked.
    pub(crate) fn prefetch(&mut self, line: usize) {
        let bytes = bytes_of(line);
        self.cached[bytes.clone()].copy_from_slice(&self.device[bytes]);
        self.lines[line].present = true;
    }

    /// Writes the cached bytes of a line to the DDR if they are newer; says whether they were.
    pub(crate) fn write_back(&mut self, line: usize) -> bool {
        let unwritten = self.lines[line].unwritten;
        if unwritten {
            let bytes = bytes_of(line);
            self.device[bytes.clone()].copy_from_slice(&self.cached[bytes]);
            self.lines[line].unwritten = false;
        }
        unwritten
    }

    /// The line leaves the cache; what was not written back is lost.
    pub(crate) fn drop_line(&mut self, memory: &mut impl Memory, line: usize) {
        if self.lines[line].present {
            self.lines[line].present = false;
            self.lines[line].unwritten = false;
            self.show(memory, line);
        }
    }

    /// Brings the DDR file in line with what the CPU's next access must see.
    pub(crate) fn show(&self, memory: &mut impl Memory, line: usize) {
        let source = if self.lines[line].shows_cache() {
            &self.cached
        } else {
            &self.device
        };
        memory.write(self.addresses_of(line).start, &source[bytes_of(line)]);
    }

    /// The first line of which the DDR file does not hold what the CPU must see.
    pub(crate) fn first_wrong(&self, memory: &impl Memory) -> Option<usize> {
        let mut actual = [0; host(PAGE)];
        memory.read(self.address, &mut actual);
        (0..LINES).find(|line| {
            let expected = if self.lines[*line].shows_cache() {
                &self.cached
            } else {
                &self.device
            };
            actual[bytes_of(*line)] != expected[bytes_of(*line)]
        })
    }
}

/// The offsets of a line's bytes in its page.
pub(crate) fn bytes_of(line: usize) -> Range<usize> {
    let size = host(LINE);
    line * size..(line + 1) * size
}

/// The part of an access that lies in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Physical address of the page.
    pub(crate) page: u64,
    /// Number of the line in the page.
    pub(crate) line: usize,
    /// The bytes of the line, a bit each.
    pub(crate) mask: u64,
    /// The same bytes as offsets into the page.
    pub(crate) bytes: Range<usize>,
}

impl Piece {
    /// Physical address of the first byte.
    pub(crate) fn address(&self) -> u64 {
        self.page + self.bytes.start as u64
    }
}

/// Cuts the bytes `[address, address + len)` at the ends of lines.
pub(crate) fn pieces(address: u64, len: u64) -> impl Iterator<Item = Piece> {
    let end = address + len;
    let mut at = address;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let next = (at / LINE * LINE + LINE).min(end);
        let (page, from) = (at / PAGE * PAGE, at % PAGE);
        let count = next - at;
        let piece = Piece {
            page,
            line: host(from / LINE),
            mask: (u64::MAX >> (LINE - count)) << (at % LINE),
            bytes: host(from)..host(from + count),
        };
        at = next;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::tests::Ram;

    #[test]
    fn an_access_is_cut_at_the_ends_of_lines() {
        let cut = pieces(0x103e, 4).collect::<Vec<_>>();
        let piece = |line, mask, bytes| Piece {
            page: 0x1000,
            line,
            mask,
            bytes,
        };
        assert_eq!(cut, [piece(0, 3 << 62, 62..64), piece(1, 3, 64..66)]);
        let whole = pieces(0x1040, 64).collect::<Vec<_>>();
        assert_eq!(whole, [piece(1, u64::MAX, 64..128)]);
        assert_eq!(pieces(0x1fff, 2).last().unwrap().page, 0x2000);
    }

    #[test]
    fn untouched_memory_holds_garbage() {
        let mut ram = Ram::new(0x1000, 0x1000);
        ram.write(0x1010, &[7; 16]);
        let page = Page::adopt(&mut ram, 0x1000, &(0x10..0x20), true);
        assert_eq!(ram.bytes[..0x10], [GARBAGE; 0x10]);
        assert_eq!(ram.bytes[0x10..0x20], [7; 0x10]);
        assert!(page.device(&(0..4096)).iter().all(|b| *b == GARBAGE));
    }

    #[test]
    fn memory_that_somebody_wrote_stays() {
        let mut ram = Ram::new(0x1000, 0x1000);
        ram.write(0x1ff0, &[9]);
        let page = Page::adopt(&mut ram, 0x1000, &(0..8), false);
        assert_eq!(page.device(&(0xff0..0xff1)), [9]);
        assert_eq!(ram.bytes[0x100], 0);
    }
}
