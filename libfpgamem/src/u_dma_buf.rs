// SPDX-License-Identifier: MIT OR Apache-2.0

//! The back end of boards without the driver: buffers cut from the one buffer of a u-dma-buf node.
//!
//! The interface is that of u-dma-buf from version 1.0 on: the attributes `phys_addr`, `size`,
//! `dma_coherent`, `sync_for_cpu` and `sync_for_device` of the node in sysfs. The last two take the
//! range in the written word: offset in bits 63 to 32, size in bits 31 to 4, direction in bits 3 and 2,
//! and 1 in bit 0.

use crate::addr::{DeviceAddr, PhysAddr};
use crate::alloc::AllocOptions;
use crate::backend::Grant;
use crate::cache::{self, Lines};
use crate::direction::Maintenance;
use crate::driver::Method;
use crate::error::{Error, Result};
use crate::fork::Process;
use crate::info::Info;
use crate::map::Map;
use crate::memory::Memory;
use crate::pool::Pool;
use fpgamem_shared::abi;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{major, minor};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{fence, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a block: what the driver has.
const BLOCK_BYTES: u64 = 16384;
/// Bytes of a line where the processor does not say it.
const LINE_BYTES: usize = 64;
/// Ranges that are maintained through sysfs start and end at multiples of this.
const SYNC_BYTES: usize = 64;
/// The word has 32 bits for an offset.
const MAX_BYTES_BY_SYSFS: u64 = 1 << 32;
/// The longest range that one word has room for.
const MAX_SYNC_BYTES: usize = 0xffff_ffc0;

/// Directions in the word, as of the kernel's `enum dma_data_direction`.
const BIDIRECTIONAL: u64 = 0;
const TO_DEVICE: u64 = 1;
const FROM_DEVICE: u64 = 2;

/// An open node, which no other process cuts buffers from.
#[derive(Debug)]
pub(crate) struct UDmaBuf {
    file: Flock<File>,
    path: PathBuf,
    attributes: Attributes,
    phys_addr: u64,
    region_bytes: u64,
    coherent: bool,
    lines: Option<Lines>,
    process: Process,
    pid: u32,
    pool: Mutex<Pool>,
}

impl UDmaBuf {
    /// Opens a node, and describes its buffer as a pool; errors as
    /// [`Device::open_u_dma_buf`](crate::Device::open_u_dma_buf).
    pub(crate) fn open(path: &Path) -> Result<(Self, Info)> {
        let node = Self::open_node(path)?;
        let rdev = node.metadata().map_err(|e| failed(path, e))?.rdev();
        let sysfs = format!("/sys/dev/char/{}:{}", major(rdev), minor(rdev));
        Self::new(node, path, Path::new(&sysfs), cache::lines())
    }

    fn open_node(path: &Path) -> Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        options.open(path).map_err(|e| failed(path, e))
    }

    /// A node with its attributes, the latter in the directory `sysfs`.
    fn new(node: File, path: &Path, sysfs: &Path, lines: Option<Lines>) -> Result<(Self, Info)> {
        let path = path.to_path_buf();
        let attributes = Attributes(sysfs.to_path_buf());
        if !attributes.are_u_dma_buf() {
            return Err(Error::NotUDmaBuf { path });
        }
        let file = match Flock::lock(node, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Err(Error::InUse { path }),
            Err((_, errno)) => return Err(failed(&path, errno.into())),
        };
        let phys_addr = attributes.number("phys_addr")?;
        let size = attributes.number("size")?;
        // What lies behind cannot be maintained through sysfs.
        let usable = if lines.is_some() {
            size
        } else {
            size.min(MAX_BYTES_BY_SYSFS)
        };
        let region_bytes = usable - usable % BLOCK_BYTES;
        let Some(pool) = Pool::new(region_bytes, BLOCK_BYTES, phys_addr) else {
            return Err(Error::InvalidRegion {
                region_bytes: size,
                block_bytes: BLOCK_BYTES,
            });
        };
        let node = Self {
            file,
            path,
            phys_addr,
            region_bytes,
            coherent: attributes
                .number("dma_coherent")
                .is_ok_and(|value| value != 0),
            attributes,
            lines,
            process: Process::current(),
            pid: std::process::id(),
            pool: Mutex::new(pool),
        };
        let info = node.info()?;
        Ok((node, info))
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A forked child has a copy of the block map, which goes its own way.
    fn check_fork(&self) -> Result<()> {
        if self.process == Process::current() {
            return Ok(());
        }
        let (owner, child) = (self.pid, std::process::id());
        Err(Error::Forked { owner, child })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn granule(&self) -> usize {
        self.lines
            .map_or(LINE_BYTES, |lines| lines.granule.max(LINE_BYTES))
    }

    pub(crate) fn info(&self) -> Result<Info> {
        self.check_fork()?;
        let mut pool = self.lock();
        Info::new(&abi::Info {
            abi: abi::ABI,
            flags: if self.coherent {
                abi::BUFFER_COHERENT
            } else {
                0
            },
            features: abi::FEATURE_COHERENCY,
            phys_addr: self.phys_addr,
            device_addr: self.phys_addr,
            region_bytes: self.region_bytes,
            block_bytes: BLOCK_BYTES,
            free_bytes: pool.free_bytes(),
            nr_buffers: pool.nr_allocations(),
            largest_free_bytes: pool.largest_free_bytes(),
            ..Default::default()
        })
    }

    pub(crate) fn alloc(&self, len: usize, options: AllocOptions) -> Result<Grant> {
        self.check_fork()?;
        if options.is_write_combine() {
            let path = self.path.clone();
            return Err(Error::NoWriteCombine { path });
        }
        let range = self.lock().alloc(len as u64, options.alignment())?;
        let bytes = range.len();
        let mut map = match Map::new(&self.file, range.start as u64, bytes) {
            Ok(map) => map,
            Err(source) => {
                self.lock().free(range);
                return Err(Error::Map { len: bytes, source });
            }
        };
        // Nobody else does it.
        map.clear();
        let addr = self.phys_addr + range.start as u64;
        Ok(Grant {
            map,
            phys_addr: PhysAddr::new(addr),
            device_addr: DeviceAddr::new(addr),
            status_slot: abi::NO_SLOT,
        })
    }

    /// Takes blocks back whose mapping is about to end. Whoever gets them next maps them anew, and no
    /// pointer into the old mapping is left.
    pub(crate) fn release(&self, memory: &Memory) {
        self.lock().free(self.in_node(memory, 0..memory.map.len()));
    }

    pub(crate) fn method(&self, cached: bool) -> Method {
        Method::new(self.lines, cached)
    }

    /// Has u-dma-buf maintain a range of an allocation.
    pub(crate) fn maintain(
        &self,
        op: Maintenance,
        memory: &Memory,
        range: Range<usize>,
    ) -> Result<()> {
        if !memory.cached {
            fence(Ordering::SeqCst);
            return Ok(());
        }
        let range = self.in_node(memory, range);
        let start = range.start - range.start % SYNC_BYTES;
        // The end of an allocation is one of a block.
        let end = range.end.next_multiple_of(SYNC_BYTES);
        (start..end).step_by(MAX_SYNC_BYTES).try_for_each(|start| {
            let range = start..end.min(start.saturating_add(MAX_SYNC_BYTES));
            match op {
                Maintenance::Clean => self.attributes.sync(FOR_DEVICE, range, TO_DEVICE),
                Maintenance::CleanInvalidate => {
                    self.attributes
                        .sync(FOR_DEVICE, range.clone(), BIDIRECTIONAL)?;
                    self.attributes.sync(FOR_CPU, range, FROM_DEVICE)
                }
            }
        })
    }

    /// A range of an allocation as one of the node's buffer.
    fn in_node(&self, memory: &Memory, range: Range<usize>) -> Range<usize> {
        let node = PhysAddr::new(self.phys_addr);
        let base = memory.phys_addr.checked_offset_from(node);
        // Allocations are inside the buffer, which is mapped in parts that are a usize.
        let base = base
            .and_then(|base| usize::try_from(base).ok())
            .unwrap_or(0);
        base + range.start..base + range.end
    }
}

impl AsFd for UDmaBuf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

const FOR_DEVICE: &str = "sync_for_device";
const FOR_CPU: &str = "sync_for_cpu";

/// The directory of a node in sysfs.
#[derive(Debug)]
struct Attributes(PathBuf);

impl Attributes {
    fn are_u_dma_buf(&self) -> bool {
        ["phys_addr", "size", FOR_DEVICE, FOR_CPU]
            .iter()
            .all(|name| self.0.join(name).exists())
    }

    /// The value of an attribute, decimal or with 0x hexadecimal.
    fn number(&self, name: &str) -> Result<u64> {
        let path = self.0.join(name);
        let text = fs::read_to_string(&path).map_err(|e| failed(&path, e))?;
        let text = text.trim();
        let number = match text.strip_prefix("0x") {
            Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16),
            None => text.parse(),
        };
        number.map_err(|_| failed(&path, io::ErrorKind::InvalidData.into()))
    }

    /// Maintains a range of the node's buffer, its ends multiples of 16, by an attribute.
    fn sync(&self, name: &str, range: Range<usize>, direction: u64) -> Result<()> {
        let word = (range.start as u64) << 32 | range.len() as u64 | direction << 2 | 1;
        let path = self.0.join(name);
        let file = OpenOptions::new().write(true).open(&path);
        file.and_then(|file| file.write_all_at(format!("{word:#x}").as_bytes(), 0))
            .map_err(|e| failed(&path, e))
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    let path = path.to_path_buf();
    Error::UDmaBuf { path, source }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
