// SPDX-License-Identifier: GPL-2.0

//! What debugfs shows of a pool: `stats`, `block_map` and `scrub_map` in `fpgamem/fpgamemN`.

use crate::{pool::Pool, shared::block_map::BlockRange, state::Holder};
use core::fmt::{Formatter, Result as FmtResult};
use kernel::{
    debugfs::{Dir, File, Writer},
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};

/// A count of events since the pool was made.
pub(crate) struct Counter(Atomic<u64>);

impl Default for Counter {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Counter {
    /// Counts `n` more events.
    pub(crate) fn add(&self, n: u64) {
        self.0.add(n, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Events of a pool.
#[derive(Default)]
pub(crate) struct Counters {
    /// Buffers allocated.
    pub(crate) allocations: Counter,
    /// Buffers whose blocks returned.
    pub(crate) frees: Counter,
    /// Buffers whose blocks were quarantined.
    pub(crate) quarantined: Counter,
    /// Those of them whose time was over.
    pub(crate) quarantine_expired: Counter,
    /// Those of them that were freed because the device was quiet.
    pub(crate) quarantine_quieted: Counter,
    /// Allocations for which there was no room.
    pub(crate) failures: Counter,
    /// Blocks that were scrubbed after they had been freed.
    pub(crate) scrubbed_blocks: Counter,
    /// Blocks that an allocation had to clear because they were not.
    pub(crate) cleared_blocks: Counter,
    /// Ranges that user space had cleaned.
    pub(crate) flush_calls: Counter,
    /// Cache lines in them.
    pub(crate) flush_lines: Counter,
    /// Ranges that user space had cleaned and invalidated.
    pub(crate) invalidate_calls: Counter,
    /// Cache lines in them.
    pub(crate) invalidate_lines: Counter,
}

/// The file `stats`: lines of a key and a number.
struct Stats(Arc<Pool>);

impl Writer for Stats {
    fn write(&self, f: &mut Formatter<'_>) -> FmtResult {
        let pool = &self.0;
        let now = pool.with_state(|state| {
            [
                ("blocks_free", state.map().nr_free()),
                ("blocks_clean", state.scrub.nr_clean()),
                ("blocks_dirty", state.scrub.nr_dirty()),
                ("blocks_used", state.nr_used()),
                ("blocks_quarantined", state.nr_quarantined()),
                ("buffers", state.nr_buffers()),
            ]
        });
        let counters = &pool.counters;
        writeln!(f, "block_bytes {}", pool.block_bytes())?;
        writeln!(f, "blocks {}", pool.nr_blocks())?;
        for (key, count) in now {
            writeln!(f, "{key} {count}")?;
        }
        writeln!(f, "allocations {}", counters.allocations.get())?;
        writeln!(f, "frees {}", counters.frees.get())?;
        writeln!(f, "failures {}", counters.failures.get())?;
        writeln!(f, "quarantined {}", counters.quarantined.get())?;
        let (expired, quieted) = (&counters.quarantine_expired, &counters.quarantine_quieted);
        writeln!(f, "quarantine_expired {}", expired.get())?;
        writeln!(f, "quarantine_quieted {}", quieted.get())?;
        writeln!(f, "scrubbed_blocks {}", counters.scrubbed_blocks.get())?;
        writeln!(f, "cleared_blocks {}", counters.cleared_blocks.get())?;
        writeln!(f, "flush_calls {}", counters.flush_calls.get())?;
        writeln!(f, "flush_lines {}", counters.flush_lines.get())?;
        writeln!(f, "invalidate_calls {}", counters.invalidate_calls.get())?;
        writeln!(f, "invalidate_lines {}", counters.invalidate_lines.get())
    }
}

/// The file `block_map`: one line for each live buffer and each run of quarantined blocks.
struct BlockList(Arc<Pool>);

impl Writer for BlockList {
    fn write(&self, f: &mut Formatter<'_>) -> FmtResult {
        let pool = &self.0;
        writeln!(f, "# start end bytes flags mappings pid state")?;
        pool.with_state(|state| {
            for entry in state.entries() {
                let record = entry.record();
                let holder = match entry.holder() {
                    Holder::Cpu => "cpu",
                    Holder::Device => "device",
                    Holder::Quarantine => "quarantined",
                };
                let start = pool.phys_addr_of(record.blocks);
                let bytes = pool.bytes_of(record.blocks);
                writeln!(
                    f,
                    "{:#x} {:#x} {} {:#x} {} {} {}",
                    start,
                    start.saturating_add(bytes),
                    bytes,
                    record.flags,
                    record.vmas,
                    record.owner.pid,
                    holder
                )?;
            }
            Ok(())
        })
    }
}

/// The file `scrub_map`: one line for each run of dirty blocks.
struct DirtyList(Arc<Pool>);

impl Writer for DirtyList {
    fn write(&self, f: &mut Formatter<'_>) -> FmtResult {
        let pool = &self.0;
        writeln!(f, "# start end bytes state")?;
        let mut rest = BlockRange::new(0, pool.nr_blocks());
        // Every other block may be a run. So the lock is let go of after each: allocations need not wait for the
        // whole list, which is no moment's therefore.
        while let Some(run) =
            rest.and_then(|rest| pool.with_state(|state| state.scrub.next_dirty_run(rest)))
        {
            let start = pool.phys_addr_of(run);
            let bytes = pool.bytes_of(run);
            let end = start.saturating_add(bytes);
            writeln!(f, "{start:#x} {end:#x} {bytes} dirty")?;
            rest = BlockRange::between(run.end(), pool.nr_blocks());
        }
        Ok(())
    }
}

/// The debugfs files of one bound device; they go when this is dropped.
pub(crate) struct DebugFiles {
    _stats: Pin<KBox<File<Stats>>>,
    _block_map: Pin<KBox<File<BlockList>>>,
    _scrub_map: Pin<KBox<File<DirtyList>>>,
}

impl DebugFiles {
    /// Makes the files for `pool` in `root`/`name`.
    pub(crate) fn new(root: &Dir, name: &CStr, pool: &Arc<Pool>) -> Result<Self> {
        let dir = root.subdir(name);
        Ok(Self {
            _stats: KBox::pin_init(
                dir.read_only_file(kernel::c_str!("stats"), Stats(pool.clone())),
                GFP_KERNEL,
            )?,
            _block_map: KBox::pin_init(
                dir.read_only_file(kernel::c_str!("block_map"), BlockList(pool.clone())),
                GFP_KERNEL,
            )?,
            _scrub_map: KBox::pin_init(
                dir.read_only_file(kernel::c_str!("scrub_map"), DirtyList(pool.clone())),
                GFP_KERNEL,
            )?,
        })
    }
}
