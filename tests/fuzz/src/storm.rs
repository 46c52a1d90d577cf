// SPDX-License-Identifier: MIT OR Apache-2.0

//! Storms: many allocations and frees in one request, so that what goes wrong once in thousands of
//! frees is met in a short run.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::message::{Action, Request, PAYLOAD};
use crate::model::Buffer;
use crate::sys::{self, SCRATCH};
use crate::worker;
use fpgamem_tests::{abi, Errno};

/// Buffers at the same time, at most.
const BATCH: u64 = 6;

/// How a storm frees what it allocates.
const BY_CLOSING: u64 = 1;

/// The worker's part: `rounds` times it allocates `batch` buffers of `len` bytes and frees them, one
/// by one through `descriptor`, or by closing a file of its own. Tells how many buffers shared memory with
/// another one, and the addresses of the last ones.
pub(crate) fn carry_out(args: &[u64; 7], seen: &mut [u64; PAYLOAD]) -> Result<u64, Errno> {
    let [descriptor, len, batch, how, rounds, ..] = *args;
    let mut overlaps = 0;
    for _ in 0..rounds {
        let through = match how {
            BY_CLOSING => worker::open(false, false)?,
            _ => descriptor,
        };
        let mut buffers: Vec<(u64, u64)> = Vec::new();
        for _ in 0..batch {
            let (handle, phys) = alloc(through, len)?;
            let shared = |&(_, other): &(u64, u64)| phys.abs_diff(other) < len;
            overlaps += u64::from(buffers.iter().any(shared));
            buffers.push((handle, phys));
        }
        for (word, (_, phys)) in seen.iter_mut().zip(&buffers) {
            *word = *phys;
        }
        if how == BY_CLOSING {
            let args = [through, 0, 0, 0, 0, 0];
            sys::syscall(libc::SYS_close.unsigned_abs(), args)?;
            continue;
        }
        for (handle, _) in buffers {
            sys::store(SCRATCH, handle);
            ioctl(through, abi::IOC_FREE)?;
        }
    }
    Ok(overlaps)
}

fn ioctl(descriptor: u64, command: u32) -> Result<u64, Errno> {
    let args = [descriptor, command.into(), SCRATCH, 0, 0, 0];
    sys::syscall(libc::SYS_ioctl.unsigned_abs(), args)
}

/// Allocates: handle and physical address.
fn alloc(descriptor: u64, len: u64) -> Result<(u64, u64), Errno> {
    sys::store(SCRATCH, len);
    for word in 1..9 {
        sys::store(SCRATCH + word * 8, 0);
    }
    ioctl(descriptor, abi::IOC_ALLOC)?;
    let handle = sys::load(SCRATCH + 16) >> 32;
    Ok((handle, sys::load(SCRATCH + 32)))
}

impl Fuzzer {
    /// A storm, and whether all of its blocks are free again.
    pub(crate) fn storm(&mut self) -> Step {
        let Some((process, descriptor, file)) = self.descriptor() else {
            return Ok(None);
        };
        // One round is like the other if the first begins with no buffer that was there before.
        let freed = |blocks: &u32| self.model.freed.iter().any(|(_, count)| count == blocks);
        let lengths: Vec<u32> = (1..=6).filter(|blocks| !freed(blocks)).take(2).collect();
        if lengths.is_empty() {
            return Ok(None);
        }
        let blocks = lengths[self.index(lengths.len())];
        let len = u64::from(blocks) * self.model.block_bytes;
        let (wanted, how) = (1 + self.random.below(BATCH), self.random.below(2));
        let live = self.model.buffers.clone();
        let mut batch = 0;
        while let Some(start) = self.model.find(blocks, 0).filter(|_| batch < wanted) {
            batch += 1;
            let buffer = Buffer {
                blocks,
                ..Buffer::default()
            };
            self.model.buffers.insert(start, buffer);
        }
        self.model.buffers = live;
        let rounds = self.storm_rounds;
        if how != BY_CLOSING {
            self.model.clear_slots(file, batch);
        }
        let request = Request::new(Action::Storm, &[descriptor, len, batch, how, rounds]);
        let answer = self.call(process, request)?;
        same("overlaps in a storm", Ok(0), answer.result)?;
        if batch != 0 {
            self.model.freed.clear();
        }
        for (_, phys) in (0..batch).zip(answer.payload) {
            let start = self.model.block_at(phys).unwrap_or(u32::MAX);
            let is_free = self.model.is_free(start, blocks);
            same("whether a storm had blocks that were free", true, is_free)?;
            self.model.freed.push((start, blocks));
        }
        self.model.counts.allocations += batch * rounds;
        self.model.counts.frees += batch * rounds;
        self.storm_calls += 2 * batch * rounds;
        self.totals()?;
        Ok(Some(Ok(())))
    }

    /// Whether the pool has as many free bytes and buffers as the model.
    pub(crate) fn totals(&self) -> Result<(), String> {
        let info = self.node.info().map_err(|errno| format!("INFO: {errno}"))?;
        let free = self.model.nr_blocks - self.model.blocks_used();
        let free = u64::from(free) * self.model.block_bytes;
        same("free bytes", free, info.free_bytes)?;
        let buffers = u32::try_from(self.model.buffers.len()).unwrap_or(u32::MAX);
        same("buffers", buffers, info.nr_buffers)
    }
}
