// SPDX-License-Identifier: MIT OR Apache-2.0

//! Storms: many allocations and frees in one request, so that what goes wrong once in thousands of
//! frees is met in a short run.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::message::{Action, Request};
use crate::model::Buffer;
use crate::sys::{self, SCRATCH};
use crate::worker;
use fpgamem_tests::{abi, Errno};

/// Buffers at the same time, at most.
const BATCH: u64 = 6;

/// How a storm frees what it allocates.
const BY_CLOSING: u64 = 1;

/// The worker's part: `rounds` times it allocates `batch` buffers of `len` bytes and frees them, one
/// by one through `descriptor`, or by closing a file of its own. The sum of the addresses.
pub(crate) fn carry_out(args: &[u64; 7]) -> Result<u64, Errno> {
    let [descriptor, len, batch, how, rounds, ..] = *args;
    let mut sum = 0u64;
    for _ in 0..rounds {
        let through = match how {
            BY_CLOSING => worker::open(false, false)?,
            _ => descriptor,
        };
        let mut handles = Vec::new();
        for index in 0..batch {
            let (handle, phys) = alloc(through, len)?;
            handles.push(handle);
            sum = sum.wrapping_add(phys.wrapping_mul(index + 1));
        }
        if how == BY_CLOSING {
            let args = [through, 0, 0, 0, 0, 0];
            sys::syscall(libc::SYS_close.unsigned_abs(), args)?;
            continue;
        }
        for handle in handles {
            sys::store(SCRATCH, handle);
            ioctl(through, abi::IOC_FREE)?;
        }
    }
    Ok(sum)
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
        let len = (1 + self.random.below(2)) * self.model.block_bytes;
        let (wanted, how) = (1 + self.random.below(BATCH), self.random.below(2));
        let mut starts = Vec::new();
        let (mut sum, blocks) = (0u64, self.model.blocks_for(len));
        while let Some(start) = self
            .model
            .find(blocks, 0)
            .filter(|_| wanted > count(&starts))
        {
            let phys = self.model.phys(start);
            starts.push(start);
            sum = sum.wrapping_add(phys.wrapping_mul(count(&starts)));
            let buffer = Buffer {
                blocks,
                ..Buffer::default()
            };
            self.model.buffers.insert(start, buffer);
        }
        for start in &starts {
            self.model.buffers.remove(start);
        }
        let (batch, rounds) = (count(&starts), self.storm_rounds);
        if how != BY_CLOSING {
            self.model.clear_slots(file, batch);
        }
        let request = Request::new(Action::Storm, &[descriptor, len, batch, how, rounds]);
        let answer = self.call(process, request)?;
        same("a storm", Ok(sum.wrapping_mul(rounds)), answer.result)?;
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

fn count(starts: &[u32]) -> u64 {
    u64::try_from(starts.len()).unwrap_or(u64::MAX)
}
