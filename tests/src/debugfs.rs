// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver's statistics in debugfs, and the check that a test leaves the pool as it found it.

use crate::Node;
use std::path::{Path, PathBuf};

/// Where the files of the pool under test are.
pub fn directory() -> PathBuf {
    Path::new("/sys/kernel/debug/fpgamem/fpgamem0").into()
}

/// The file `stats`: one `key value` per line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of a block.
    pub block_bytes: u64,
    /// Blocks of the region.
    pub blocks: u64,
    /// Blocks that can be allocated.
    pub blocks_free: u64,
    /// Free blocks that are full of zeroes.
    pub blocks_clean: u64,
    /// Free blocks that wait to be scrubbed.
    pub blocks_dirty: u64,
    /// Blocks that belong to buffers.
    pub blocks_used: u64,
    /// Blocks that are quarantined.
    pub blocks_quarantined: u64,
    /// Live buffers.
    pub buffers: u64,
    /// Allocations since the driver bound.
    pub allocations: u64,
    /// Buffers freed since the driver bound.
    pub frees: u64,
    /// Allocations refused since the driver bound.
    pub failures: u64,
    /// Buffers quarantined since the driver bound.
    pub quarantined: u64,
    /// Quarantines that ended because their time was over.
    pub quarantine_expired: u64,
    /// Quarantines that ended because the device was quiet.
    pub quarantine_quieted: u64,
    /// Blocks that were scrubbed after they had been freed.
    pub scrubbed_blocks: u64,
    /// Blocks that an allocation had to clear.
    pub cleared_blocks: u64,
    /// Calls that cleaned lines.
    pub flush_calls: u64,
    /// Cache lines cleaned.
    pub flush_lines: u64,
    /// Calls that cleaned and invalidated lines.
    pub invalidate_calls: u64,
    /// Cache lines cleaned and invalidated.
    pub invalidate_lines: u64,
}

impl Stats {
    /// Reads the file of the pool under test.
    ///
    /// # Panics
    ///
    /// Where it is missing or lacks a value.
    pub fn read() -> Self {
        Self::read_in(&directory())
    }

    /// As [`Self::read`], of the pool behind [`crate::node::HASTY_PATH`].
    ///
    /// # Panics
    ///
    /// Where it is missing or lacks a value.
    pub fn read_hasty() -> Self {
        let name = Path::new(crate::node::HASTY_PATH).file_name();
        Self::read_in(&directory().with_file_name(name.expect("a node has a name")))
    }

    /// As [`Self::read`], without what the scrubber changes at any time: those values are 0.
    ///
    /// # Panics
    ///
    /// Where it is missing or lacks a value.
    pub fn read_but_scrubbing() -> Self {
        Self {
            blocks_clean: 0,
            blocks_dirty: 0,
            scrubbed_blocks: 0,
            ..Self::read()
        }
    }

    fn read_in(directory: &Path) -> Self {
        let path = directory.join("stats");
        let text = std::fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            let (_, value) = lines
                .find(|(k, _)| *k == key)
                .unwrap_or_else(|| panic!("no {key}"));
            value
                .trim()
                .parse()
                .unwrap_or_else(|error| panic!("{key} is {value}: {error}"))
        };
        Self {
            block_bytes: value("block_bytes"),
            blocks: value("blocks"),
            blocks_free: value("blocks_free"),
            blocks_clean: value("blocks_clean"),
            blocks_dirty: value("blocks_dirty"),
            blocks_used: value("blocks_used"),
            blocks_quarantined: value("blocks_quarantined"),
            buffers: value("buffers"),
            allocations: value("allocations"),
            frees: value("frees"),
            failures: value("failures"),
            quarantined: value("quarantined"),
            quarantine_expired: value("quarantine_expired"),
            quarantine_quieted: value("quarantine_quieted"),
            scrubbed_blocks: value("scrubbed_blocks"),
            cleared_blocks: value("cleared_blocks"),
            flush_calls: value("flush_calls"),
            flush_lines: value("flush_lines"),
            invalidate_calls: value("invalidate_calls"),
            invalidate_lines: value("invalidate_lines"),
        }
    }
}

/// Blocks that belong to buffers now.
pub fn blocks_used() -> u64 {
    Stats::read().blocks_used
}

/// Lines cleaned, and lines cleaned and invalidated, so far.
pub fn lines() -> (u64, u64) {
    let stats = Stats::read();
    (stats.flush_lines, stats.invalidate_lines)
}

/// Checks at the end of a test that it has returned every block. Make it the first local variable,
/// so that it is dropped last.
#[derive(Debug)]
#[must_use = "the check is made on drop"]
pub struct Balance {
    blocks_used: u64,
    buffers: u64,
}

impl Balance {
    /// Remembers what is in use before the test.
    #[expect(clippy::new_without_default, reason = "it reads a file")]
    pub fn new() -> Self {
        let Stats {
            blocks_used,
            buffers,
            ..
        } = Stats::read();
        Self {
            blocks_used,
            buffers,
        }
    }

    /// The same for a test that needs the whole region.
    ///
    /// # Panics
    ///
    /// Where another process holds a buffer.
    pub fn of_an_empty_pool() -> Self {
        // What an earlier test left in quarantine would be in the way.
        Node::open().quiet().expect("root may say so");
        let balance = Self::new();
        assert_eq!(
            balance.blocks_used, 0,
            "the test needs the whole region to itself"
        );
        balance
    }

    /// Blocks in use before the test.
    pub fn blocks_used(&self) -> u64 {
        self.blocks_used
    }

    /// Panics unless the test holds exactly `blocks` blocks now.
    pub fn expect_held(&self, blocks: u64) {
        assert_eq!(
            blocks_used() - self.blocks_used,
            blocks,
            "blocks held by the test"
        );
    }
}

impl Drop for Balance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let Stats {
            blocks_used,
            buffers,
            ..
        } = Stats::read();
        assert_eq!(
            blocks_used, self.blocks_used,
            "blocks in use after the test and before"
        );
        assert_eq!(buffers, self.buffers, "buffers after the test and before");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "block_bytes 16384\nblocks 64\nblocks_free 60\nblocks_clean 2\nblocks_dirty 3\nblocks_used 4\nblocks_quarantined 0\nbuffers 2\n\
        allocations 7\nfrees 5\nfailures 1\nquarantined 0\nquarantine_expired 0\nquarantine_quieted 0\n\
        scrubbed_blocks 5\ncleared_blocks 6\nflush_calls 8\nflush_lines 80\ninvalidate_calls 9\n\
        invalidate_lines 90\n";

    #[test]
    fn values_are_found_by_their_whole_key() {
        let stats = Stats::parse(TEXT);
        assert_eq!(
            (stats.block_bytes, stats.blocks, stats.blocks_free),
            (16384, 64, 60)
        );
        assert_eq!((stats.flush_lines, stats.invalidate_lines), (80, 90));
    }

    #[test]
    #[should_panic(expected = "no frees")]
    fn a_missing_value_is_an_error() {
        Stats::parse(&TEXT.replace("frees", "other"));
    }
}
