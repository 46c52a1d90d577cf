// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The block map against a naive model: one `bool` per block and loops over all of them.

use super::block_map::{
    Alignment, AllocError, BlockMap, BlockRange, FreeError, StorageSize, NR_ALIGNMENTS,
};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// `true` at the index of each allocated block.
struct Model(Vec<bool>);

impl Model {
    fn is_free(&self, start: usize, end: usize) -> bool {
        end <= self.0.len() && self.0[start..end].iter().all(|&used| !used)
    }

    fn nr_free(&self) -> u32 {
        count(self.0.iter().filter(|&&used| !used).count())
    }

    /// Every start that satisfies the alignment, lowest first.
    fn aligned(&self, align: u32, phase: u64) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len()).filter(move |&start| (start as u64 + phase) % u64::from(align) == 0)
    }

    fn place(&self, count: u32, align: u32, phase: u64) -> Option<usize> {
        if align == 1 {
            let runs = self.free_runs().into_iter();
            let enough = runs.filter(|run| run.count() >= count);
            let tightest = enough.min_by_key(|run| run.count().ilog2())?;
            return Some(tightest.start() as usize);
        }
        self.aligned(align, phase)
            .find(|&start| self.is_free(start, start + count as usize))
    }

    fn largest_free(&self, align: u32, phase: u64) -> u32 {
        let free_from = |start: usize| self.0[start..].iter().take_while(|&&used| !used).count();
        self.aligned(align, phase)
            .map(|start| count(free_from(start)))
            .max()
            .unwrap_or(0)
    }

    fn free_runs(&self) -> Vec<BlockRange> {
        let mut runs = Vec::new();
        let mut start = 0;
        for part in self.0.chunk_by(|a, b| a == b) {
            if !part[0] {
                runs.push(BlockRange::new(start, count(part.len())).unwrap());
            }
            start += count(part.len());
        }
        runs
    }
}

fn count(blocks: usize) -> u32 {
    u32::try_from(blocks).unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    Alloc {
        count: u32,
        align_shift: u32,
    },
    /// Frees the n-th (modulo their number) of the runs that are held.
    FreeHeld {
        nth: usize,
    },
    /// Frees any range, held or not.
    FreeAny {
        start: u32,
        count: u32,
    },
}

/// Lengths that are often short and sometimes span words.
fn counts() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0u32..8, 2 => 8u32..80, 1 => 80u32..400]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (counts(), 0u32..9).prop_map(|(count, align_shift)| Op::Alloc { count, align_shift }),
        3 => any::<usize>().prop_map(|nth| Op::FreeHeld { nth }),
        1 => (0u32..320, 1u32..80).prop_map(|(start, count)| Op::FreeAny { start, count }),
    ];
    prop::collection::vec(op, 1..80)
}

fn long_ops() -> impl Strategy<Value = Vec<Op>> {
    let counts = prop_oneof![1u32..70, 60u32..140, 100u32..3000];
    let op = prop_oneof![
        5 => (counts, prop_oneof![3 => Just(0u32), 2 => 0u32..14])
            .prop_map(|(count, align_shift)| Op::Alloc { count, align_shift }),
        4 => any::<usize>().prop_map(|nth| Op::FreeHeld { nth }),
        2 => (0u32..5000, 1u32..600).prop_map(|(start, count)| Op::FreeAny { start, count }),
    ];
    prop::collection::vec(op, 1..60)
}

/// One map, its model, and the runs that have been handed out and not been freed since.
struct Pair {
    map: BlockMap<Vec<u64>, Vec<u32>>,
    model: Model,
    held: Vec<BlockRange>,
    /// What was freed last, if nothing has been allocated since.
    last_freed: Option<BlockRange>,
    phase: u64,
}

impl Pair {
    fn new(nr_blocks: u32, phase: u64) -> Self {
        let size = StorageSize::of(nr_blocks, phase).unwrap();
        let (words, nodes) = (vec![u64::MAX; size.words], vec![u32::MAX; size.nodes]);
        let map = BlockMap::new(words, nodes, nr_blocks, phase).unwrap();
        Self {
            map,
            model: Model(vec![false; nr_blocks as usize]),
            held: Vec::new(),
            last_freed: None,
            phase,
        }
    }

    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Alloc { count, align_shift } => self.alloc(count, 1 << align_shift),
            Op::FreeHeld { .. } if self.held.is_empty() => Ok(()),
            Op::FreeHeld { nth } => self.free(self.held[nth % self.held.len()]),
            Op::FreeAny { start, count } => self.free(BlockRange::new(start, count).unwrap()),
        }
    }

    fn alloc(&mut self, count: u32, align: u32) -> Result<(), TestCaseError> {
        let is_aligned = |run: &BlockRange| {
            (u64::from(run.start()) + self.phase).is_multiple_of(u64::from(align))
        };
        let last_freed = if count == 0 {
            None
        } else {
            self.last_freed.take()
        };
        let again = last_freed.filter(|run| run.count() == count && is_aligned(run));
        let expected = match self.model.place(count.max(1), align, self.phase) {
            _ if count == 0 => Err(AllocError::ZeroCount),
            _ if again.is_some() => Ok(again.unwrap()),
            None => Err(AllocError::NoRoom {
                requested: count,
                free: self.model.nr_free(),
            }),
            Some(start) => Ok(BlockRange::new(u32::try_from(start).unwrap(), count).unwrap()),
        };
        let alignment = Alignment::new(align).unwrap();
        let result = self.map.alloc(count, alignment);
        prop_assert_eq!(result, expected);
        if let Ok(run) = result {
            for held in &self.held {
                prop_assert!(run.end() <= held.start() || held.end() <= run.start());
            }
            self.model.0[run.start() as usize..run.end() as usize].fill(true);
            self.held.push(run);
        }
        Ok(())
    }

    fn free(&mut self, range: BlockRange) -> Result<(), TestCaseError> {
        let blocks = range.start() as usize..range.end() as usize;
        let expected = match self.model.0.get(blocks.clone()) {
            None => Err(FreeError::OutOfRange),
            Some(used) if used.contains(&false) => Err(FreeError::NotAllocated),
            Some(_) => Ok(()),
        };
        prop_assert_eq!(self.map.free(range), expected);
        if expected.is_ok() {
            self.model.0[blocks].fill(false);
            self.last_freed = Some(range);
            self.held
                .retain(|held| held.end() <= range.start() || range.end() <= held.start());
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let (map, model) = (&mut self.map, &self.model);
        prop_assert_eq!(map.nr_free(), model.nr_free());
        for (block, &used) in (0..).zip(&model.0) {
            prop_assert_eq!(map.is_allocated(block), Some(used));
        }
        let mut largest = [0; NR_ALIGNMENTS];
        for (shift, longest) in largest.iter_mut().enumerate() {
            *longest = model.largest_free(1 << shift, self.phase);
            let alignment = Alignment::new(1 << shift).unwrap();
            prop_assert_eq!(map.largest_free(alignment), *longest);
        }
        prop_assert_eq!(map.largest_free_by_alignment(), largest);
        Ok(())
    }
}

proptest! {
    /// Includes the claim that runs never overlap, that the right fit is taken, that a failure
    /// changes nothing, and that what the map says of itself is right after every step.
    #[test]
    fn behaves_as_the_model(nr_blocks in 1u32..320, phase in 0u64..1 << 38, ops in ops()) {
        let mut pair = Pair::new(nr_blocks, phase);
        pair.check()?;
        for op in ops {
            pair.apply(op)?;
            pair.check()?;
        }
    }

    #[test]
    fn what_largest_free_promises_can_be_allocated(
        nr_blocks in 1u32..320, phase in 0u64..1 << 38, ops in ops(), align_shift in 0u32..10,
    ) {
        let mut pair = Pair::new(nr_blocks, phase);
        for op in ops {
            pair.apply(op)?;
        }
        let alignment = Alignment::new(1 << align_shift).unwrap();
        let largest = pair.map.largest_free(alignment);
        prop_assert!(pair.map.alloc(largest + 1, alignment).is_err());
        prop_assert_eq!(pair.map.alloc(largest, alignment).is_ok(), largest > 0);
    }
}

proptest! {
    // The model looks at every block.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 8,
        ..ProptestConfig::default()
    })]

    /// The same where the index has several levels and runs are long.
    #[test]
    fn large_maps_behave_as_the_model(
        nr_blocks in 1000u32..3000, phase in 0u64..1 << 38, ops in long_ops(),
    ) {
        let mut pair = Pair::new(nr_blocks, phase);
        for op in ops {
            pair.apply(op)?;
        }
        pair.check()?;
    }
}
