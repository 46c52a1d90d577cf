// SPDX-License-Identifier: GPL-2.0

//! Data cache maintenance by address, for memory that is not in the linear map.
//!
//! The kernel's `dcache_*_poc()` are not exported and `dma_sync_*()` goes through the linear map,
//! where reserved `no-map` memory is absent. Would be replaced by an abstraction over
//! `dcache_clean_poc()` if that were exported.
//!
//! Arm Architecture Reference Manual, "Cache maintenance instructions": DC CVAC cleans, DC CIVAC
//! cleans and invalidates the line that holds an address, both to the point of coherency. DSB waits
//! until all earlier ones are complete.

use core::arch::asm;

/// Bytes that are maintained before other tasks get a chance to run.
const BYTES_PER_TURN: usize = 256 << 10;

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

/// Number of cache lines that `len` bytes from `start` touch.
pub(super) fn lines_of(start: usize, len: usize) -> u64 {
    let line = line_bytes();
    let first = start & !(line - 1);
    // CAST: usize is 64 bits on arm64.
    start
        .saturating_add(len)
        .saturating_sub(first)
        .div_ceil(line) as u64
}

/// Maintains every line that `len` bytes from `start` touch. The caller issues [`barrier`].
///
/// # Safety
///
/// The range is mapped cacheable in the kernel for the duration of the call.
pub(super) unsafe fn maintain(operation: Operation, start: usize, len: usize) {
    let line = line_bytes();
    let end = start.saturating_add(len);
    let mut address = start & !(line - 1);
    while address < end {
        let turn_end = address.saturating_add(BYTES_PER_TURN).min(end);
        match operation {
            Operation::Clean => {
                while address < turn_end {
                    // SAFETY: The caller vouches that the line is mapped; cleaning changes no byte.
                    unsafe {
                        asm!("dc cvac, {}", in(reg) address, options(nostack, preserves_flags))
                    };
                    address += line;
                }
            }
            Operation::CleanInvalidate => {
                while address < turn_end {
                    // SAFETY: The caller vouches that the line is mapped; what is dirty is written
                    // back first, so no byte changes.
                    unsafe {
                        asm!("dc civac, {}", in(reg) address, options(nostack, preserves_flags))
                    };
                    address += line;
                }
            }
        }
        resched();
    }
}

/// Lets other tasks run where the kernel is not preemptible.
///
/// Kernels that check it report callers that may not sleep, preemptible ones too.
pub(super) fn resched() {
    kernel::task::might_sleep();
    #[cfg(any(not(CONFIG_PREEMPTION), CONFIG_PREEMPT_DYNAMIC))]
    // SAFETY: Callers of this module may sleep; no lock of the module is held around maintenance.
    unsafe {
        kernel::bindings::__cond_resched()
    };
}
