// SPDX-License-Identifier: GPL-2.0

//! How a pool's blocks become full of zeroes: by whoever allocates them, or before that in the background.

use super::Pool;
use crate::{
    kapi::cache::{self, Operation},
    scrub::{Next, Scrubbed},
    shared::{abi, block_map::BlockRange},
    state::{State, Taken},
};
use kernel::prelude::*;

/// Most bytes of blocks that are scrubbed for each look at the map of the blocks.
const SCRUB_RUN_BYTES: u32 = 128 << 10;

/// Most bytes that are scrubbed in one turn, for which an allocation may have to wait.
const SCRUB_TURN_BYTES: usize = 32 << 10;

impl Pool {
    /// Fills with zeroes, in memory too, what of blocks that were just allocated is not full of them.
    ///
    /// Before a write-combine mapping exists, the lines of the alias must be gone from the caches.
    pub(super) fn clear(&self, taken: &Taken, flags: u32) -> Result {
        let blocks = taken.blocks;
        let write_combine = flags & abi::BUFFER_WRITE_COMBINE != 0;
        if write_combine {
            return self.clear_run(blocks, Operation::CleanInvalidate);
        }
        let mut rest = taken.unclean.then_some(blocks);
        while let Some(run) = rest.and_then(|rest| self.state.lock().scrub.next_unclean(rest)) {
            self.clear_run(run, Operation::Clean)?;
            rest = BlockRange::between(run.end(), blocks.end());
        }
        Ok(())
    }

    fn clear_run(&self, run: BlockRange, operation: Operation) -> Result {
        self.memory_of(run)?.zero(operation);
        cache::barrier();
        self.counters.cleared_blocks.add(run.count().into());
        Ok(())
    }

    /// Says whether there is a scrubber from now on.
    pub(crate) fn set_scrubbed(&self, scrubbed: bool) {
        self.state.lock().scrubbed = scrubbed;
        self.freed.notify_one();
    }

    /// Waits until blocks are freed or the scrubber shall stop. May return earlier.
    pub(crate) fn wait_for_dirty(&self) {
        let mut state = self.state.lock();
        if state.scrubbed && state.scrub.nr_dirty() == 0 {
            // Kernel threads get no signals.
            let _ = self.freed.wait_interruptible(&mut state);
        }
    }

    /// Notes how much of the `last` run was scrubbed, and tells what the scrubber shall do next; it is at that
    /// run from now on.
    pub(crate) fn next_to_scrub(&self, last: Option<Scrubbed>) -> Next {
        let mut state = self.state.lock();
        if let Some(last) = last {
            self.end_scrub(&mut state, &last);
        }
        if !state.scrubbed {
            return Next::Stop;
        }
        // One block may be longer.
        let most = (SCRUB_RUN_BYTES >> self.block_shift).max(1);
        let Some(run) = state.scrub.next_dirty(most) else {
            return Next::Rest;
        };
        self.look_for_damage(run, |block| state.record_at(block));
        self.poison.begin_to_scrub(run);
        *self.scrub_turn.lock() = Some(run);
        Next::Scrub(run)
    }

    /// Makes clean what of a run was scrubbed before somebody took blocks of it.
    fn end_scrub(&self, state: &mut State, last: &Scrubbed) {
        let start = last.run.start();
        // CAST: no more than the blocks of the run.
        let whole = (last.bytes >> self.block_shift) as u32;
        let begun = last.bytes.div_ceil(self.block_bytes()) as u32;
        let left_to_us = self.scrub_turn.lock().take();
        let scrubbed = left_to_us
            .and_then(|run| BlockRange::between(start, run.end().min(start.saturating_add(whole))));
        if let Some(scrubbed) = scrubbed {
            let count = state.scrub.scrubbed(scrubbed);
            self.counters.scrubbed_blocks.add(count.into());
        }
        self.poison
            .end_scrub(last.run, scrubbed, BlockRange::new(start, begun));
    }

    /// Fills blocks of a run with zeroes, in memory too, up to those that an allocation takes meanwhile.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the run is not in the region; none of it becomes clean.
    pub(crate) fn scrub(&self, run: BlockRange) -> Result<Scrubbed> {
        let mut bytes = 0u64;
        for part in self.memory_of(run)?.turns(SCRUB_TURN_BYTES) {
            let end = bytes.saturating_add(part.bytes());
            let turn = self.scrub_turn.lock();
            if !turn.is_some_and(|run| end <= self.bytes_of(run)) {
                break;
            }
            part.zero_at_once(Operation::Clean);
            cache::barrier();
            drop(turn);
            bytes = end;
            cache::resched();
        }
        Ok(Scrubbed { run, bytes })
    }

    /// Makes the scrubber leave `blocks`, which have just been allocated.
    pub(super) fn keep_scrubber_off(&self, blocks: BlockRange) {
        let mut turn = self.scrub_turn.lock();
        *turn = turn.and_then(|run| run.up_to(blocks));
    }
}
