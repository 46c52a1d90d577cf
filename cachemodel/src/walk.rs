// SPDX-License-Identifier: GPL-2.0-or-later

//! Walks the arm64 page tables that lie in the board's DDR.
//!
//! Arm Architecture Reference Manual, "VMSAv8-64": stage 1 at EL1 and EL0, with 48-bit output
//! addresses. There is no stage 2 on the emulated board.

use crate::memory::Memory;
use std::ops::Range;

/// The registers that say where the tables are and how to read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// TTBR0_EL1: the lower half of the addresses, user space.
    pub ttbr0: u64,
    /// TTBR1_EL1: the upper half, the kernel.
    pub ttbr1: u64,
    /// TCR_EL1: sizes of both halves.
    pub tcr: u64,
    /// MAIR_EL1: what the attribute indices of the entries mean.
    pub mair: u64,
    /// SCTLR_EL1: whether translation is on at all.
    pub sctlr: u64,
}

/// How the CPU accesses a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Normal memory through the data caches.
    Cacheable,
    /// Normal memory past the caches, or device memory.
    NonCacheable,
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The physical address.
    pub physical: u64,
    /// How it is accessed.
    pub attribute: Attribute,
    /// Whether EL0 may access it.
    pub user: bool,
}

/// SCTLR_EL1.M: stage 1 translation is on.
const SCTLR_M: u64 = 1;
const OUTPUT_ADDRESS: u64 = (1 << 48) - 1;
const VALID: u64 = 1;
/// Level 0 to 2: the entry refers to another table. Level 3: the entry is a page.
const TABLE_OR_PAGE: u64 = 2;
/// AP\[1\]: EL0 may access.
const USER: u64 = 1 << 6;
/// APTable\[0\]: EL0 may not access anything below.
const NO_USER_BELOW: u64 = 1 << 61;

/// What TCR_EL1 says of one half of the addresses.
struct Half {
    root: u64,
    granule_shift: u32,
    address_bits: u32,
    disabled: bool,
    ignores_top_byte: bool,
}

impl Tables {
    /// Whether addresses are translated at all; early at boot they are physical.
    pub fn enabled(&self) -> bool {
        self.sctlr & SCTLR_M != 0
    }

    fn half(&self, upper: bool) -> Half {
        let tcr = self.tcr;
        let field = |shift: u32, bits: u32| (tcr >> shift) & ((1 << bits) - 1);
        let (root, size, disable, tbi) = if upper {
            (self.ttbr1, field(16, 6), 23, 38)
        } else {
            (self.ttbr0, field(0, 6), 7, 37)
        };
        let granule_shift = match (upper, field(if upper { 30 } else { 14 }, 2)) {
            (false, 1) | (true, 3) => 16,
            (false, 2) | (true, 1) => 14,
            _ => 12,
        };
        Half {
            // The upper bits hold the ASID, bit 0 is CnP.
            root: root & OUTPUT_ADDRESS & !1,
            granule_shift,
            address_bits: 64 - u32::try_from(size).unwrap_or(0),
            disabled: field(disable, 1) != 0,
            ignores_top_byte: field(tbi, 1) != 0,
        }
    }
}

/// Translates a virtual address; `None` where hardware would take a translation fault.
///
/// An entry whose access flag is clear counts as mapped: the kernel sets the flag and repeats the
/// access.
pub fn walk(memory: &impl Memory, tables: &Tables, address: u64) -> Option<Translation> {
    if !tables.enabled() {
        return Some(Translation {
            physical: address,
            attribute: Attribute::NonCacheable,
            user: true,
        });
    }
    let upper = address >> 55 & 1 != 0;
    let half = tables.half(upper);
    let extent = half.address_bits;
    let top = if half.ignores_top_byte {
        (address << 8) >> 8 >> extent
    } else {
        address >> extent
    };
    let canonical = match (upper, half.ignores_top_byte) {
        (false, _) => 0,
        (true, true) => (1 << (56 - extent)) - 1,
        (true, false) => (1 << (64 - extent)) - 1,
    };
    if half.disabled || top != canonical {
        return None;
    }

    let stride = half.granule_shift - 3;
    let levels = (extent - half.granule_shift).div_ceil(stride);
    let mut table = half.root;
    let mut user = true;
    for level in 4 - levels..=3 {
        let shift = half.granule_shift + stride * (3 - level);
        let bits = stride.min(extent - shift);
        let index = (address >> shift) & ((1 << bits) - 1);
        let entry = memory.read_u64(table + index * 8);
        if entry & VALID == 0 {
            return None;
        }
        let is_table_or_page = entry & TABLE_OR_PAGE != 0;
        if level < 3 && is_table_or_page {
            user &= entry & NO_USER_BELOW == 0;
            table = entry & OUTPUT_ADDRESS & !((1 << half.granule_shift) - 1);
            continue;
        }
        if level == 3 && !is_table_or_page {
            return None;
        }
        let inside = (1 << shift) - 1;
        return Some(Translation {
            physical: entry & OUTPUT_ADDRESS & !inside | address & inside,
            attribute: attribute(tables.mair, entry),
            user: user && entry & USER != 0,
        });
    }
    None
}

/// The physical ranges in `region` that a process reaches past the cache: non-cacheable leaves of the
/// tables of the lower half.
pub fn uncached_by_process(
    memory: &impl Memory,
    tables: &Tables,
    region: &Range<u64>,
) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    let half = tables.half(false);
    if tables.enabled() && !half.disabled {
        let stride = half.granule_shift - 3;
        let levels = (half.address_bits - half.granule_shift).div_ceil(stride);
        collect(
            memory,
            tables,
            &half,
            (half.root, 4 - levels),
            region,
            &mut found,
        );
    }
    found
}

fn collect(
    memory: &impl Memory,
    tables: &Tables,
    half: &Half,
    (table, level): (u64, u32),
    region: &Range<u64>,
    found: &mut Vec<Range<u64>>,
) {
    let stride = half.granule_shift - 3;
    let shift = half.granule_shift + stride * (3 - level);
    let bits = stride.min(half.address_bits - shift);
    for index in 0..1 << bits {
        let entry = memory.read_u64(table + index * 8);
        let is_table_or_page = entry & TABLE_OR_PAGE != 0;
        if entry & VALID == 0 {
            continue;
        }
        if level < 3 && is_table_or_page {
            let next = entry & OUTPUT_ADDRESS & !((1 << half.granule_shift) - 1);
            collect(memory, tables, half, (next, level + 1), region, found);
            continue;
        }
        let start = entry & OUTPUT_ADDRESS & !((1 << shift) - 1);
        let inside = region.start.max(start)..region.end.min(start + (1 << shift));
        if !inside.is_empty() && attribute(tables.mair, entry) == Attribute::NonCacheable {
            found.push(inside);
        }
    }
}

/// What the attribute index of an entry stands for.
fn attribute(mair: u64, entry: u64) -> Attribute {
    let index = (entry >> 2) & 7;
    let byte = (mair >> (index * 8)) & 0xff;
    let (outer, inner) = (byte >> 4, byte & 0xf);
    // Outer 0 is device memory, 4 is non-cacheable; the rest are kinds of cacheable.
    if outer == 0 || (outer == 4 && inner == 4) {
        Attribute::NonCacheable
    } else {
        Attribute::Cacheable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::tests::Ram;

    const PAGE: u64 = 3;
    const BLOCK: u64 = 1;
    const TABLE: u64 = 3;
    const NC_INDEX: u64 = 1 << 2;

    /// Two levels of 512 entries each below a 39-bit space: level 1 at 0x1000, 2 at 0x2000, 3 at
    /// 0x3000; index 0 is write-back and 1 not cacheable.
    fn tables() -> Tables {
        Tables {
            ttbr0: 0x1000 | 7 << 48,
            ttbr1: 0x1000,
            tcr: 25 | 25 << 16 | 2 << 30 | 1 << 37,
            mair: 0x44ff,
            sctlr: 1,
        }
    }

    fn memory() -> Ram {
        let mut ram = Ram::new(0, 0x4000);
        ram.write_u64(0x1008, 0x2000 | TABLE);
        ram.write_u64(0x2010, 0x3000 | TABLE);
        ram.write_u64(0x3018, 0x4567_8000 | PAGE | USER | NC_INDEX);
        ram.write_u64(0x2018, 0x4060_0000 | BLOCK);
        ram
    }

    const MAPPED: u64 = 1 << 30 | 2 << 21 | 3 << 12 | 0x123;

    #[test]
    fn a_page_is_found_through_three_levels() {
        let found = walk(&memory(), &tables(), MAPPED);
        let expected = Translation {
            physical: 0x4567_8123,
            attribute: Attribute::NonCacheable,
            user: true,
        };
        assert_eq!(found, Some(expected));
    }

    #[test]
    fn a_block_maps_two_mebibytes() {
        let found = walk(&memory(), &tables(), 1 << 30 | 3 << 21 | 0x12_3456);
        let expected = Translation {
            physical: 0x4072_3456,
            attribute: Attribute::Cacheable,
            user: false,
        };
        assert_eq!(found, Some(expected));
    }

    #[test]
    fn the_upper_half_goes_through_ttbr1() {
        let mut tables = tables();
        tables.ttbr0 = 0;
        let kernel = MAPPED | !0 << 39;
        assert_eq!(
            walk(&memory(), &tables, kernel).unwrap().physical,
            0x4567_8123
        );
    }

    #[test]
    fn an_invalid_entry_is_not_mapped() {
        assert_eq!(walk(&memory(), &tables(), MAPPED + 0x1000), None);
        assert_eq!(walk(&memory(), &tables(), 0x10), None);
    }

    #[test]
    fn an_address_between_the_halves_is_not_mapped() {
        assert_eq!(walk(&memory(), &tables(), MAPPED | 1 << 40), None);
    }

    #[test]
    fn the_top_byte_of_user_addresses_is_ignored() {
        assert!(walk(&memory(), &tables(), MAPPED | 0x5a << 56).is_some());
        let strict = Tables {
            tcr: tables().tcr & !(1 << 37),
            ..tables()
        };
        assert_eq!(walk(&memory(), &strict, MAPPED | 0x5a << 56), None);
    }

    #[test]
    fn a_table_can_take_user_access_away() {
        let mut memory = memory();
        memory.write_u64(0x1008, 0x2000 | TABLE | NO_USER_BELOW);
        assert!(!walk(&memory, &tables(), MAPPED).unwrap().user);
    }

    #[test]
    fn uncached_mappings_of_a_region_are_collected() {
        let mut memory = memory();
        memory.write_u64(0x3020, 0x4567_9000 | PAGE | USER);
        memory.write_u64(0x2020, 0x4080_0000 | BLOCK | NC_INDEX);
        let find = |region| uncached_by_process(&memory, &tables(), &region);
        let all = find(0x4000_0000..0x8000_0000);
        assert_eq!(all, [0x4567_8000..0x4567_9000, 0x4080_0000..0x40a0_0000]);
        assert_eq!(
            find(0x4090_0000..0x4567_8000),
            vec![0x4090_0000..0x40a0_0000]
        );
    }

    #[test]
    fn without_translation_addresses_are_physical() {
        let off = Tables::default();
        assert_eq!(walk(&memory(), &off, 0x1234).unwrap().physical, 0x1234);
    }
}
