// SPDX-License-Identifier: MIT OR Apache-2.0

//! The back end without a board: a pool and an FPGA inside the process.
//!
//! What the CPU sees and what the FPGA sees are two copies. Cache maintenance exchanges them line by
//! line, and a [`Policy`] may do so unasked, as caches may. A forgotten sync is then a wrong result.

mod board;
mod chance;
// The CPU's copy, which the program has slices of.
#[allow(unsafe_code)]
mod cpu;
mod fpga;
mod options;
#[cfg(test)]
// Taking buffers back.
#[allow(unsafe_code)]
mod tests;

pub use board::Counts;
pub use fpga::{Accelerator, BusError, FpgaMemory};
pub use options::{EmulatedOptions, Policy};

use crate::addr::{DeviceAddr, PhysAddr};
use crate::alloc::AllocOptions;
use crate::backend::Grant;
use crate::direction::Maintenance;
use crate::error::{Error, Result};
use crate::fork::Process;
use crate::info::Info;
use crate::map::Map;
use crate::memory::Memory;
use crate::pool::Pool;
use board::Board;
use fpgamem_shared::abi;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a cache line: those of ZynqMP's processors.
const LINE_BYTES: usize = 64;
/// What stands for the path of a node.
const PATH: &str = "emulated";

/// The emulated pool, caches and memory of a device; see [`Device::emulator`](crate::Device::emulator).
#[derive(Debug)]
pub struct Emulator {
    options: EmulatedOptions,
    /// What the CPU's copies are mapped from.
    #[cfg(not(miri))]
    file: std::fs::File,
    process: Process,
    pid: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pool: Pool,
    board: Board,
}

impl Emulator {
    fn new(options: EmulatedOptions) -> Result<Self> {
        let EmulatedOptions {
            region_bytes,
            block_bytes,
            phys_addr,
            policy,
            ..
        } = options;
        let pool = Pool::new(region_bytes, block_bytes, phys_addr);
        let len = usize::try_from(region_bytes).ok();
        let (Some(pool), Some(len)) = (pool, len) else {
            return Err(Error::InvalidRegion {
                region_bytes,
                block_bytes,
            });
        };
        let board = Board::new(len, policy);
        Ok(Self {
            options,
            #[cfg(not(miri))]
            file: memory_file(region_bytes)?,
            process: Process::current(),
            pid: std::process::id(),
            state: Mutex::new(State { pool, board }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A model that panics does so while nothing is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory file is the parent's in a forked child, whose copy of the bookkeeping goes its own
    /// way.
    fn check_fork(&self) -> Result<()> {
        if self.process == Process::current() {
            return Ok(());
        }
        let (owner, child) = (self.pid, std::process::id());
        Err(Error::Forked { owner, child })
    }

    #[cfg(not(miri))]
    pub(crate) fn file(&self) -> &std::fs::File {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        Path::new(PATH)
    }

    pub(crate) fn granule(&self) -> usize {
        LINE_BYTES
    }

    pub(crate) fn info(&self) -> Result<Info> {
        self.check_fork()?;
        let mut state = self.lock();
        let features =
            abi::FEATURE_WRITE_COMBINE | abi::FEATURE_COHERENCY | abi::FEATURE_SYNC_VECTOR;
        let raw = abi::Info {
            abi: abi::ABI,
            flags: if self.options.coherent {
                abi::BUFFER_COHERENT
            } else {
                0
            },
            features,
            phys_addr: self.options.phys_addr,
            device_addr: self.options.phys_addr,
            region_bytes: self.options.region_bytes,
            block_bytes: self.options.block_bytes,
            free_bytes: state.pool.free_bytes(),
            nr_buffers: state.pool.nr_allocations(),
            cache_line_bytes: 64,
            largest_free_bytes: state.pool.largest_free_bytes(),
            ..Default::default()
        };
        Info::new(&raw)
    }

    pub(crate) fn alloc(&self, len: usize, options: AllocOptions) -> Result<Grant> {
        self.check_fork()?;
        let mut state = self.lock();
        let range = state.pool.alloc(len as u64, options.alignment())?;
        let bytes = range.end - range.start;
        let map = match self.map(range.start, bytes) {
            Ok(map) => map,
            Err(source) => {
                state.pool.free(range);
                return Err(Error::Map { len: bytes, source });
            }
        };
        let shared = options.is_coherent(self.options.coherent) || options.is_write_combine();
        let addr = self.options.phys_addr + range.start as u64;
        state.board.enter(range.start, &map, shared);
        Ok(Grant {
            map,
            phys_addr: PhysAddr::new(addr),
            device_addr: DeviceAddr::new(addr),
            status_slot: abi::NO_SLOT,
        })
    }

    #[cfg(not(miri))]
    fn map(&self, start: usize, len: usize) -> std::io::Result<Map> {
        Map::new(&self.file, start as u64, len)
    }

    #[cfg(miri)]
    fn map(&self, _: usize, len: usize) -> std::io::Result<Map> {
        Ok(Map::on_heap(len))
    }

    /// Takes blocks back whose mapping is about to end.
    pub(crate) fn release(&self, memory: &Memory) {
        let range = self.in_region(memory, 0..memory.map.len());
        let mut state = self.lock();
        state.board.leave(range.start);
        // The next owner finds zeroes; blocks of which that is not sure are not used again.
        if self.clear(&range) {
            state.pool.free(range);
        }
    }

    /// Takes the pages of a range out of the file.
    #[cfg(not(miri))]
    fn clear(&self, range: &Range<usize>) -> bool {
        use nix::fcntl::{fallocate, FallocateFlags};
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match (i64::try_from(range.start), i64::try_from(range.len())) {
            (Ok(start), Ok(len)) => fallocate(&self.file, flags, start, len).is_ok(),
            _ => false,
        }
    }

    /// Nothing is left: every allocation has memory of its own.
    #[cfg(miri)]
    fn clear(&self, _: &Range<usize>) -> bool {
        true
    }

    /// Says who owns a part of an allocation.
    pub(crate) fn set_owner(&self, memory: &Memory, part: Range<usize>, device: bool) {
        let range = self.in_region(memory, part);
        self.lock().board.set_owner(range, device);
    }

    /// Maintains the lines of a range of an allocation.
    pub(crate) fn maintain(&self, op: Maintenance, memory: &Memory, range: Range<usize>) {
        let range = self.in_region(memory, range);
        self.lock().board.maintain(op, range);
    }

    /// Lets the CPU access a range of an allocation that the device owns: `copy` does it, while nobody
    /// else accesses the CPU's copy.
    pub(crate) fn view<R>(
        &self,
        memory: &Memory,
        range: Range<usize>,
        copy: impl FnOnce() -> R,
    ) -> R {
        let range = self.in_region(memory, range);
        let mut state = self.lock();
        state.board.before_view(range.clone());
        let result = copy();
        state.board.after_view(range);
        result
    }

    fn in_region(&self, memory: &Memory, range: Range<usize>) -> Range<usize> {
        let base = memory
            .phys_addr
            .checked_offset_from(PhysAddr::new(self.options.phys_addr));
        // Allocations are inside the region, whose size is a usize.
        let base = base.and_then(|base| usize::try_from(base).ok());
        let base = base.unwrap_or(0);
        base + range.start..base + range.end
    }

    /// What the caches have done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().board.counts()
    }
}

/// A file of memory, of which the CPU's copies are mapped.
#[cfg(not(miri))]
fn memory_file(bytes: u64) -> Result<std::fs::File> {
    use nix::sys::memfd::{memfd_create, MFdFlags};
    let open_error = |source: std::io::Error| Error::Open {
        path: PATH.into(),
        source,
    };
    // The literal has its terminating zero.
    let name = std::ffi::CStr::from_bytes_with_nul(b"fpgamem-emulated\0").unwrap_or_default();
    let file = memfd_create(name, MFdFlags::MFD_CLOEXEC).map_err(|e| open_error(e.into()))?;
    let file = std::fs::File::from(file);
    file.set_len(bytes).map_err(open_error)?;
    Ok(file)
}
