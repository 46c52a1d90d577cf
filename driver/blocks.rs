// SPDX-License-Identifier: GPL-2.0

//! Maps of blocks in memory of the kernel.

use crate::shared::block_map::{BlockMap, StorageSize};
use kernel::prelude::*;

/// A block map.
pub(crate) type Map = BlockMap<Storage<u64>, Storage<u32>>;

/// Memory of a map.
pub(crate) struct Storage<T>(KVVec<T>);

impl<T> AsRef<[T]> for Storage<T> {
    fn as_ref(&self) -> &[T] {
        &self.0
    }
}

impl<T> AsMut<[T]> for Storage<T> {
    fn as_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

/// `count` zeroes.
///
/// # Errors
///
/// `ENOMEM` if there is no memory for them.
pub(crate) fn zeroes<T: Default + Clone>(count: usize) -> Result<Storage<T>> {
    Ok(Storage(KVVec::from_elem(T::default(), count, GFP_KERNEL)?))
}

/// A map of free blocks; `phase` is how many blocks the first one is past an aligned place.
///
/// # Errors
///
/// - `EINVAL` if a map cannot have so many blocks.
/// - `ENOMEM` if there is no memory for it.
pub(crate) fn free_map(nr_blocks: u32, phase: u64) -> Result<Map> {
    let size = StorageSize::of(nr_blocks, phase).ok_or(EINVAL)?;
    let (words, nodes) = (zeroes(size.words)?, zeroes(size.nodes)?);
    BlockMap::new(words, nodes, nr_blocks, phase).map_err(|_| EINVAL)
}
