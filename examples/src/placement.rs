// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where an allocator places its runs of blocks, and how much room that costs: policies compared by
//! the smallest region in which every allocation succeeds.

use crate::footprint::fewest_blocks;
use crate::network::Detector;
use crate::trace::{Operation, Trace, TraceError};
use fpgamem_shared::block_map::{Alignment, BlockMap, BlockRange, StorageSize};
use std::collections::{BTreeMap, HashMap};

/// Bytes in a block.
const BLOCK_BYTES: usize = 16384;
/// Blocks in a huge page.
const HUGE: u32 = 128;

/// An allocation or a free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Allocates blocks.
    Alloc {
        /// Name of the run.
        id: u32,
        /// Blocks in it.
        count: u32,
    },
    /// Frees a run.
    Free {
        /// Its name.
        id: u32,
    },
}

/// Allocations and frees in their order.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What it is.
    pub name: &'static str,
    /// The changes.
    pub changes: Vec<Change>,
}

/// Lengths of the runs of a random workload.
#[derive(Clone, Copy, Debug)]
pub enum Lengths {
    /// Each from 1 to 200 as often as any other.
    Even,
    /// Each octave up to 512 as often as any other.
    Octaves,
    /// One in four is at least a huge page, the others are up to 8.
    Mixed,
}

impl Workload {
    /// What a trace does with blocks of 16 KiB.
    #[must_use]
    pub fn of_trace(name: &'static str, trace: &Trace) -> Self {
        let change = |step: &crate::trace::Step| match &step.operation {
            Operation::Alloc { bytes } => Some(Change::Alloc {
                id: step.id,
                count: u32::try_from(bytes.get().div_ceil(BLOCK_BYTES)).unwrap_or(u32::MAX),
            }),
            Operation::Free => Some(Change::Free { id: step.id }),
            Operation::Flush(_) | Operation::Invalidate(_) => None,
        };
        let changes = trace.steps.iter().filter_map(change).collect();
        Self { name, changes }
    }

    /// The traces of the three networks.
    ///
    /// # Errors
    ///
    /// A trace that is damaged.
    pub fn networks() -> Result<[Self; 3], TraceError> {
        let parse = |name, text: &str| Trace::parse(name, text).map(|t| Self::of_trace(name, &t));
        Ok([
            parse("MobileNetV1", include_str!("../data/mobilenetv1.trace"))?,
            parse("ResNet50", include_str!("../data/resnet50.trace"))?,
            parse("YOLOv3-608", &Detector::YOLOV3_608.trace())?,
        ])
    }

    /// 20,000 random changes with up to 8,000 blocks allocated, and nearly so many most of the time.
    #[must_use]
    pub fn random(name: &'static str, lengths: Lengths) -> Self {
        let mut state = 0x2545_f491u32;
        let mut random = |below: u32| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state % below
        };
        let (mut changes, mut live, mut used) = (Vec::new(), Vec::new(), 0);
        for id in 0..20_000 {
            let count = match lengths {
                Lengths::Even => 1 + random(200),
                Lengths::Octaves => {
                    let octave = random(9);
                    (1 << octave) + random(1 << octave)
                }
                Lengths::Mixed if random(4) == 0 => HUGE + random(400),
                Lengths::Mixed => 1 + random(8),
            };
            if used + count <= 8000 && (live.is_empty() || random(100) < 55) {
                changes.push(Change::Alloc { id, count });
                live.push((id, count));
                used += count;
            } else {
                // There are fewer than 20,000.
                let nth = random(u32::try_from(live.len()).unwrap_or(u32::MAX)) as usize;
                let (id, count) = live.swap_remove(nth);
                changes.push(Change::Free { id });
                used -= count;
            }
        }
        Self { name, changes }
    }

    /// Most blocks that are allocated at the same time.
    #[must_use]
    pub fn peak(&self) -> u32 {
        let (mut live, mut used, mut peak) = (HashMap::new(), 0, 0);
        for change in &self.changes {
            match *change {
                Change::Alloc { id, count } => {
                    live.insert(id, count);
                    used += count;
                    peak = peak.max(used);
                }
                Change::Free { id } => used -= live.remove(&id).unwrap_or(0),
            }
        }
        peak
    }

    /// The fewest blocks in which every allocation succeeds, found by bisection; `None` where that cannot
    /// be tried.
    #[must_use]
    pub fn fewest_blocks(&self, policy: Policy) -> Option<u32> {
        fewest_blocks(self.peak(), |nr_blocks| match policy {
            Policy::Driver => self.fits(DriverMap::new(nr_blocks)?),
            Policy::Other(rule) => self.fits(Runs::new(nr_blocks, rule)),
        })
    }

    fn fits(&self, mut place: impl Place) -> Option<bool> {
        let mut live = HashMap::new();
        for change in &self.changes {
            match *change {
                Change::Alloc { id, count } => {
                    let Some(start) = place.alloc(count) else {
                        return Some(false);
                    };
                    live.insert(id, (start, count));
                }
                Change::Free { id } => {
                    let (start, count) = live.remove(&id)?;
                    place.free(start, count);
                }
            }
        }
        Some(true)
    }
}

/// How a free run is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The first one that is long enough.
    First,
    /// The first one in the lowest octave of lengths that has one.
    Segregated,
    /// The first one of the shortest that are long enough.
    Best,
}

/// When runs of a huge page and more are aligned to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignments {
    /// Never.
    Never,
    /// Where possible, if three quarters of the blocks stay free.
    IfPlenty,
    /// Where possible.
    Always,
}

/// A simple policy.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// How a run is chosen.
    pub choice: Choice,
    /// So many blocks and more are searched from the other end, and placed at the end of a run.
    pub from_end: Option<u32>,
    /// When long ones are aligned.
    pub alignments: Alignments,
}

/// A placement policy.
#[derive(Clone, Copy, Debug)]
pub enum Policy {
    /// That of the driver, by its own block map.
    Driver,
    /// A simple one.
    Other(Rule),
}

/// What places runs.
trait Place {
    fn alloc(&mut self, count: u32) -> Option<u32>;
    fn free(&mut self, start: u32, count: u32);
}

struct DriverMap(BlockMap<Vec<u64>, Vec<u32>>);

impl DriverMap {
    fn new(nr_blocks: u32) -> Option<Self> {
        let size = StorageSize::of(nr_blocks, 0)?;
        let (words, nodes) = (vec![0; size.words], vec![0; size.nodes]);
        BlockMap::new(words, nodes, nr_blocks, 0).ok().map(Self)
    }
}

impl Place for DriverMap {
    fn alloc(&mut self, count: u32) -> Option<u32> {
        let better = Alignment::new(if count >= HUGE { HUGE } else { 1 })?;
        let range = self.0.alloc_preferring(count, [better, Alignment::ONE]);
        range.ok().map(BlockRange::start)
    }

    fn free(&mut self, start: u32, count: u32) {
        let freed = BlockRange::new(start, count).map(|range| self.0.free(range));
        debug_assert_eq!(freed, Some(Ok(())));
    }
}

/// Free runs: length by start.
struct Runs {
    free: BTreeMap<u32, u32>,
    nr_free: u32,
    nr_blocks: u32,
    rule: Rule,
}

impl Runs {
    fn new(nr_blocks: u32, rule: Rule) -> Self {
        Self {
            free: BTreeMap::from([(0, nr_blocks)]),
            nr_free: nr_blocks,
            nr_blocks,
            rule,
        }
    }

    /// Where `count` blocks go, aligned.
    fn find(&self, count: u32, align: u32) -> Option<u32> {
        let from_end = self.rule.from_end.is_some_and(|least| count >= least);
        let fit = |(&start, &len): (&u32, &u32)| {
            let end = start + len;
            let place = if from_end {
                end.checked_sub(count)? / align * align
            } else {
                start.next_multiple_of(align)
            };
            (place >= start && place + count <= end).then_some((place, len))
        };
        let key = |&(_, len): &(u32, u32)| match self.rule.choice {
            Choice::First => 0,
            Choice::Segregated => len.ilog2(),
            Choice::Best => len,
        };
        let found = if from_end {
            self.free.iter().rev().filter_map(fit).min_by_key(key)
        } else {
            self.free.iter().filter_map(fit).min_by_key(key)
        };
        found.map(|(place, _)| place)
    }
}

impl Place for Runs {
    fn alloc(&mut self, count: u32) -> Option<u32> {
        let rest = self.nr_free.saturating_sub(count);
        let aligns = match self.rule.alignments {
            Alignments::Never => false,
            Alignments::IfPlenty => rest * 4 >= self.nr_blocks * 3,
            Alignments::Always => true,
        };
        let aligned = (aligns && count >= HUGE).then(|| self.find(count, HUGE));
        let place = aligned.flatten().or_else(|| self.find(count, 1))?;
        let (&start, &len) = self.free.range(..=place).next_back()?;
        self.free.remove(&start);
        if start < place {
            self.free.insert(start, place - start);
        }
        if place + count < start + len {
            self.free.insert(place + count, start + len - place - count);
        }
        self.nr_free -= count;
        Some(place)
    }

    fn free(&mut self, start: u32, count: u32) {
        self.nr_free += count;
        let (mut start, mut end) = (start, start + count);
        if let Some(len) = self.free.remove(&end) {
            end += len;
        }
        if let Some((&before, &len)) = self.free.range(..start).next_back() {
            if before + len == start {
                self.free.remove(&before);
                start = before;
            }
        }
        self.free.insert(start, end - start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST_FIT: Rule = Rule {
        choice: Choice::First,
        from_end: None,
        alignments: Alignments::Never,
    };

    /// The fewest blocks for each of the networks.
    fn networks(policy: Policy) -> [u32; 3] {
        Workload::networks()
            .unwrap()
            .map(|workload| workload.fewest_blocks(policy).unwrap())
    }

    #[test]
    fn the_driver_needs_two_percent_more_than_the_peak_at_most() {
        let peaks = Workload::networks().unwrap().map(|network| network.peak());
        assert_eq!(peaks, [2999, 10_561, 31_778]);
        let needed = networks(Policy::Driver);
        assert_eq!(needed, [3032, 10_685, 32_174]);
        for (needed, peak) in needed.into_iter().zip(peaks) {
            assert!(needed * 100 <= peak * 102, "{needed} of {peak}");
        }
    }

    #[test]
    fn simple_policies_need_what_the_table_says() {
        let other = |choice, from_end, alignments| {
            networks(Policy::Other(Rule {
                choice,
                from_end,
                alignments,
            }))
        };
        let (never, plenty) = (Alignments::Never, Alignments::IfPlenty);
        assert_eq!(other(Choice::First, None, never), [3097, 11_056, 32_416]);
        assert_eq!(other(Choice::First, None, plenty), [3097, 10_758, 32_212]);
        assert_eq!(other(Choice::Best, None, plenty), [3032, 10_781, 32_101]);
        assert_eq!(other(Choice::Best, Some(16), never), [3032, 10_613, 32_019]);
        assert_eq!(
            other(Choice::Best, Some(16), plenty),
            [3032, 10_809, 32_143]
        );
        assert_eq!(
            other(Choice::Segregated, None, plenty),
            [3032, 10_685, 32_174]
        );
        assert_eq!(
            other(Choice::First, None, Alignments::Always),
            [3452, 12_278, 33_256]
        );
    }

    #[test]
    fn nothing_fragmented_needs_the_peak() {
        let changes = vec![
            Change::Alloc { id: 0, count: 3 },
            Change::Free { id: 0 },
            Change::Alloc { id: 1, count: 4 },
        ];
        let workload = Workload { name: "", changes };
        assert_eq!(workload.fewest_blocks(Policy::Driver), Some(4));
        assert_eq!(workload.fewest_blocks(Policy::Other(FIRST_FIT)), Some(4));
    }

    #[test]
    fn random_workloads_stay_below_their_limit() {
        for lengths in [Lengths::Even, Lengths::Octaves, Lengths::Mixed] {
            let workload = Workload::random("", lengths);
            assert!((7900..=8000).contains(&workload.peak()), "{lengths:?}");
            assert_eq!(workload.changes.len(), 20_000);
        }
    }
}
