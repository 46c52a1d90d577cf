// SPDX-License-Identifier: MIT OR Apache-2.0

//! The back end of a board: the driver behind an open node.

use crate::alloc::{AllocOptions, Allocation};
use crate::backend::{Grant, Guarantees};
use crate::cache::{self, Lines};
use crate::direction::Maintenance;
use crate::error::{Error, Result};
use crate::info::{Features, Info};
use crate::map::{Map, HUGE_PAGE_BYTES};
use crate::status::StatusArea;
use crate::sys::{self, Call};
use crate::{DeviceAddr, PhysAddr};
use fpgamem_shared::abi;
use nix::errno::Errno;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Bytes of a line where neither the processor nor the driver says it.
const USUAL_LINE_BYTES: usize = 64;

/// An open node.
#[derive(Debug)]
pub(crate) struct Driver {
    file: File,
    path: PathBuf,
    /// Where buffers that the device owns are marked without a call.
    status: Option<StatusArea>,
    /// Whether the driver wants to know which buffers the device owns.
    quarantines: bool,
    /// Lines that are maintained here; `None` where the driver does it.
    lines: Option<Lines>,
    /// Bytes of memory that share no line with what lies outside of them are multiples of this.
    granule: usize,
}

/// How the lines of a buffer are maintained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// By instructions, one for every so many bytes, and a barrier.
    Lines(usize),
    /// There is nothing in the caches that the device does not see: by a barrier.
    Barrier,
    /// By the driver.
    Call,
}

impl Method {
    /// The method where the library can maintain `lines`, of a buffer that has some in the caches or
    /// has none.
    pub(crate) fn new(lines: Option<Lines>, cached: bool) -> Self {
        match lines {
            None => Self::Call,
            Some(_) if !cached => Self::Barrier,
            Some(lines) => Self::Lines(lines.smallest),
        }
    }
}

impl Driver {
    /// Opens a node, and describes its pool; errors as [`Device::open_path`](crate::Device::open_path).
    pub(crate) fn open(path: PathBuf) -> Result<(Self, Info)> {
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(source) => return Err(Error::Open { path, source }),
        };
        let raw = match sys::info(file.as_fd()) {
            Ok(raw) => raw,
            Err(Errno::ENOTTY) => return Err(Error::NotFpgamem { path }),
            Err(errno) => return Err(Error::ioctl(Call::Info, errno)),
        };
        let path = check_abi(path, raw.abi)?;
        let info = Info::new(&raw)?;
        let quarantines = info.features.contains(Features::QUARANTINE);
        let status = quarantines.then(|| StatusArea::new(&file)).flatten();
        let lines = cache::lines();
        let smallest = info
            .cache_line_bytes
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(USUAL_LINE_BYTES);
        let driver = Self {
            file,
            path,
            status,
            quarantines,
            lines,
            granule: lines.map_or(smallest, |lines| lines.granule.max(smallest)),
        };
        Ok((driver, info))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn granule(&self) -> usize {
        self.granule
    }

    pub(crate) fn guarantees(&self) -> Guarantees {
        let mut guarantees = Guarantees::ISOLATION | Guarantees::SHARING;
        guarantees.set(Guarantees::QUARANTINE, self.quarantines);
        guarantees
    }

    pub(crate) fn info(&self) -> Result<Info> {
        let raw = sys::info(self.as_fd()).map_err(|errno| Error::ioctl(Call::Info, errno))?;
        Info::new(&raw)
    }

    /// Allocates and maps a buffer.
    pub(crate) fn alloc(&self, len: usize, options: AllocOptions) -> Result<Grant> {
        // The handle is dropped at the end of this function. From then on the mapping alone keeps
        // the buffer: its end frees it, a process that dies leaves nothing behind even if a child
        // has inherited the file, and nobody can map the memory a second time.
        let allocation = Allocation::new(self.as_fd(), len as u64, options)?;
        let answer = &allocation.answer;
        let alloc_len = usize::try_from(answer.alloc_bytes)
            .ok()
            .filter(|bytes| *bytes >= len);
        let Some(alloc_len) = alloc_len else {
            let value = answer.alloc_bytes;
            return Err(Error::UnexpectedResponse {
                field: "alloc.alloc_bytes",
                value,
            });
        };
        let map =
            Map::new(&self.file, answer.mmap_offset, alloc_len).map_err(|source| Error::Map {
                len: alloc_len,
                source,
            })?;
        if alloc_len >= HUGE_PAGE_BYTES {
            map.touch();
        }
        Ok(Grant {
            map,
            phys_addr: PhysAddr::new(answer.phys_addr),
            device_addr: DeviceAddr::new(answer.device_addr),
            status_slot: answer.status_slot,
        })
    }

    /// Tells the kernel whether the device may access the memory of a mapping, should this process
    /// die.
    pub(crate) fn set_owner(&self, map: &Map, slot: u32, device: bool) -> Result<()> {
        let told = self
            .status
            .as_ref()
            .is_some_and(|area| area.set(slot, device));
        if told || !self.quarantines {
            return Ok(());
        }
        sys::set_owner(self.as_fd(), map.as_ptr() as usize as u64, device)
    }

    /// How the lines of a buffer are maintained that has nothing in the caches, or has.
    pub(crate) fn method(&self, cached: bool) -> Method {
        Method::new(self.lines, cached)
    }

    /// Has the driver maintain ranges, in as few calls as it takes.
    pub(crate) fn maintain(&self, op: Maintenance, ranges: &[abi::Range]) -> Result<()> {
        let at_once = usize::try_from(abi::MAX_RANGES).unwrap_or(usize::MAX);
        ranges
            .chunks(at_once)
            .try_for_each(|chunk| sys::maintain(self.as_fd(), op, chunk))
    }
}

impl AsFd for Driver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn check_abi(path: PathBuf, driver: u32) -> Result<PathBuf> {
    if driver == abi::ABI {
        Ok(path)
    } else {
        Err(Error::AbiMismatch {
            path,
            library: abi::ABI,
            driver,
        })
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    #[test]
    fn another_abi_is_refused_with_both_numbers() {
        assert!(check_abi(PathBuf::new(), abi::ABI).is_ok());
        let error = check_abi(PathBuf::new(), 2).unwrap_err();
        assert!(matches!(
            error,
            Error::AbiMismatch {
                library: 1,
                driver: 2,
                ..
            }
        ));
    }

    fn driver(lines: Option<Lines>) -> Driver {
        Driver {
            file: File::open("/dev/null").unwrap(),
            path: PathBuf::new(),
            status: None,
            quarantines: false,
            lines,
            granule: 64,
        }
    }

    #[test]
    fn only_what_may_be_cached_has_lines_to_maintain() {
        let lines = Lines {
            smallest: 32,
            granule: 64,
        };
        let driver = driver(Some(lines));
        assert_eq!(driver.method(true), Method::Lines(32));
        assert_eq!(driver.method(false), Method::Barrier);
    }

    #[test]
    fn where_instructions_will_not_do_the_driver_does_it() {
        assert_eq!(driver(None).method(true), Method::Call);
        assert_eq!(driver(None).method(false), Method::Call);
    }

    #[test]
    fn without_quarantine_nobody_needs_to_know_the_owner() {
        let driver = driver(None);
        let map = crate::map::tests::map("no-owner");
        assert!(driver.set_owner(&map, abi::NO_SLOT, true).is_ok());
        let driver = Driver {
            quarantines: true,
            ..driver
        };
        let error = driver.set_owner(&map, abi::NO_SLOT, true).unwrap_err();
        assert!(matches!(
            error,
            Error::Ioctl {
                call: Call::SetOwner,
                source: Errno::ENOTTY
            }
        ));
    }
}
