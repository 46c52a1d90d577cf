// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the coordinator itself sees of the pool.

use crate::fuzzer::{same, Fuzzer, Step};
use fpgamem_tests::{abi, block_map, scrub_map, Stats};

impl Fuzzer {
    /// Frees what is quarantined, so that the model need not know of time.
    pub(crate) fn end_quarantines(&mut self) -> Result<(), String> {
        self.node.quiet().map_err(|errno| format!("QUIET: {errno}"))
    }

    /// Compares all of debugfs with the model.
    pub(crate) fn debugfs(&mut self) -> Step {
        let (stats, before, model) = (Stats::read(), &self.before, &self.model);
        let used = u64::from(model.blocks_used());
        same("blocks_used", used, stats.blocks_used)?;
        same("blocks_free", stats.blocks - used, stats.blocks_free)?;
        same("blocks_quarantined", 0, stats.blocks_quarantined)?;
        let buffers = u64::try_from(model.buffers.len()).unwrap_or(u64::MAX);
        same("buffers", buffers, stats.buffers)?;
        let counts = &model.counts;
        let ended = |stats: &Stats| stats.quarantine_expired + stats.quarantine_quieted;
        let compared = [
            (
                "allocations",
                counts.allocations,
                stats.allocations - before.allocations,
            ),
            ("frees", counts.frees, stats.frees - before.frees),
            (
                "failures",
                counts.failures,
                stats.failures - before.failures,
            ),
            (
                "quarantined",
                counts.quarantined,
                stats.quarantined - before.quarantined,
            ),
            (
                "quarantines ended",
                counts.quarantined,
                ended(&stats) - ended(before),
            ),
            (
                "flush_calls",
                counts.flush_calls,
                stats.flush_calls - before.flush_calls,
            ),
            (
                "invalidate_calls",
                counts.invalidate_calls,
                stats.invalidate_calls - before.invalidate_calls,
            ),
        ];
        for (what, expected, seen) in compared {
            same(what, expected, seen)?;
        }
        let lines = block_map::read();
        same("lines of the block map", model.buffers.len(), lines.len())?;
        for ((&start, buffer), line) in model.buffers.iter().zip(lines) {
            let phys = model.phys(start);
            let expected = block_map::Line {
                phys: phys..phys + model.bytes(start),
                bytes: model.bytes(start),
                flags: format!("{:#x}", buffer.flags),
                mappings: buffer.vmas.into(),
                pid: buffer.pid,
                state: if model.is_marked(start) {
                    "device"
                } else {
                    "cpu"
                }
                .to_owned(),
            };
            same("a line of the block map", expected, line)?;
        }
        for run in scrub_map::read() {
            let mut buffers = model.buffers.keys().map(|&start| {
                let phys = model.phys(start);
                phys..phys + model.bytes(start)
            });
            let among = buffers.find(|buffer| buffer.start < run.end && run.start < buffer.end);
            same("a buffer in a run of the scrub map", None, among)?;
        }
        let info = self.node.info().map_err(|errno| format!("INFO: {errno}"))?;
        let largest = u64::from(model.largest(0)) * model.block_bytes;
        same("largest free run", largest, info.largest_free_bytes[0])?;
        same("ABI", abi::ABI, info.abi)?;
        Ok(Some(Ok(())))
    }
}
