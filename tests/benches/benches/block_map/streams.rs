// SPDX-License-Identifier: MIT OR Apache-2.0

//! Allocations and frees that every allocator gets.

use crate::allocators::Allocator;
use fpgamem_examples::placement::{Change, Workload};
use std::collections::HashMap;

/// One operation; runs have numbers that are used again.
#[derive(Clone, Copy)]
enum Step {
    Alloc { number: usize, count: u32 },
    Free { number: usize },
}

/// Operations after which nothing is allocated.
pub(crate) struct Stream {
    steps: Vec<Step>,
    /// Most runs at the same time.
    nr_runs: usize,
}

impl Stream {
    pub(crate) fn of(workload: &Workload) -> Self {
        let (mut steps, mut live, mut unused) = (Vec::new(), HashMap::new(), Vec::new());
        let mut nr_runs = 0;
        for change in &workload.changes {
            match *change {
                Change::Alloc { id, count } => {
                    let number = unused.pop().unwrap_or_else(|| {
                        nr_runs += 1;
                        nr_runs - 1
                    });
                    live.insert(id, number);
                    steps.push(Step::Alloc { number, count });
                }
                Change::Free { id } => {
                    let number = live.remove(&id).expect("only what lives is freed");
                    unused.push(number);
                    steps.push(Step::Free { number });
                }
            }
        }
        let mut rest: Vec<_> = live.into_values().collect();
        rest.sort_unstable();
        steps.extend(rest.into_iter().map(|number| Step::Free { number }));
        Self { steps, nr_runs }
    }

    pub(crate) fn nr_operations(&self) -> u32 {
        u32::try_from(self.steps.len()).expect("a few thousand")
    }

    pub(crate) fn replay<A: Allocator>(&self, allocator: &mut A) {
        let mut runs: Vec<Option<A::Run>> = (0..self.nr_runs).map(|_| None).collect();
        for step in &self.steps {
            match *step {
                Step::Alloc { number, count } => runs[number] = allocator.alloc(count),
                Step::Free { number } => {
                    allocator.free(runs[number].take().expect("room for every allocation"));
                }
            }
        }
    }
}

/// Fills a region, and frees all but each `nth` block of it, and its last `room` blocks.
pub(crate) fn fill_with_holes<A: Allocator>(
    allocator: &mut A,
    nr_blocks: u32,
    nth: u32,
    room: u32,
) {
    let singles: Vec<_> = (0..nr_blocks).map_while(|_| allocator.alloc(1)).collect();
    assert_eq!(singles.len(), nr_blocks as usize, "all blocks are given");
    for single in singles {
        let block = A::start(&single);
        if block % nth != 0 || block >= nr_blocks - room {
            allocator.free(single);
        }
    }
}
