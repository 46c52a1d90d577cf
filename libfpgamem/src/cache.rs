// SPDX-License-Identifier: MIT OR Apache-2.0

//! Data cache maintenance by instructions, without the kernel.
//!
//! Arm Architecture Reference Manual, "Cache maintenance instructions": DC CVAC cleans, DC CIVAC
//! cleans and invalidates the line that holds an address, both to the point of coherency, and DSB
//! waits until all earlier ones are complete. User space may execute them on Linux: where a processor
//! must not let it, because of an erratum, the kernel catches the instruction and executes it itself.
//! The same holds for reading CTR_EL0, which has the sizes.

use crate::direction::Maintenance;
use crate::map::Map;
use std::ops::Range;

/// Sizes of the data caches' lines, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lines {
    /// Smallest line of any cache: one instruction for each maintains a range.
    pub(crate) smallest: usize,
    /// Most memory that an eviction writes: what shares none of it is independent.
    pub(crate) granule: usize,
}

impl Lines {
    /// What CTR_EL0 says; `None` where it says something that cannot be.
    fn parse(ctr: u64) -> Option<Self> {
        // Both are binary logarithms of a number of 4-byte words; DminLine is bits 19 to 16.
        let bytes = |shift: u64| 4_usize << (ctr >> shift & 0xf);
        let smallest = bytes(16);
        // CWG, bits 27 to 24; 0 is "not said", for which Linux takes 128 bytes.
        let granule = if ctr >> 24 & 0xf == 0 { 128 } else { bytes(24) };
        // The architecture has lines of 16 bytes to 2 KiB.
        let sane = (16..=2048).contains(&smallest) && (smallest..=2048).contains(&granule);
        sane.then_some(Self { smallest, granule })
    }
}

/// From the start of the first line of `line_bytes`, a power of two, that a range touches, to its end, which
/// is at most `limit`; `None` where it touches none.
#[cfg(any(target_arch = "aarch64", test))]
#[inline]
fn lines_of(range: Range<usize>, limit: usize, line_bytes: usize) -> Option<Range<usize>> {
    let end = range.end.min(limit);
    (range.start < end).then_some(range.start & !(line_bytes - 1)..end)
}

#[cfg(target_arch = "aarch64")]
mod instructions {
    use super::{lines_of, Lines, Maintenance, Map, Range};
    use std::arch::asm;

    /// The sizes here, or `None` where the kernel must do the work.
    pub(crate) fn lines() -> Option<Lines> {
        let ctr: u64;
        // SAFETY: Reading CTR_EL0 has no side effects; the kernel permits or emulates it.
        unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
        Lines::parse(ctr)
    }

    /// Runs a cache instruction on each line of `bytes` bytes in a range, eight lines a turn while there are so many.
    macro_rules! each_line {
        ($instruction:literal, $range:expr, $bytes:expr) => {{
            let Range { start: mut at, end } = $range;
            let bytes: usize = $bytes;
            let last_turn = end.saturating_sub(7 * bytes);
            while at < last_turn {
                // SAFETY: The lines are mapped as long as the caller's `map` is borrowed: mappings begin and
                // end with a page, of which lines are parts. Cleaning changes no byte. Before a line is
                // invalidated what the CPU wrote goes to memory, so the bytes are then what memory holds, which
                // a device may have changed: the callers see to it that there is no slice of them where one has.
                unsafe {
                    asm!(
                        $instruction, "add {at}, {at}, {bytes}",
                        $instruction, "add {at}, {at}, {bytes}",
                        $instruction, "add {at}, {at}, {bytes}",
                        $instruction, "add {at}, {at}, {bytes}",
                        $instruction, "add {at}, {at}, {bytes}",
                        $instruction, "add {at}, {at}, {bytes}",
                        $instruction, "add {at}, {at}, {bytes}",
                        $instruction, "add {at}, {at}, {bytes}",
                        at = inout(reg) at,
                        bytes = in(reg) bytes,
                        options(nostack, preserves_flags)
                    )
                };
            }
            while at < end {
                // SAFETY: As above.
                unsafe { asm!($instruction, at = in(reg) at, options(nostack, preserves_flags)) };
                at += bytes;
            }
        }};
    }

    /// Maintains every line that the range of a mapping touches, which this process made; what of the
    /// range lies beyond the mapping is ignored. Whether there were any: then [`barrier`] waits for them.
    #[inline]
    pub(crate) fn maintain(
        op: Maintenance,
        map: &Map,
        range: Range<usize>,
        line_bytes: usize,
    ) -> bool {
        let Some(lines) = lines_of(range, map.len(), line_bytes) else {
            return false;
        };
        let base = map.as_ptr() as usize;
        let lines = base + lines.start..base + lines.end;
        match op {
            Maintenance::Clean => each_line!("dc cvac, {at}", lines, line_bytes),
            Maintenance::CleanInvalidate => each_line!("dc civac, {at}", lines, line_bytes),
        }
        true
    }

    /// Waits until all maintenance and all stores before it are complete.
    pub(crate) fn barrier() {
        // SAFETY: A barrier has no effect on memory but ordering.
        unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
    }

    /// Lets a device see, before a register is written, all that was stored before.
    pub(crate) fn before_register_write() {
        // SAFETY: As above.
        unsafe { asm!("dmb oshst", options(nostack, preserves_flags)) };
    }

    /// Keeps what follows a read of a register behind it.
    pub(crate) fn after_register_read() {
        // SAFETY: As above.
        unsafe { asm!("dmb oshld", options(nostack, preserves_flags)) };
    }
}

#[cfg(not(target_arch = "aarch64"))]
mod instructions {
    //! Other processors: the kernel does the work, so none of it is ever reached.

    use super::{Lines, Maintenance, Map, Range};

    pub(crate) fn lines() -> Option<Lines> {
        None
    }

    pub(crate) fn maintain(_: Maintenance, _: &Map, _: Range<usize>, _: usize) -> bool {
        false
    }

    pub(crate) fn barrier() {}

    pub(crate) fn before_register_write() {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }

    pub(crate) fn after_register_read() {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }
}

pub(crate) use instructions::{
    after_register_read, barrier, before_register_write, lines, maintain,
};

#[cfg(test)]
mod tests {
    use super::*;

    /// CTR_EL0 of Cortex-A53.
    const CORTEX_A53: u64 = 0x8444_8004;

    #[test]
    fn sizes_are_those_of_the_register() {
        let lines = Lines {
            smallest: 64,
            granule: 64,
        };
        assert_eq!(Lines::parse(CORTEX_A53), Some(lines));
    }

    #[test]
    fn an_unknown_granule_is_the_largest_usual_one() {
        let lines = Lines::parse(CORTEX_A53 & !(0xf << 24)).unwrap();
        assert_eq!((lines.smallest, lines.granule), (64, 128));
    }

    #[test]
    fn sizes_that_cannot_be_leave_the_work_to_the_kernel() {
        assert_eq!(Lines::parse(0), None);
        assert_eq!(Lines::parse(CORTEX_A53 | 0xf << 16), None);
        // A granule smaller than the line.
        assert_eq!(Lines::parse(CORTEX_A53 & !(0xf << 24) | 3 << 24), None);
    }

    #[test]
    fn a_range_has_every_line_that_it_touches_and_no_other() {
        let lines = |range| {
            let lines = lines_of(range, 0x2000, 64);
            lines.map(|lines| lines.step_by(64).collect::<Vec<_>>())
        };
        assert_eq!(lines(0x1000..0x1040), Some(vec![0x1000]));
        assert_eq!(lines(0x103f..0x1041), Some(vec![0x1000, 0x1040]));
        assert_eq!(lines(0x1040..0x10c1), Some(vec![0x1040, 0x1080, 0x10c0]));
        assert_eq!(lines(0x107f..0x1080), Some(vec![0x1040]));
        assert_eq!(lines(0x1fff..0x2001), Some(vec![0x1fc0]));
        assert_eq!(lines(0x1001..0x1001), None);
        assert_eq!(lines(0x2000..0x2001), None);
    }
}
