// SPDX-License-Identifier: MIT OR Apache-2.0

//! Small buffers that share allocations.

mod chunk;
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
use crate::inner::Inner;
use crate::memory::Memory;
use plan::{Place, Plan};
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
    /// The process that has the chunks.
    process: Process,
    pid: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    plan: Plan,
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
            plan: Plan::new(device.line_bytes()),
            usage: ArenaUsage::default(),
        };
        Self {
            shared: Arc::new(Shared {
                device: device.clone(),
                options,
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

    /// Allocates a buffer of `len` bytes, all 0, which are so in memory too.
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
        let inner = match len {
            0 => self.alloc_own(len)?,
            _ if len > self.shared.options.largest_piece => self.alloc_own(len)?,
            _ => self.alloc_piece(len)?,
        };
        Ok(Buffer { inner })
    }

    /// What the arena holds now.
    #[must_use]
    pub fn usage(&self) -> ArenaUsage {
        self.shared.lock().usage
    }

    /// Gives chunks that are empty back to the pool.
    pub fn trim(&self) {
        if self.shared.check_fork().is_err() {
            return;
        }
        let mut empty = Vec::new();
        {
            let mut state = self.shared.lock();
            while let Some(memory) = state.plan.take_empty() {
                state.usage.let_go(memory.map.len());
                empty.push(memory);
            }
        }
        // They are unmapped without the lock.
        drop(empty);
    }

    /// An allocation of its own.
    fn alloc_own(&self, len: usize) -> Result<Inner> {
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
        let lease = Lease::own(&self.shared, len, capacity);
        Ok(Inner::of(Arc::new(memory), 0..capacity, len, Some(lease)))
    }

    /// A piece of a chunk, or, where there is no room for a chunk, an allocation of its own.
    fn alloc_piece(&self, len: usize) -> Result<Inner> {
        let Some((memory, place)) = self.take(len)? else {
            return self.alloc_own(len);
        };
        let (range, fresh) = (place.range.clone(), place.fresh);
        let lease = Lease::piece(&self.shared, len, place);
        let inner = Inner::of(memory, range.clone(), range.len(), Some(lease));
        let mut buffer = Buffer { inner };
        if !fresh {
            // As the driver does: zeroes, and no dirty line that could be evicted over a result.
            buffer.fill(0);
            buffer.inner.maintain_whole(Maintenance::Clean)?;
        }
        buffer.inner.len = len;
        Ok(buffer.inner)
    }

    /// Finds a place for a piece; `None` where a chunk would be needed and there is no room for one.
    fn take(&self, len: usize) -> Result<Option<(Arc<Memory>, Place)>> {
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

    /// A piece of `len` bytes ends.
    fn give_back(&self, place: &Place, len: usize) {
        let mut state = self.lock();
        state.usage.leave(len);
        let empty = state.plan.give_back(place);
        if let Some(memory) = &empty {
            state.usage.let_go(memory.map.len());
        }
        drop(state);
        // It is unmapped without the lock.
        drop(empty);
    }

    /// An allocation of its own ends.
    fn end_own(&self, len: usize, capacity: usize) {
        let mut state = self.lock();
        state.usage.leave(len);
        state.usage.let_go(capacity);
    }
}
