// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kinds of operation, how often each is tried, and how that went.

use nix::errno::Errno;
use std::collections::BTreeMap;
use std::time::Duration;

macro_rules! kinds {
    ($($name:ident $weight:literal)*) => {
        /// A kind of operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind { $($name),* }

        /// Every kind, and how often it is tried, relative to the others.
        pub(crate) const KINDS: &[(Kind, u64)] = &[$((Kind::$name, $weight)),*];
    };
}

kinds! {
    Info 24 Alloc 110 Free 60 Query 24 UserToPhys 25 PhysToUser 25 Flush 24 Invalidate 24 Sync 24
    SetOwner 24 Quiet 24 UnknownCommand 24 BadPointer 24 MapNew 90 MapHandle 60 MapFixed 38
    Unmap 110 Remap 34 Protect 36 Advise 34 Load 38 Store 60 Digest 44 Fork 25 Start 25 Exit 25
    Kill 25 Open 30 Duplicate 28 Close 35 Pass 26 Fdinfo 26 Debugfs 23 Zdma 24 Storm 44
    MapStatus 34 StatusWord 84 OpenPaddle 34 MapRegisters 60 UnmapOther 50 PaddleSync 52
    PaddleSyncB 26 PaddleAsk 34 Inspect 40 Accelerator 24 Accelerate 80 UseHold 30
}

/// How many of each kind succeeded, and failed by errno.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    outcomes: BTreeMap<Kind, BTreeMap<i32, u64>>,
    took: BTreeMap<Kind, Duration>,
}

impl Tally {
    pub(crate) fn add(&mut self, kind: Kind, outcome: Result<(), Errno>, took: Duration) {
        let errno = outcome.err().map_or(0, |errno| errno as i32);
        let outcomes = self.outcomes.entry(kind).or_default();
        *outcomes.entry(errno).or_default() += 1;
        *self.took.entry(kind).or_default() += took;
    }

    /// Prints a line for each kind.
    pub(crate) fn print(&self) {
        println!(
            "{:16} {:>8} {:>8} {:>8}  failed",
            "operation", "tried", "ok", "seconds"
        );
        for (kind, outcomes) in &self.outcomes {
            let tried: u64 = outcomes.values().sum();
            let ok = outcomes.get(&0).copied().unwrap_or(0);
            let failed = outcomes.iter().filter(|(errno, _)| **errno != 0);
            let failed: Vec<_> = failed
                .map(|(errno, count)| format!("{:?} {count}", Errno::from_raw(*errno)))
                .collect();
            println!(
                "{:16} {tried:8} {ok:8} {:8.1}  {}",
                format!("{kind:?}"),
                self.took.get(kind).map_or(0.0, Duration::as_secs_f64),
                failed.join(", ")
            );
        }
    }

    /// Whether the sequence was worth it: 30 % of all succeed, and each kind is 1 % of all.
    pub(crate) fn judge(&self) -> Result<(), String> {
        let sum = |of: &BTreeMap<i32, u64>| of.values().sum::<u64>();
        let all: u64 = self.outcomes.values().map(sum).sum();
        let ok: u64 = self
            .outcomes
            .values()
            .filter_map(|outcomes| outcomes.get(&0))
            .sum();
        println!("{all} operations, {ok} succeeded");
        if ok * 100 < all * 30 {
            return Err(format!("only {ok} of {all} operations succeeded"));
        }
        for (kind, _) in KINDS {
            let tried = self.outcomes.get(kind).map_or(0, sum);
            if tried * 100 < all {
                return Err(format!("only {tried} of {all} operations were {kind:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(ok: u64, failed: u64) -> Tally {
        let outcomes = BTreeMap::from([(0, ok), (22, failed)]);
        Tally {
            outcomes: KINDS
                .iter()
                .map(|(kind, _)| (*kind, outcomes.clone()))
                .collect(),
            ..Tally::default()
        }
    }

    #[test]
    fn three_in_ten_must_succeed() {
        assert!(tally(3, 7).judge().is_ok());
        assert!(tally(29, 71).judge().is_err());
    }

    #[test]
    fn a_kind_that_was_left_out_is_named() {
        let mut tally = tally(5, 5);
        tally.outcomes.remove(&Kind::Remap);
        assert!(tally.judge().is_err_and(|why| why.contains("Remap")));
    }
}
