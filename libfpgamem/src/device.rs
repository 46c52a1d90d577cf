// SPDX-License-Identifier: MIT OR Apache-2.0

//! An open device node, from which buffers come.

use crate::addr::{DeviceAddr, PhysAddr};
use crate::alloc::AllocOptions;
use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::info::{Features, Info};
use crate::status::StatusArea;
use crate::sys::{self, Call};
use fpgamem_shared::abi;
use nix::errno::Errno;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// The environment variable that names the node for [`Device::open`].
pub const DEVICE_VARIABLE: &str = "FPGAMEM_DEVICE";

const DEFAULT_PATH: &str = "/dev/fpgamem0";

/// An open device node: one pool of one driver.
///
/// Clones share the open file, which is closed when the last clone and the last buffer are gone.
/// Every method may be called from any thread.
#[derive(Clone, Debug)]
pub struct Device {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: File,
    path: PathBuf,
    /// Where buffers that the device owns are marked without a call.
    status: Option<StatusArea>,
    /// Whether the driver wants to know which buffers the device owns.
    quarantines: bool,
    /// Whether the pool's port snoops; the driver never changes it.
    coherent: bool,
    abandoned_buffers: AtomicU64,
    abandoned_bytes: AtomicU64,
}

/// Buffers that were dropped while the device owned them; see [`Device::abandoned`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abandoned {
    /// How many.
    pub buffers: u64,
    /// Bytes that they take in the pool.
    pub bytes: u64,
}

/// Where a user address lies; see [`Device::user_to_phys`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PhysRange {
    /// Its physical address.
    pub phys_addr: PhysAddr,
    /// The same as the FPGA uses it.
    pub device_addr: DeviceAddr,
    /// Bytes from there on that are contiguous in both address spaces.
    pub contiguous_bytes: u64,
}

/// Where a physical address is mapped; see [`Device::phys_to_user`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserRange {
    /// The lowest user address that maps it.
    pub user_addr: u64,
    /// Bytes from there on that are contiguous in both address spaces.
    pub contiguous_bytes: u64,
}

impl Device {
    /// Opens the node that the environment variable `FPGAMEM_DEVICE` names, or `/dev/fpgamem0` where
    /// it is not set or empty.
    ///
    /// # Errors
    ///
    /// As [`open_path`](Self::open_path).
    pub fn open() -> Result<Self> {
        Self::open_path(default_path(std::env::var_os(DEVICE_VARIABLE)))
    }

    /// Opens `/dev/fpgamemN`, N being `index`.
    ///
    /// # Errors
    ///
    /// As [`open_path`](Self::open_path).
    pub fn open_index(index: u32) -> Result<Self> {
        Self::open_path(format!("/dev/fpgamem{index}"))
    }

    /// Opens a node by its path.
    ///
    /// # Errors
    ///
    /// * [`Error::Open`]: the node is missing or may not be opened for reading and writing.
    /// * [`Error::NotFpgamem`]: the file belongs to something else.
    /// * [`Error::AbiMismatch`]: the driver speaks another version of the ABI.
    pub fn open_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
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
        let coherent = info.coherent;
        let quarantines = info.features.contains(Features::QUARANTINE);
        let status = if quarantines {
            StatusArea::new(&file)
        } else {
            None
        };
        let (abandoned_buffers, abandoned_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Shared {
            file,
            path,
            status,
            quarantines,
            coherent,
            abandoned_buffers,
            abandoned_bytes,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The path that was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Describes the pool as it is now.
    ///
    /// # Errors
    ///
    /// [`Error::Unbound`] where the device has been unbound from its driver.
    pub fn info(&self) -> Result<Info> {
        let raw = sys::info(self.as_fd()).map_err(|errno| Error::ioctl(Call::Info, errno))?;
        Info::new(&raw)
    }

    /// Allocates a buffer of `len` bytes, all 0, cached, aligned to the block size.
    ///
    /// The buffer takes whole blocks of [`Info::block_bytes`] of the pool and is contiguous for the
    /// FPGA.
    ///
    /// # Errors
    ///
    /// * [`Error::OutOfMemory`]: the pool has no room; nothing has changed.
    /// * [`Error::InvalidLength`]: `len` is 0 or larger than the region.
    /// * [`Error::Map`]: the process may have no more mappings.
    /// * [`Error::Unbound`]: the device has been unbound from its driver.
    pub fn alloc(&self, len: usize) -> Result<Buffer> {
        self.alloc_with(len, AllocOptions::new())
    }

    /// Allocates a buffer of `len` bytes, all 0, as the options say.
    ///
    /// # Errors
    ///
    /// Those of [`alloc`](Self::alloc), and [`Error::InvalidAlignment`].
    pub fn alloc_with(&self, len: usize, options: AllocOptions) -> Result<Buffer> {
        Buffer::new(self, len, options)
    }

    /// Looks up where the memory at a user address lies: an aid for debugging.
    ///
    /// A buffer knows its own addresses. `None` where this process has no mapping of this pool at
    /// the address.
    ///
    /// # Errors
    ///
    /// [`Error::Unbound`] where the device has been unbound from its driver.
    pub fn user_to_phys<T>(&self, user_addr: *const T) -> Result<Option<PhysRange>> {
        let answer = sys::user_to_phys(self.as_fd(), user_addr as usize as u64)?;
        Ok(answer.map(|answer| PhysRange {
            phys_addr: PhysAddr::new(answer.phys_addr),
            device_addr: DeviceAddr::new(answer.device_addr),
            contiguous_bytes: answer.contiguous_bytes,
        }))
    }

    /// Looks up where this process has mapped a physical address: an aid for debugging.
    ///
    /// The answer is an address and not a pointer: it says nothing about who owns the memory. `None`
    /// where the process has no mapping of it.
    ///
    /// # Errors
    ///
    /// [`Error::Unbound`] where the device has been unbound from its driver.
    pub fn phys_to_user(&self, phys_addr: PhysAddr) -> Result<Option<UserRange>> {
        let answer = sys::phys_to_user(self.as_fd(), phys_addr.as_u64())?;
        Ok(answer.map(|answer| UserRange {
            user_addr: answer.user_addr,
            contiguous_bytes: answer.contiguous_bytes,
        }))
    }

    /// Buffers that were dropped while the device owned them, through this open file.
    ///
    /// Nobody has said that the device is done with such a buffer, so its memory is not given to
    /// anybody else: it stays mapped until the process ends. A number above 0 is a program that
    /// forgets [`into_cpu`](crate::DeviceBuffer::into_cpu). After that the driver keeps the memory
    /// back for [`Info::quarantine_ms`].
    #[must_use]
    pub fn abandoned(&self) -> Abandoned {
        Abandoned {
            buffers: self.shared.abandoned_buffers.load(Ordering::Relaxed),
            bytes: self.shared.abandoned_bytes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn note_abandoned(&self, bytes: usize) {
        self.shared
            .abandoned_buffers
            .fetch_add(1, Ordering::Relaxed);
        self.shared
            .abandoned_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn file(&self) -> &File {
        &self.shared.file
    }

    /// The status area, if it has that slot.
    pub(crate) fn status(&self, slot: u32) -> Option<&StatusArea> {
        self.shared.status.as_ref().filter(|area| area.has(slot))
    }

    /// Whether the driver wants to know which buffers the device owns.
    pub(crate) fn quarantines(&self) -> bool {
        self.shared.quarantines
    }

    /// Whether a buffer that does not say otherwise is coherent.
    pub(crate) fn is_coherent(&self) -> bool {
        self.shared.coherent
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.file.as_fd()
    }
}

fn default_path(variable: Option<OsString>) -> PathBuf {
    variable
        .filter(|path| !path.is_empty())
        .map_or_else(|| DEFAULT_PATH.into(), PathBuf::from)
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
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_the_node() {
        assert_eq!(
            default_path(Some("/dev/fpgamem7".into())),
            Path::new("/dev/fpgamem7")
        );
    }

    #[test]
    fn without_the_variable_it_is_the_first_node() {
        assert_eq!(default_path(None), Path::new("/dev/fpgamem0"));
        assert_eq!(
            default_path(Some(OsString::new())),
            Path::new("/dev/fpgamem0")
        );
    }

    #[test]
    fn a_missing_node_is_an_open_error_with_its_path() {
        let error = Device::open_path("/nonexistent/fpgamem0").unwrap_err();
        let Error::Open { path, source } = error else {
            panic!("{error}");
        };
        assert_eq!(path, Path::new("/nonexistent/fpgamem0"));
        assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
    }

    #[test]
    fn a_node_of_another_driver_is_recognised() {
        let error = Device::open_path("/dev/null").unwrap_err();
        assert!(matches!(error, Error::NotFpgamem { path } if path == Path::new("/dev/null")));
    }

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

    #[test]
    fn devices_and_buffers_go_between_threads() {
        fn assert_send_sync<T: Send + Sync>() {}
        assert_send_sync::<Device>();
        assert_send_sync::<Buffer>();
        assert_send_sync::<crate::DeviceBuffer>();
    }
}
