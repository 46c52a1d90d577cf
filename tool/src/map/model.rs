// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who has which part of a region.

use crate::debugfs::{Entry, Holder};
use fpgamem::Info;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// The map of a pool that is as `info` says and has `entries`.
    pub(crate) fn new(
        device: &str,
        info: &Info,
        entries: &[Entry],
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
            buffers,
        };
        map.free_runs = map.gaps();
        // The entries alone: the pool may have changed since `info` was taken.
        map.free_bytes = map.free_runs.iter().map(|run| run.bytes).sum();
        map
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
        let mut next = self.phys_addr;
        for piece in &self.buffers {
            let end = piece.phys_addr.checked_add(piece.bytes);
            let end = end.filter(|end| *end <= self.end() && piece.bytes != 0);
            match end {
                Some(end) if piece.phys_addr >= next => next = end,
                _ => {
                    let (start, bytes) = (piece.phys_addr, piece.bytes);
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A region of 1 MiB at 1 GiB with these pieces: block, blocks, state, process.
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
            buffers: pieces.iter().map(piece).collect(),
        };
        map.free_runs = map.gaps();
        map.free_bytes = map.free_runs.iter().map(|run| run.bytes).sum();
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
        let mut odd = map(&[]);
        odd.block_bytes = 0;
        assert!(odd.check().is_err());
    }
}
