// SPDX-License-Identifier: MIT OR Apache-2.0

//! u-dma-buf 5.x, whose node is one buffer of a fixed size: it is mapped, and synchronized by the calls of
//! its node. Nothing is allocated.

use crate::drivers::{open, Driver};
use crate::raw;
use crate::sample::{at_once, keep, least, measure, Sample};
use crate::SIZES;
use std::error::Error;
use std::fs::File;
use std::io;
use std::path::Path;

/// Mapping, and maintenance, of as much as each of the sizes that the node has.
pub(crate) fn compare(path: &Path) -> Result<(), Box<dyn Error>> {
    let node = open(path)?;
    let failed = |e| format!("{} is no node of u-dma-buf 5.x: {e}", path.display());
    let most = raw::u_dma_buf_bytes(&node).map_err(failed)?;
    let driver = Driver::UDmaBuf(node.try_clone()?);
    for bytes in SIZES.into_iter().filter(|&bytes| bytes as u64 <= most) {
        let phases = least(at_once, || driver.cycle(bytes))?;
        keep("cycle", driver.name(), bytes, 0, phases);
        let life = || Ok([measure("total", || driver.life(bytes))?.1]);
        keep("cycle", driver.name(), bytes, 0, least(at_once, life)?);
        keep("sync", driver.name(), bytes, 0, sync(&node, bytes)?);
    }
    Ok(())
}

fn sync(node: &File, bytes: usize) -> io::Result<[Sample; 2]> {
    least(at_once, || {
        Ok([
            measure("flush", || raw::u_dma_buf_for_device(node, bytes))?.1,
            measure("invalidate", || raw::u_dma_buf_for_cpu(node, bytes))?.1,
        ])
    })
}
