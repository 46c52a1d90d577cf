// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who has which part of a region.

use crate::debugfs::{Entry, Holder};
use fpgamem::Info;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

/// A region and what lies in it; sizes and addresses in bytes. This is the form that `--json` prints.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Map {
    pub(crate) device: String,
    pub(crate) phys_addr: u64,
    pub(crate) region_bytes: u64,
    pub(crate) block_bytes: u64,
    pub(crate) free_bytes: u64,
    /// Runs of free blocks, by address.
    pub(crate) free_runs: Vec<Run>,
    /// Those of the free bytes that the driver has not cleared since they were freed, by address; absent if it
    /// does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scrubbing_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scrubbing_runs: Option<Vec<Run>>,
    /// Live buffers and quarantined blocks, by address.
    pub(crate) buffers: Vec<Piece>,
}

/// A run of free blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) phys_addr: u64,
    pub(crate) bytes: u64,
}

/// A buffer, or a run of quarantined blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) phys_addr: u64,
    pub(crate) bytes: u64,
    pub(crate) state: Holder,
    pub(crate) pid: u32,
    /// Name of the process; empty where it has gone.
    pub(crate) command: String,
    pub(crate) mappings: u64,
    pub(crate) write_combine: bool,
    pub(crate) coherent: bool,
}

/// What one process has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) command: String,
    pub(crate) buffers: u64,
    pub(crate) bytes: u64,
    pub(crate) device_bytes: u64,
    pub(crate) quarantined_bytes: u64,
}

impl Map {
    /// The map of a pool that is as `info` says, has `entries`, and `dirty` addresses, lowest first, if its
    /// driver tells those.
    pub(crate) fn new(
        device: &str,
        info: &Info,
        entries: &[Entry],
        dirty: Option<&[Range<u64>]>,
        command_of: impl Fn(u32) -> String,
    ) -> Self {
        let mut names = BTreeMap::new();
        let mut name = |pid| names.entry(pid).or_insert_with(|| command_of(pid)).clone();
        let buffers: Vec<_> = entries
            .iter()
            .map(|entry| Piece {
                phys_addr: entry.phys_addr,
                bytes: entry.bytes,
                state: entry.holder,
                pid: entry.pid,
                command: name(entry.pid),
                mappings: entry.mappings,
                write_combine: entry.write_combine,
                coherent: entry.coherent,
            })
            .collect();
        let mut map = Self {
            device: device.to_owned(),
            phys_addr: info.phys_addr.as_u64(),
            region_bytes: info.region_bytes,
            block_bytes: info.block_bytes,
            free_bytes: 0,
            free_runs: Vec::new(),
            scrubbing_bytes: None,
            scrubbing_runs: None,
            buffers,
        };
        map.find_free(dirty);
        map
    }

    /// Fills in what is free, and what of that is dirty.
    ///
    /// What is free the buffers alone tell, so that each byte is counted once: the pool may have changed since
    /// `info` was taken, or between the lists of buffers and of dirty blocks.
    fn find_free(&mut self, dirty: Option<&[Range<u64>]>) {
        self.free_runs = self.gaps();
        self.free_bytes = sum(&self.free_runs);
        self.scrubbing_runs = dirty.map(|dirty| common(&self.free_runs, dirty));
        self.scrubbing_bytes = self.scrubbing_runs.as_deref().map(sum);
    }

    /// What lies between the buffers.
    fn gaps(&self) -> Vec<Run> {
        let mut gaps = Vec::new();
        let mut next = self.phys_addr;
        let ends = self.buffers.iter().map(|b| (b.phys_addr, b.bytes));
        for (start, bytes) in ends.chain([(self.end(), 0)]) {
            if start > next {
                let bytes = start - next;
                gaps.push(Run {
                    phys_addr: next,
                    bytes,
                });
            }
            next = next.max(start.saturating_add(bytes));
        }
        gaps
    }

    /// Refuses what no driver tells: a recorded map may have been written by hand.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sizes = self.block_bytes.is_power_of_two()
            && self.region_bytes >= self.block_bytes
            && self.region_bytes % self.block_bytes == 0;
        // Sums of such numbers fit; no processor has more address bits.
        let fits = |address: u64| address <= 1 << 52;
        if !sizes || !fits(self.phys_addr) || !fits(self.region_bytes) {
            let (region, block) = (self.region_bytes, self.block_bytes);
            return Err(format!("a region of {region} bytes in blocks of {block}"));
        }
        let pieces = self
            .buffers
            .iter()
            .map(|piece| (piece.phys_addr, piece.bytes));
        self.check_order(pieces)?;
        let runs = self.scrubbing_runs.iter().flatten();
        self.check_order(runs.map(|run| (run.phys_addr, run.bytes)))
    }

    /// Refuses pieces, each an address and its bytes, that overlap or leave the region.
    fn check_order(&self, pieces: impl Iterator<Item = (u64, u64)>) -> Result<(), String> {
        let mut next = self.phys_addr;
        for (start, bytes) in pieces {
            let end = start.checked_add(bytes);
            let end = end.filter(|end| *end <= self.end() && bytes != 0);
            match end {
                Some(end) if start >= next => next = end,
                _ => {
                    return Err(format!(
                        "{bytes} bytes at {start:#x} overlap others or leave the region"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The physical address after the region.
    pub(crate) fn end(&self) -> u64 {
        self.phys_addr.saturating_add(self.region_bytes)
    }

    /// The longest run of free blocks, in bytes.
    pub(crate) fn longest_free(&self) -> u64 {
        let runs = self.free_runs.iter().map(|run| run.bytes);
        runs.max().unwrap_or(0)
    }

    /// Bytes of the pieces in a state.
    pub(crate) fn bytes_in(&self, state: Holder) -> u64 {
        let pieces = self.buffers.iter().filter(|piece| piece.state == state);
        pieces.map(|piece| piece.bytes).sum()
    }

    /// Processes by what they have, the largest first.
    pub(crate) fn owners(&self) -> Vec<(u32, Owner)> {
        let mut owners: BTreeMap<u32, Owner> = BTreeMap::new();
        for piece in &self.buffers {
            let owner = owners.entry(piece.pid).or_default();
            owner.command.clone_from(&piece.command);
            owner.buffers += 1;
            owner.bytes += piece.bytes;
            match piece.state {
                Holder::Cpu => {}
                Holder::Device => owner.device_bytes += piece.bytes,
                Holder::Quarantined => owner.quarantined_bytes += piece.bytes,
            }
        }
        let mut owners: Vec<_> = owners.into_iter().collect();
        owners.sort_by_key(|(pid, owner)| (std::cmp::Reverse(owner.bytes), *pid));
        owners
    }
}

fn sum(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.bytes).sum()
}

/// What of `free` is `dirty`; both lowest first.
fn common(free: &[Run], dirty: &[Range<u64>]) -> Vec<Run> {
    let mut common = Vec::new();
    let mut free = free.iter().peekable();
    for run in dirty {
        while let Some(gap) = free.peek() {
            let end = gap.phys_addr.saturating_add(gap.bytes);
            let (from, to) = (run.start.max(gap.phys_addr), run.end.min(end));
            if from < to {
                common.push(Run {
                    phys_addr: from,
                    bytes: to - from,
                });
            }
            if end > run.end {
                break;
            }
            free.next();
        }
    }
    common
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// As [`map`], of a driver that tells these runs to be dirty: block, blocks.
    pub(crate) fn dirty_map(pieces: &[(u64, u64, Holder, u32)], dirty: &[(u64, u64)]) -> Map {
        let addresses = |&(block, count)| {
            let start = (1 << 30) + block * 16384;
            start..start + count * 16384
        };
        let dirty: Vec<_> = dirty.iter().map(addresses).collect();
        let mut map = map(pieces);
        map.find_free(Some(&dirty));
        map
    }

    /// A region of 1 MiB at 1 GiB with these pieces: block, blocks, state, process. Its driver does not tell
    /// what is dirty.
    pub(crate) fn map(pieces: &[(u64, u64, Holder, u32)]) -> Map {
        let piece = |&(block, count, state, pid): &(u64, u64, Holder, u32)| Piece {
            phys_addr: (1 << 30) + block * 16384,
            bytes: count * 16384,
            state,
            pid,
            command: format!("p{pid}"),
            mappings: 1,
            write_combine: false,
            coherent: false,
        };
        let mut map = Map {
            device: "/dev/fpgamem0".to_owned(),
            phys_addr: 1 << 30,
            region_bytes: 1 << 20,
            block_bytes: 16384,
            free_bytes: 0,
            free_runs: Vec::new(),
            scrubbing_bytes: None,
            scrubbing_runs: None,
            buffers: pieces.iter().map(piece).collect(),
        };
        map.find_free(None);
        map
    }

    #[test]
    fn an_empty_region_is_one_free_run() {
        let map = map(&[]);
        assert_eq!(map.free_runs.len(), 1);
        assert_eq!((map.longest_free(), map.free_bytes), (1 << 20, 1 << 20));
    }

    #[test]
    fn a_full_region_has_no_free_run() {
        let map = map(&[(0, 64, Holder::Cpu, 7)]);
        assert_eq!((map.free_runs.len(), map.longest_free()), (0, 0));
    }

    #[test]
    fn what_lies_between_is_free() {
        let map = map(&[(1, 2, Holder::Cpu, 7), (10, 1, Holder::Device, 8)]);
        let runs: Vec<_> = map.free_runs.iter().map(|run| run.bytes / 16384).collect();
        assert_eq!(runs, [1, 7, 53]);
    }

    #[test]
    fn what_is_dirty_is_free_too_and_no_buffer() {
        let pieces = [(1, 2, Holder::Cpu, 7), (10, 1, Holder::Device, 8)];
        // The second and the last were allocated after the dirty blocks had been listed.
        let map = dirty_map(&pieces, &[(0, 1), (1, 3), (5, 1), (9, 3), (60, 4)]);
        let runs = map.scrubbing_runs.as_deref().unwrap().iter();
        let blocks = |run: &Run| ((run.phys_addr - (1 << 30)) / 16384, run.bytes / 16384);
        let runs: Vec<_> = runs.map(blocks).collect();
        assert_eq!(runs, [(0, 1), (3, 1), (5, 1), (9, 1), (11, 1), (60, 4)]);
        assert_eq!(map.scrubbing_bytes, Some(9 * 16384));
        assert_eq!(map.free_bytes, 61 * 16384);
        assert!(map.check().is_ok());
    }

    #[test]
    fn a_driver_that_does_not_tell_what_is_dirty_is_not_one_without() {
        let text = |map: &Map| serde_json::to_string(map).unwrap();
        assert!(!text(&map(&[])).contains("scrubbing"));
        assert!(text(&dirty_map(&[], &[])).contains("\"scrubbing_bytes\":0,\"scrubbing_runs\":[]"));
    }

    #[test]
    fn owners_are_sorted_by_what_they_have() {
        let map = map(&[
            (0, 1, Holder::Device, 9),
            (1, 2, Holder::Cpu, 7),
            (3, 4, Holder::Quarantined, 8),
            (8, 1, Holder::Cpu, 9),
        ]);
        let owners = map.owners();
        let pids: Vec<_> = owners.iter().map(|(pid, _)| *pid).collect();
        assert_eq!(pids, [8, 7, 9]);
        assert_eq!(owners[0].1.quarantined_bytes, 4 * 16384);
        assert_eq!((owners[2].1.buffers, owners[2].1.device_bytes), (2, 16384));
        assert_eq!(map.bytes_in(Holder::Device), 16384);
    }

    #[test]
    fn impossible_maps_are_refused() {
        assert!(map(&[(0, 1, Holder::Cpu, 7)]).check().is_ok());
        let overlap = map(&[(0, 2, Holder::Cpu, 7), (1, 1, Holder::Cpu, 7)]);
        assert!(overlap.check().unwrap_err().contains("overlap"));
        assert!(map(&[(63, 2, Holder::Cpu, 7)]).check().is_err());
        let mut dirty = dirty_map(&[], &[(3, 1), (5, 1)]);
        dirty.scrubbing_runs.as_mut().unwrap().reverse();
        assert!(dirty.check().unwrap_err().contains("overlap"));
        let mut odd = map(&[]);
        odd.block_bytes = 0;
        assert!(odd.check().is_err());
    }
}
