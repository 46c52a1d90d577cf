// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cache instructions as a program may execute them.

#[cfg(target_arch = "aarch64")]
use std::arch::asm;
use std::ops::Range;

/// Bytes of a cache line.
pub(crate) const LINE: u64 = 64;

/// Executes an instruction on each line that the addresses touch.
macro_rules! on_lines {
    ($instruction:literal, $range:expr) => {
        for line in lines($range) {
            // SAFETY: neither instruction changes what the program reads; an address that is not
            // mapped ends the program on hardware, which is what some situations are about.
            #[cfg(target_arch = "aarch64")]
            unsafe {
                asm!(concat!($instruction, ", {}"), in(reg) line, options(nostack))
            };
            #[cfg(not(target_arch = "aarch64"))]
            panic!("{} of {line:#x} on the board only", $instruction);
        }
    };
}

fn lines(range: Range<u64>) -> impl Iterator<Item = u64> {
    (range.start / LINE * LINE..range.end).step_by(64)
}

/// Writes the lines of a range of user addresses back, without waiting.
pub(crate) fn clean(range: Range<u64>) {
    on_lines!("dc cvac", range);
}

/// Writes back and drops the lines of a range of user addresses, without waiting.
pub(crate) fn clean_invalidate(range: Range<u64>) {
    on_lines!("dc civac", range);
}

/// Cleans to where instructions are fetched, which a device does not see.
pub(crate) fn clean_to_unification(range: Range<u64>) {
    on_lines!("dc cvau", range);
}

/// Waits for all of it.
pub(crate) fn barrier() {
    // SAFETY: a barrier changes nothing.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("dsb sy", options(nostack))
    };
}
