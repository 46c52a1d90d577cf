// SPDX-License-Identifier: GPL-2.0-or-later

//! How many barriers there have been: a moment, for those who must have waited for something.
//!
//! The barriers that the kernel executes while it handles an interrupt or a fault, or runs others in
//! between, are luck for the process that was interrupted. So what was unfinished then is unfinished again when the
//! process goes on.

/// Intervals between barriers that are open at the same time: of a process that was interrupted.
const MOST_OPEN: usize = 4;

/// In place of an interval: there is none.
const NONE: u32 = u32::MAX;

/// The intervals between barriers in which something may have been done that no barrier waited for. The
/// first one is the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open([u32; MOST_OPEN]);

impl Open {
    /// Nothing happened in interval 0.
    const START: Self = Self([1, NONE, NONE, NONE]);

    fn next(self) -> Self {
        let next = self.0[0].wrapping_add(1) % NONE;
        Self([next, NONE, NONE, NONE])
    }

    fn and(self, other: Self) -> Self {
        let mut all = self.0.into_iter().chain(other.0).collect::<Vec<_>>();
        all[1..].sort_unstable();
        all.dedup();
        all.resize(MOST_OPEN, NONE);
        Self([all[0], all[1], all[2], all[3]])
    }
}

/// A moment between barriers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barriers {
    waiting: Open,
    ordering: Open,
}

impl Default for Barriers {
    fn default() -> Self {
        Self {
            waiting: Open::START,
            ordering: Open::START,
        }
    }
}

impl Barriers {
    /// A moment at which nothing is missing.
    pub(crate) const COMPLETE: Self = Self {
        waiting: Open([NONE; MOST_OPEN]),
        ordering: Open([NONE; MOST_OPEN]),
    };

    /// A barrier waits for maintenance.
    pub(crate) fn wait(&mut self) {
        self.waiting = self.waiting.next();
        self.order();
    }

    /// A barrier orders stores.
    pub(crate) fn order(&mut self) {
        self.ordering = self.ordering.next();
    }

    /// A process goes on that was interrupted at a moment.
    pub(crate) fn resume(&mut self, interrupted: Self) {
        self.waiting = self.waiting.and(interrupted.waiting);
        self.ordering = self.ordering.and(interrupted.ordering);
    }

    /// What stands for now where maintenance is remembered.
    pub(crate) fn of_maintenance(self) -> u32 {
        self.waiting.0[0]
    }

    /// What stands for now where a store is remembered.
    pub(crate) fn of_store(self) -> u32 {
        self.ordering.0[0]
    }

    /// Whether no barrier has waited for maintenance.
    pub(crate) fn lack_maintenance(self, when: u32) -> bool {
        when != NONE && self.waiting.0.contains(&when)
    }

    /// Whether no barrier has ordered a store.
    pub(crate) fn lack_store(self, when: u32) -> bool {
        when != NONE && self.ordering.0.contains(&when)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barrier_closes_what_was_open() {
        let mut barriers = Barriers::default();
        let (maintained, stored) = (barriers.of_maintenance(), barriers.of_store());
        assert!(barriers.lack_maintenance(maintained) && barriers.lack_store(stored));
        barriers.order();
        assert!(barriers.lack_maintenance(maintained) && !barriers.lack_store(stored));
        barriers.wait();
        assert!(!barriers.lack_maintenance(maintained));
        assert!(!barriers.lack_maintenance(0) && !barriers.lack_store(0));
    }

    #[test]
    fn barriers_of_an_interrupt_are_none_of_the_process() {
        let mut barriers = Barriers::default();
        let maintained = barriers.of_maintenance();
        let interrupted = barriers;
        barriers.wait();
        let of_other = barriers.of_store();
        barriers.wait();
        barriers.resume(interrupted);
        assert!(barriers.lack_maintenance(maintained));
        assert!(!barriers.lack_store(of_other));
        assert!(barriers.lack_store(barriers.of_store()));
        barriers.wait();
        assert!(!barriers.lack_maintenance(maintained));
    }

    #[test]
    fn what_is_complete_lacks_nothing() {
        let barriers = Barriers::default();
        assert!(!Barriers::COMPLETE.lack_store(barriers.of_store()));
        assert!(!Barriers::COMPLETE.lack_maintenance(NONE));
    }

    #[test]
    fn a_process_may_be_interrupted_again_and_again() {
        let mut barriers = Barriers::default();
        let first = barriers.of_store();
        for _ in 0..10 {
            let interrupted = barriers;
            barriers.wait();
            barriers.resume(interrupted);
        }
        assert!(barriers.lack_store(first));
    }
}
