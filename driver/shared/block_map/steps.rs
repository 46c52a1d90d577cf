// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The number of steps, of which tests show that it is bounded. Nothing else counts them.

#[cfg(test)]
std::thread_local! {
    static STEPS: core::cell::Cell<u32> = const { core::cell::Cell::new(0) };
}

/// A word of the bitmap or a node of the index is looked at or changed.
pub(super) fn step() {
    #[cfg(test)]
    STEPS.set(STEPS.get() + 1);
}

/// Steps since the last call, in this thread.
#[cfg(test)]
pub(in super::super) fn take() -> u32 {
    STEPS.take()
}
