// SPDX-License-Identifier: GPL-2.0-or-later

//! What the model found: one report per kind of mistake and place, however many lines it hit.

use std::collections::HashMap;
use std::ops::Range;

/// A kind of mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A bus master read what the CPU had stored and nobody had cleaned.
    MissingClean,
    /// A bus master wrote to a line that held stores of the CPU.
    LostToEviction,
    /// The CPU loaded what a bus master had written since the line was last invalidated.
    MissingInvalidate,
    /// Writing back a line put old bytes over what a bus master had written.
    StaleWriteBack,
    /// DC IVAC dropped stores of the CPU.
    DiscardedStores,
    /// Cache maintenance of an address that is not mapped.
    Unmapped,
    /// The kernel cleared memory, and a process reached it before the zeroes were in the DDR.
    UncleanZeroes,
    /// Cacheable and non-cacheable accesses to a line without invalidation between them.
    MixedAttributes,
    /// A bus master was started before a barrier waited for the maintenance of what it accesses or,
    /// where none is needed, for the stores.
    MissingBarrier,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::MissingClean,
        Self::LostToEviction,
        Self::MissingInvalidate,
        Self::StaleWriteBack,
        Self::DiscardedStores,
        Self::Unmapped,
        Self::UncleanZeroes,
        Self::MixedAttributes,
        Self::MissingBarrier,
    ];

    /// The name in machine-readable output.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingClean => "missing-clean",
            Self::LostToEviction => "lost-to-eviction",
            Self::MissingInvalidate => "missing-invalidate",
            Self::StaleWriteBack => "stale-write-back",
            Self::DiscardedStores => "discarded-stores",
            Self::Unmapped => "unmapped",
            Self::UncleanZeroes => "unclean-zeroes",
            Self::MixedAttributes => "mixed-attributes",
            Self::MissingBarrier => "missing-barrier",
        }
    }

    /// What happened, as a sentence.
    pub fn summary(self) -> &'static str {
        match self {
            Self::MissingClean => {
                "the device read, or may still read, memory whose newest content was in the cache"
            }
            Self::LostToEviction => {
                "the device wrote, or may still write, to lines that held stores of the CPU; \
                 their eviction overwrites its result"
            }
            Self::MissingInvalidate => {
                "the CPU read memory that the device had written, through lines that may be older"
            }
            Self::StaleWriteBack => {
                "the CPU stored to lines that the device had written without dropping their old \
                 content first; written back, they overwrite its result"
            }
            Self::DiscardedStores => "DC IVAC dropped lines that held stores of the CPU",
            Self::Unmapped => {
                "cache maintenance of an address that is not mapped: hardware takes a fault"
            }
            Self::UncleanZeroes => {
                "memory was mapped while the zeroes that clear it were still in the cache"
            }
            Self::MixedAttributes => {
                "lines were accessed both through the cache and past it, \
                 and not invalidated in between"
            }
            Self::MissingBarrier => {
                "the device was started before the CPU's stores, or its cache maintenance, were \
                 complete"
            }
        }
    }

    /// What should have been done, as a sentence.
    pub fn advice(self) -> &'static str {
        match self {
            Self::MissingClean => {
                "after the last store and before the device starts, clean the whole range \
                 (to the device: DC CVAC, FPGAMEM_IOC_FLUSH, into_device(ToDevice))"
            }
            Self::LostToEviction => {
                "before the device starts, clean and invalidate the whole range it writes \
                 (from the device: DC CIVAC, FPGAMEM_IOC_INVALIDATE, into_device(FromDevice)), \
                 and do not store to it, nor to the rest of its lines, until the device is done"
            }
            Self::MissingInvalidate => {
                "after the program has seen that the device is done, not earlier, and before the CPU \
                 reads, invalidate the whole range it wrote (from the device: DC CIVAC, \
                 FPGAMEM_IOC_INVALIDATE, into_cpu())"
            }
            Self::StaleWriteBack => {
                "after the device is done and before the CPU stores to the range, invalidate it \
                 (DC CIVAC, FPGAMEM_IOC_INVALIDATE, into_cpu())"
            }
            Self::DiscardedStores => "use DC CIVAC, which writes dirty lines back first",
            Self::Unmapped => "maintain only addresses of a live mapping that the CPU may access",
            Self::UncleanZeroes => {
                "clean the whole buffer after it is cleared and before it is mapped"
            }
            Self::MixedAttributes => {
                "use one attribute per buffer; where it changes, clean and invalidate every line \
                 through the cacheable mapping before the first access of the other kind"
            }
            Self::MissingBarrier => {
                "execute DSB SY after the last maintenance instruction, or after the last store past the \
                 cache, and before the store that starts the device"
            }
        }
    }
}

/// Where in a program something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Address of the instruction; 0 where unknown.
    pub pc: u64,
    /// What the link register held: where a function that calls no other returns to. 0 where it was
    /// not read.
    pub link: u64,
    /// Index of the process in the list of processes.
    pub process: u32,
    /// Name of the bus master that the instruction started, as an index; 0 for none.
    pub master: u32,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Report {
    /// The kind of mistake.
    pub kind: Kind,
    /// Where it showed.
    pub at: Place,
    /// What led to it: the store that was not cleaned, or the start of the device that wrote.
    pub cause: Option<Place>,
    /// Physical addresses of the lines, ascending and disjoint; virtual ones for
    /// [`Kind::Unmapped`].
    pub lines: Vec<Range<u64>>,
    /// How often it happened to a line.
    pub count: u64,
}

impl Report {
    /// Takes in what another report of the same mistake says.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.count += other.count;
        for lines in &other.lines {
            insert(&mut self.lines, lines.clone());
        }
    }
}

/// Ranges of one report beyond which further lines are only counted.
const MOST_RANGES: usize = 64;

/// Reports beyond which further ones are only counted.
const MOST_REPORTS: usize = 1000;

/// All findings so far.
#[derive(Debug, Default)]
pub struct Reports {
    list: Vec<Report>,
    index: HashMap<(Kind, Place, Option<Place>), usize>,
    left_out: u64,
    seen: usize,
}

impl Reports {
    /// Records that a mistake hit the bytes `lines`.
    pub fn add(&mut self, kind: Kind, at: Place, cause: Option<Place>, lines: Range<u64>) {
        let key = (kind, at, cause);
        let index = match self.index.get(&key) {
            Some(index) => *index,
            None if self.list.len() == MOST_REPORTS => {
                self.left_out += 1;
                return;
            }
            None => {
                self.list.push(Report {
                    kind,
                    at,
                    cause,
                    lines: Vec::new(),
                    count: 0,
                });
                self.index.insert(key, self.list.len() - 1);
                self.list.len() - 1
            }
        };
        let report = &mut self.list[index];
        report.count += 1;
        insert(&mut report.lines, lines);
    }

    /// All reports, oldest first.
    pub fn list(&self) -> &[Report] {
        &self.list
    }

    /// Events that are in no report because there were too many.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The reports that are new since the last call.
    pub fn take_new(&mut self) -> Range<usize> {
        let new = self.seen..self.list.len();
        self.seen = self.list.len();
        new
    }
}

/// Adds a range to a sorted list, joining neighbours.
fn insert(ranges: &mut Vec<Range<u64>>, new: Range<u64>) {
    let first = ranges.partition_point(|r| r.end < new.start);
    let last = ranges.partition_point(|r| r.start <= new.end);
    if first == last {
        if ranges.len() < MOST_RANGES {
            ranges.insert(first, new);
        }
        return;
    }
    let joined = ranges[first].start.min(new.start)..ranges[last - 1].end.max(new.end);
    ranges.splice(first..last, [joined]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pc: u64) -> Place {
        Place {
            pc,
            ..Place::default()
        }
    }

    #[test]
    fn neighbouring_lines_of_one_mistake_are_one_range() {
        let mut reports = Reports::default();
        for line in [0x80, 0x40, 0x100, 0xc0, 0x40] {
            reports.add(Kind::MissingClean, at(1), Some(at(2)), line..line + 0x40);
        }
        assert_eq!(reports.list().len(), 1);
        assert_eq!(reports.list()[0].lines, vec![0x40..0x140]);
        assert_eq!(reports.list()[0].count, 5);
    }

    #[test]
    fn separate_ranges_stay_apart_and_sorted() {
        let mut ranges = Vec::new();
        for start in [0x400, 0x100, 0x800] {
            insert(&mut ranges, start..start + 0x40);
        }
        assert_eq!(ranges, [0x100..0x140, 0x400..0x440, 0x800..0x840]);
        insert(&mut ranges, 0x140..0x800);
        assert_eq!(ranges, vec![0x100..0x840]);
    }

    #[test]
    fn another_place_is_another_report() {
        let mut reports = Reports::default();
        reports.add(Kind::MissingClean, at(1), Some(at(2)), 0..64);
        reports.add(Kind::MissingClean, at(1), Some(at(3)), 0..64);
        reports.add(Kind::LostToEviction, at(1), Some(at(2)), 0..64);
        assert_eq!(reports.list().len(), 3);
        assert_eq!(reports.take_new(), 0..3);
        assert_eq!(reports.take_new(), 3..3);
    }

    #[test]
    fn a_flood_is_counted_but_not_kept() {
        let mut reports = Reports::default();
        for pc in 0..1500 {
            reports.add(Kind::Unmapped, at(pc), None, 0..64);
        }
        assert_eq!(reports.list().len(), MOST_REPORTS);
        assert_eq!(reports.left_out(), 500);
    }

    #[test]
    fn names_are_distinct() {
        let mut names = Kind::ALL.map(Kind::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
