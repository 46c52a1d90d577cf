// SPDX-License-Identifier: GPL-2.0

//! The pools of all regions that were bound since the module was loaded.
//!
//! A pool outlives its device as long as blocks of it are allocated or quarantined. When the region is bound again
//! the pool that survived is taken up, so that those blocks are not handed out twice.

use crate::{
    kapi::{
        global::{self, POOLS},
        region::Extent,
    },
    pool::Pool,
};
use kernel::{c_str, debugfs::Dir, prelude::*, sync::Arc};

/// A pool and whether a device uses it.
struct Entry {
    pool: Arc<Pool>,
    /// The number of the node, while bound.
    index: Option<u32>,
}

/// All pools; the value of the global lock.
pub(crate) struct Pools {
    entries: KVec<Entry>,
    debugfs: Option<Dir>,
}

impl Pools {
    /// No pools.
    pub(crate) const fn new() -> Self {
        Self {
            entries: KVec::new(),
            debugfs: None,
        }
    }

    /// The lowest number that no bound pool has.
    fn free_index(&self) -> u32 {
        let taken = |index| self.entries.iter().any(|entry| entry.index == Some(index));
        (0..).find(|index| !taken(*index)).unwrap_or(u32::MAX)
    }
}

/// Why a region cannot be bound.
pub(crate) enum Refusal {
    /// Another device has it, or part of it.
    Bound,
    /// Blocks of another size, or of another cut, are still held from before.
    Held,
    /// The pool could not be made.
    Failed(Error),
}

/// A region that is bound; it can be bound again when this is dropped.
pub(crate) struct Claim {
    pool: Arc<Pool>,
    index: u32,
}

impl Claim {
    /// Claims the region for a device, with the pool that survived from before or a new one.
    pub(crate) fn new(
        extent: Extent,
        block_shift: u32,
        quarantine_ms: u32,
    ) -> Result<Self, Refusal> {
        let mut pools = POOLS.lock();
        let index = pools.free_index();
        for entry in pools.entries.iter_mut() {
            if !entry.pool.region().extent().overlaps(extent) {
                continue;
            }
            if entry.index.is_some() {
                return Err(Refusal::Bound);
            }
            if entry.pool.retire() {
                continue;
            }
            let same = entry.pool.region().extent() == extent
                && entry.pool.block_bytes() == 1 << block_shift;
            if !same {
                return Err(Refusal::Held);
            }
            // Nothing else overlaps what is in use: it was refused when that was bound.
            entry.index = Some(index);
            let pool = entry.pool.clone();
            pool.set_quarantine_ms(quarantine_ms);
            return Ok(Self { pool, index });
        }
        // What is left of an overlapping pool holds no block.
        pools
            .entries
            .retain(|entry| !entry.pool.region().extent().overlaps(extent));
        let pool = Pool::new(extent, block_shift, quarantine_ms).map_err(Refusal::Failed)?;
        Self::with_new_pool(&mut pools, pool, index).map_err(Refusal::Failed)
    }

    fn with_new_pool(pools: &mut Pools, pool: Arc<Pool>, index: u32) -> Result<Self> {
        let entry = Entry {
            pool: pool.clone(),
            index: Some(index),
        };
        pools.entries.push(entry, GFP_KERNEL)?;
        Ok(Self { pool, index })
    }

    /// The pool of the region.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The number of the node.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The directory in debugfs that all devices share.
    pub(crate) fn debugfs(&self) -> Option<Dir> {
        POOLS.lock().debugfs.clone()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut pools = POOLS.lock();
        let mine = |entry: &Entry| Arc::ptr_eq(&entry.pool, &self.pool);
        let Some(at) = pools.entries.iter().position(mine) else {
            return;
        };
        if !self.pool.retire() {
            if let Some(entry) = pools.entries.get_mut(at) {
                entry.index = None;
            }
        } else {
            let _ = pools.entries.remove(at);
        }
    }
}

/// Empties the registry when the module goes. By then nothing is bound, and no buffer lives, because
/// every file and mapping pins the module. Quarantines end with it.
pub(crate) struct Registry(());

impl Registry {
    /// Readies the registry; called when the module is loaded.
    pub(crate) fn init() -> Self {
        global::init();
        POOLS.lock().debugfs = Some(Dir::new(c_str!("fpgamem")));
        Self(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let pools = core::mem::replace(&mut *POOLS.lock(), Pools::new());
        drop(pools);
    }
}
