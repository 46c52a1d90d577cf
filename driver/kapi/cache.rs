// SPDX-License-Identifier: GPL-2.0

//! Data cache maintenance by address, for memory that is not in the linear map.
//!
//! The kernel's `dcache_*_poc()` are not exported and `dma_sync_*()` goes through the linear map,
//! where reserved `no-map` memory is absent. Would be replaced by an abstraction over
//! `dcache_clean_poc()` if that were exported.
//!
//! Arm Architecture Reference Manual, "Cache maintenance instructions": DC CVAC cleans, DC CIVAC
//! cleans and invalidates the line that holds an address, both to the point of coherency; DC ZVA fills it
//! with zeroes without reading memory. DSB waits until all earlier ones are complete.

use core::arch::asm;

/// Runs cache instructions on each of `lines` lines of `line` bytes from `from` on: 32 a turn, and then as
/// many as each bit of what is left says. Beyond them that is one instruction for a line and two for a turn.
/// Gives the address after the last one.
///
/// For unsafe functions whose callers vouch that the kernel maps the lines cacheable, and for DC ZVA that nobody
/// else uses them.
macro_rules! each_line {
    ($from:expr, $lines:expr, $line:expr, $($instruction:literal),+) => {{
        let mut at: usize = $from;
        // SAFETY: The caller vouches for the lines. Cleaning changes no byte, and invalidating neither,
        // because what is dirty is written back first.
        unsafe { asm!(
            "subs {lines}, {lines}, #32",
            "b.lo 3f",
            "2:",
            ".rept 32", $($instruction,)+ "add {at}, {at}, {line}", ".endr",
            "subs {lines}, {lines}, #32",
            "b.hs 2b",
            // Less than 0 now; the lower five bits say how many are left.
            "3:",
            "tbz {lines}, #4, 4f",
            ".rept 16", $($instruction,)+ "add {at}, {at}, {line}", ".endr",
            "4:",
            "tbz {lines}, #3, 5f",
            ".rept 8", $($instruction,)+ "add {at}, {at}, {line}", ".endr",
            "5:",
            "tbz {lines}, #2, 6f",
            ".rept 4", $($instruction,)+ "add {at}, {at}, {line}", ".endr",
            "6:",
            "tbz {lines}, #1, 7f",
            ".rept 2", $($instruction,)+ "add {at}, {at}, {line}", ".endr",
            "7:",
            "tbz {lines}, #0, 8f",
            $($instruction,)+ "add {at}, {at}, {line}",
            "8:",
            at = inout(reg) at,
            lines = inout(reg) $lines => _,
            line = in(reg) $line,
            options(nostack)
        ) };
        at
    }};
}

/// What to do with each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Write dirty lines to memory; they stay valid in the cache.
    Clean,
    /// Write dirty lines to memory and drop the line.
    CleanInvalidate,
}

/// Size in bytes of the smallest data cache line of all caches.
pub(crate) fn line_bytes() -> usize {
    let ctr: u64;
    // SAFETY: Reading CTR_EL0 has no side effects.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    // DminLine, bits 19 to 16: the binary logarithm of the number of 4-byte words.
    4 << ((ctr >> 16) & 0xf)
}

/// Waits until all maintenance and all stores before it are complete.
pub(crate) fn barrier() {
    // SAFETY: A barrier has no effect on memory but ordering.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

/// How many lines of `line` bytes, a power of two, there are from the start of one up to `end`.
fn lines_from(start: usize, end: usize, line: usize) -> usize {
    end.saturating_sub(start).saturating_add(line - 1) >> line.trailing_zeros()
}

/// Maintains every line that `len` bytes from `start` touch and returns how many. The caller issues
/// [`barrier`].
///
/// # Safety
///
/// The range is mapped cacheable in the kernel for the duration of the call.
pub(super) unsafe fn maintain(operation: Operation, start: usize, len: usize) -> u64 {
    let line = line_bytes();
    let end = start.saturating_add(len);
    let start = start & !(line - 1);
    let lines = lines_from(start, end, line);
    let end = match operation {
        Operation::Clean => each_line!(start, lines, line, "dc cvac, {at}"),
        Operation::CleanInvalidate => each_line!(start, lines, line, "dc civac, {at}"),
    };
    // CAST: usize is 64 bits on arm64.
    lines_from(start, end, line) as u64
}

/// Fills `len` bytes from `start` with zeroes, line by line, and maintains each. Does nothing and says so
/// where the processor has no instruction for it, or the range is not one of whole lines. The caller
/// issues [`barrier`].
///
/// # Safety
///
/// The range is mapped cacheable and writable in the kernel for the duration of the call, and nobody else
/// reads or writes it.
pub(super) unsafe fn zero(operation: Operation, start: usize, len: usize) -> bool {
    let line = line_bytes();
    if zeroed_bytes() != Some(line) || (start | len) & (line - 1) != 0 {
        return false;
    }
    let lines = lines_from(start, start.saturating_add(len), line);
    match operation {
        Operation::Clean => each_line!(start, lines, line, "dc zva, {at}", "dc cvac, {at}"),
        Operation::CleanInvalidate => {
            each_line!(start, lines, line, "dc zva, {at}", "dc civac, {at}")
        }
    };
    true
}

/// Bytes that DC ZVA clears; `None` where it must not be used.
fn zeroed_bytes() -> Option<usize> {
    let dczid: u64;
    // SAFETY: Reading DCZID_EL0 has no side effects.
    unsafe { asm!("mrs {}, dczid_el0", out(reg) dczid, options(nomem, nostack, preserves_flags)) };
    // BS, bits 3 to 0: the binary logarithm of the number of 4-byte words. DZP, bit 4: prohibited.
    (dczid & 1 << 4 == 0).then_some(4 << (dczid & 0xf))
}

/// Lets other tasks run where the kernel is not preemptible.
///
/// Kernels that check it report callers that may not sleep, preemptible ones too.
pub(crate) fn resched() {
    kernel::task::might_sleep();
    #[cfg(any(not(CONFIG_PREEMPTION), CONFIG_PREEMPT_DYNAMIC))]
    // SAFETY: Callers of this module may sleep; no lock of the module is held around maintenance.
    unsafe {
        kernel::bindings::__cond_resched()
    };
}
