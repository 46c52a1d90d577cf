// SPDX-License-Identifier: GPL-2.0

//! How a pool's blocks become full of zeroes: by whoever allocates them, or before that in the background.

use super::Pool;
use crate::{
    kapi::cache::{self, Operation},
    scrub::Next,
    shared::{abi, block_map::BlockRange},
    state::Taken,
};
use kernel::prelude::*;

/// Most bytes that are scrubbed in one turn, for which an allocation may have to wait.
const SCRUB_TURN_BYTES: usize = 16 << 10;

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

    /// What the scrubber shall do next; it is at the block from now on.
    pub(crate) fn next_to_scrub(&self) -> Next {
        let mut state = self.state.lock();
        if !state.scrubbed {
            return Next::Stop;
        }
        let next = state.scrub.next_dirty();
        let Some((block, blocks)) = next.zip(next.and_then(|block| BlockRange::new(block, 1)))
        else {
            return Next::Rest;
        };
        let former = self.poison.former(blocks);
        self.look_for_damage(blocks, |block| state.record_at(block));
        state.scrubbing = Some(block);
        *self.scrub_turn.lock() = Some(block);
        Next::Scrub { blocks, former }
    }

    /// Fills one block with zeroes, in memory too, unless an allocation takes it meanwhile. `former` as
    /// [`Self::next_to_scrub`] told.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the block is not in the region; it does not become clean.
    pub(crate) fn scrub(&self, blocks: BlockRange, former: Option<i32>) -> Result {
        let block = blocks.start();
        for part in self.memory_of(blocks)?.turns(SCRUB_TURN_BYTES) {
            let turn = self.scrub_turn.lock();
            if *turn != Some(block) {
                break;
            }
            part.zero_at_once(Operation::Clean);
            cache::barrier();
            drop(turn);
            cache::resched();
        }
        let mut state = self.state.lock();
        state.scrubbing = None;
        if self.scrub_turn.lock().take() != Some(block) {
            return Ok(());
        }
        state.scrub.scrubbed(block);
        self.counters.scrubbed_blocks.add(1);
        if let Some(former) = former {
            self.poison.scrubbed(blocks, former);
        }
        Ok(())
    }

    /// Makes the scrubber leave `blocks`, which have just been allocated.
    pub(super) fn keep_scrubber_off(&self, blocks: BlockRange) {
        let mut turn = self.scrub_turn.lock();
        if turn.is_some_and(|block| blocks.contains(block)) {
            *turn = None;
        }
    }
}
