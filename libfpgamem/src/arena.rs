// SPDX-License-Identifier: MIT OR Apache-2.0

//! Small buffers that share allocations.

mod chunk;
mod kept;
mod lease;
mod options;
mod plan;
mod rooms;
#[cfg(test)]
// Taking buffers back.
#[allow(unsafe_code)]
mod tests;

pub(crate) use lease::Lease;
pub use options::{ArenaOptions, ArenaUsage};

use crate::buffer::Buffer;
use crate::device::Device;
use crate::direction::Maintenance;
use crate::error::{Error, Result};
use crate::fork::Process;
use crate::inner::{Held, Inner};
use crate::memory::Memory;
use kept::Kept;
use lease::Loan;
use plan::Plan;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Buffers that share allocations, so that a thousand small tensors do not take a thousand blocks.
///
/// [`alloc`](Self::alloc) gives the same buffers as [`Device::alloc`], with an owner and addresses each.
/// A piece starts with a cache line and takes whole ones, so that no maintenance of one touches another.
/// Buffers longer than [`ArenaOptions::largest_piece`] are allocations of their own.
///
/// Pieces are cut from chunks. A piece keeps its chunk, and the arena need not outlive it. The first
/// chunk that becomes empty is kept for what comes next; where a second does, that one goes back to the
/// pool. A piece that is dropped while the device owns it is never given to anybody again, and its chunk
/// stays mapped to the end of the process; [`Device::abandoned`] counts it.
///
/// To allocate or to free a piece takes a time that does not grow with their number, and a system call
/// only where a chunk is allocated or goes back. Clones are the same arena. Every method may be called
/// from any thread.
///
/// ```
/// use fpgamem::{Arena, Device};
///
/// # fn main() -> Result<(), fpgamem::Error> {
/// let device = Device::emulated().open()?;
/// let arena = Arena::new(&device);
/// let tensors: Vec<_> = (0..1000).map(|_| arena.alloc(272)).collect::<Result<_, _>>()?;
/// assert_eq!(arena.usage().held_bytes, 512 << 10);
/// # drop(tensors);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Arena {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    device: Device,
    options: ArenaOptions,
    line_bytes: usize,
    /// The process that has the chunks.
    process: Process,
    pid: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    kept: Kept,
    usage: ArenaUsage,
}

impl Arena {
    /// An arena that holds nothing yet.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        Self::with_options(device, ArenaOptions::new())
    }

    /// An arena that holds nothing yet, as the options say.
    #[must_use]
    pub fn with_options(device: &Device, options: ArenaOptions) -> Self {
        let options = options.possible();
        let state = State {
            plan: Plan::new(device.line_bytes(), options.reuse_bytes),
            kept: Kept::new(options.reuse_bytes),
            usage: ArenaUsage::default(),
        };
        Self {
            shared: Arc::new(Shared {
                device: device.clone(),
                options,
                line_bytes: device.line_bytes(),
                process: Process::current(),
                pid: std::process::id(),
                state: Mutex::new(state),
            }),
        }
    }

    /// The device that buffers come from.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.shared.device
    }

    /// Allocates a buffer of `len` bytes, all 0, which are so in memory too, unless the arena
    /// [reuses](ArenaOptions::reuse_bytes) buffers.
    ///
    /// # Errors
    ///
    /// * [`Error::OutOfMemory`]: the pool has no room for the buffer.
    /// * [`Error::InvalidLength`]: `len` is 0 or larger than the region.
    /// * [`Error::Map`]: the process may have no more mappings.
    /// * [`Error::Unbound`]: the device has been unbound from its driver, which is needed where the
    ///   arena has no room.
    /// * [`Error::Forked`]: the arena belongs to the parent process.
    pub fn alloc(&self, len: usize) -> Result<Buffer> {
        self.shared.check_fork()?;
        match self.reuse(len) {
            Some(buffer) => Ok(buffer),
            None => self.alloc_new(len),
        }
    }

    /// A buffer that is none of those kept. Not inlined, lest a reused one pays for its registers.
    #[inline(never)]
    fn alloc_new(&self, len: usize) -> Result<Buffer> {
        match len {
            0 => self.alloc_own(len),
            _ if len > self.shared.options.largest_piece => self.alloc_own(len),
            _ => self.alloc_piece(len),
        }
    }

    /// What the arena holds now.
    #[must_use]
    pub fn usage(&self) -> ArenaUsage {
        self.shared.lock().usage
    }

    /// Gives chunks that are empty, and what is kept for reuse, back to the pool.
    pub fn trim(&self) {
        if self.shared.check_fork().is_err() {
            return;
        }
        let mut gone = Vec::new();
        {
            let mut state = self.shared.lock();
            while let Some(loan) = state.kept.take_oldest() {
                gone.push(state.end(&loan));
            }
            while let Some(memory) = state.plan.take_empty() {
                state.usage.let_go(memory.map.len());
                gone.push(memory);
            }
        }
        // They are unmapped without the lock.
        drop(gone);
    }

    /// A buffer that was freed before, if one of the right size is kept.
    fn reuse(&self, len: usize) -> Option<Buffer> {
        let bytes = self.shared.reusable_bytes(len)?;
        let mut state = self.shared.lock();
        let loan = state.kept.take(bytes)?;
        state.usage.enter(len);
        drop(state);
        Some(self.lend(len, loan))
    }

    /// An allocation of its own.
    fn alloc_own(&self, len: usize) -> Result<Buffer> {
        let Shared {
            device, options, ..
        } = &*self.shared;
        let memory = match Memory::new(device, len, options.alloc) {
            // An empty chunk may be in the way.
            Err(Error::OutOfMemory { .. }) => {
                self.trim();
                Memory::new(device, len, options.alloc)?
            }
            other => other?,
        };
        let capacity = memory.map.len();
        let mut state = self.shared.lock();
        state.usage.hold(capacity);
        state.usage.enter(len);
        drop(state);
        let loan = Loan {
            memory: Arc::new(memory),
            range: 0..capacity,
            place: None,
            // Where there was no room for a chunk a short buffer is more than it would be.
            reusable: self.shared.reusable_bytes(len) == Some(capacity),
            asked: AtomicUsize::new(len),
        };
        Ok(self.lend(len, Arc::new(loan)))
    }

    /// A piece of a chunk, or, where there is no room for a chunk, an allocation of its own.
    fn alloc_piece(&self, len: usize) -> Result<Buffer> {
        let Some((loan, fresh)) = self.take(len)? else {
            return self.alloc_own(len);
        };
        let capacity = loan.range.len();
        let mut buffer = self.lend(len, Arc::new(loan));
        if !fresh && self.shared.options.reuse_bytes == 0 {
            // As the driver does: zeroes, and no dirty line that could be evicted over a result.
            buffer.inner.len = capacity;
            buffer.fill(0);
            buffer.inner.maintain_whole(Maintenance::Clean)?;
            buffer.inner.len = len;
        }
        Ok(buffer)
    }

    /// The buffer of what it was given.
    fn lend(&self, len: usize, loan: Arc<Loan>) -> Buffer {
        let range = loan.range.clone();
        let lease = Lease::new(&self.shared, len, loan);
        Buffer {
            inner: Inner::of(Held::Lent(lease), range, len),
        }
    }

    /// Finds a place for a piece, and says whether the bytes are still as they were allocated; `None` where
    /// a chunk would be needed and there is no room for one.
    fn take(&self, len: usize) -> Result<Option<(Loan, bool)>> {
        let mut state = self.shared.lock();
        let mut found = state.plan.take(len);
        if found.is_none() {
            let Shared {
                device, options, ..
            } = &*self.shared;
            let memory = match Memory::new(device, options.chunk_bytes, options.alloc) {
                Err(Error::OutOfMemory { .. }) => return Ok(None),
                other => other?,
            };
            state.usage.hold(memory.map.len());
            state.plan.add(memory);
            found = state.plan.take(len);
        }
        if found.is_some() {
            state.usage.enter(len);
        }
        Ok(found)
    }
}

impl Shared {
    fn check_fork(&self) -> Result<()> {
        if self.process.is_current() {
            return Ok(());
        }
        let (owner, child) = (self.pid, std::process::id());
        Err(Error::Forked { owner, child })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a buffer of `len` bytes takes in the pool, if one of that size is kept when it is freed.
    fn reusable_bytes(&self, len: usize) -> Option<usize> {
        let ArenaOptions {
            reuse_bytes,
            largest_piece,
            ..
        } = self.options;
        if len > reuse_bytes {
            return None;
        }
        // Powers of two.
        let unit = if len > largest_piece {
            self.device.block_bytes()
        } else {
            self.line_bytes
        };
        // Far from the last number, as the options are.
        let bytes = (len + (unit - 1)) & !(unit - 1);
        (bytes <= reuse_bytes).then_some(bytes)
    }
}

/// Ends the use of memory, or keeps it in place of the oldest that is kept.
#[inline(never)]
fn end_or_keep(mut state: MutexGuard<'_, State>, loan: Arc<Loan>) {
    if !loan.reusable {
        let memory = state.end(&loan);
        drop(state);
        // It may be unmapped, without the lock.
        drop(memory);
        return;
    }
    let mut gone = Vec::new();
    while !state.kept.has_room(loan.range.len()) {
        let Some(oldest) = state.kept.take_oldest() else {
            break;
        };
        gone.push(state.end(&oldest));
    }
    state.kept.put(loan);
    drop(state);
    // They are unmapped without the lock.
    drop(gone);
}

impl State {
    /// Ends the use of memory, of which nobody has a buffer and which is not kept. It is unmapped with the last
    /// reference.
    fn end(&mut self, loan: &Loan) -> Arc<Memory> {
        match &loan.place {
            None => self.usage.let_go(loan.range.len()),
            Some(place) if self.plan.give_back(place) => {
                self.usage.let_go(loan.memory.map.len());
            }
            Some(_) => {}
        }
        Arc::clone(&loan.memory)
    }
}
