// SPDX-License-Identifier: GPL-2.0

//! Scrubbing: freed blocks are filled with zeroes in the background, so that an allocation finds them ready.
//!
//! A thread for each bound device, of the lowest priority, takes a short run of dirty blocks at a time. It does
//! not keep anybody from allocating those: an allocation takes what it wants, and if some of that is in the run,
//! waits for the end of the current turn, after which the thread stays off. So scrubbing changes neither where a
//! buffer lies nor whether there is room.

use crate::{
    kapi::{task, thread::Work},
    pool::Pool,
    shared::block_map::BlockRange,
};
use kernel::{prelude::*, sync::Arc};

/// Milliseconds of rest when nothing is dirty.
const REST_MS: u32 = 20;
/// After so many rests without work the thread sleeps until somebody wakes it, which costs a free more than
/// all of its own work.
const MAX_RESTS: u32 = 50;

/// What to do next.
pub(crate) enum Next {
    /// Scrub this run.
    Scrub(BlockRange),
    /// Nothing until more is freed.
    Rest,
    /// End.
    Stop,
}

/// How much of a run was scrubbed.
pub(crate) struct Scrubbed {
    /// The run.
    pub(crate) run: BlockRange,
    /// Bytes from its start on.
    pub(crate) bytes: u64,
}

/// What the thread does.
pub(crate) struct Scrubber {
    pool: Arc<Pool>,
}

impl Scrubber {
    /// Scrubs `pool`, which no other one does.
    pub(crate) fn new(pool: Arc<Pool>) -> Result<Arc<Self>> {
        pool.set_scrubbed(true);
        Ok(Arc::new(Self { pool }, GFP_KERNEL)?)
    }
}

impl Work for Scrubber {
    fn run(&self) {
        let mut rests = MAX_RESTS;
        let mut last = None;
        loop {
            match self.pool.next_to_scrub(last.take()) {
                Next::Scrub(run) => {
                    let Ok(scrubbed) = self.pool.scrub(run) else {
                        // Allocations clear what this leaves.
                        return;
                    };
                    last = Some(scrubbed);
                    rests = 0;
                }
                Next::Rest => {
                    if rests >= MAX_RESTS {
                        self.pool.wait_for_dirty();
                    }
                    rests = rests.saturating_add(1);
                    task::sleep(REST_MS);
                }
                Next::Stop => return,
            }
        }
    }

    fn stop(&self) {
        self.pool.set_scrubbed(false);
    }
}
