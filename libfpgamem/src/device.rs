// SPDX-License-Identifier: MIT OR Apache-2.0

//! An open device, from which buffers come.

use crate::addr::PhysAddr;
use crate::alloc::AllocOptions;
use crate::backend::{Backend, Guarantees};
use crate::buffer::Buffer;
use crate::driver::Driver;
use crate::emulated::{EmulatedOptions, Emulator};
use crate::error::Result;
use crate::info::Info;
use crate::sys;
use crate::translate::{Live, PhysRange, UserRange};
use crate::u_dma_buf::UDmaBuf;
use crate::DeviceAddr;
use std::ffi::OsString;
use std::os::fd::AsFd;
#[cfg(not(miri))]
use std::os::fd::BorrowedFd;
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
    backend: Backend,
    /// Whether the pool's port snoops, which never changes.
    coherent: bool,
    block_bytes: usize,
    live: Live,
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
    /// * [`Error::Open`](crate::Error::Open): the node is missing or may not be opened for reading and writing.
    /// * [`Error::NotFpgamem`](crate::Error::NotFpgamem): the file belongs to something else.
    /// * [`Error::AbiMismatch`](crate::Error::AbiMismatch): the driver speaks another version of the ABI.
    pub fn open_path(path: impl AsRef<Path>) -> Result<Self> {
        let (driver, info) = Driver::open(path.as_ref().to_path_buf())?;
        Ok(Self::new(Backend::Driver(driver), &info))
    }

    /// Opens a node of the u-dma-buf driver, like `/dev/udmabuf0`, to cut buffers from its one buffer.
    ///
    /// For boards whose kernel cannot load the fpgamem driver; nothing chooses it but this call. The
    /// API is the same, and of the node's promises [`guarantees`](Self::guarantees) has none:
    ///
    /// * Every program that may open the node sees all of the memory. Buffers are cleared by this
    ///   library when they are allocated, and by nobody when their process ends.
    /// * One process at a time allocates: the node is locked (flock(2)) while the device, a buffer or a
    ///   forked child's copy of the open file lives.
    /// * The memory of a process that dies while the FPGA writes is given to the next one at once.
    /// * Buffers are cached; blocks are 16 KiB, from the start of the node's buffer, and what is left
    ///   of it after whole blocks is not used.
    ///
    /// On aarch64 caches are maintained by instructions, elsewhere through `sync_for_device` and
    /// `sync_for_cpu` of the node in sysfs, which the process must be able to write.
    ///
    /// # Errors
    ///
    /// * [`Error::UDmaBuf`](crate::Error::UDmaBuf): the node, or a file of it in sysfs, is missing or
    ///   not permitted.
    /// * [`Error::NotUDmaBuf`](crate::Error::NotUDmaBuf): the file belongs to something else.
    /// * [`Error::InUse`](crate::Error::InUse): another process has the node, or another device of
    ///   this one.
    /// * [`Error::InvalidRegion`](crate::Error::InvalidRegion): the node's buffer is smaller than a
    ///   block.
    pub fn open_u_dma_buf(path: impl AsRef<Path>) -> Result<Self> {
        let (node, info) = UDmaBuf::open(path.as_ref())?;
        Ok(Self::new(Backend::UDmaBuf(Box::new(node)), &info))
    }

    /// A device without a board: a pool inside the process, whose FPGA is a model that the program
    /// has. For developing and testing on any machine; nothing ever chooses it but this call.
    ///
    /// ```
    /// use fpgamem::{Device, Policy};
    ///
    /// # fn main() -> Result<(), fpgamem::Error> {
    /// let device = Device::emulated().policy(Policy::Evict(1)).open()?;
    /// let buffer = device.alloc(100)?;
    /// assert_eq!(buffer.capacity(), 16384);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// What the CPU sees and what the FPGA sees are two copies, exchanged by the same calls that
    /// maintain the caches of a board, so a forgotten one is a wrong result. [`Emulator::run`] starts
    /// the FPGA.
    #[must_use]
    pub const fn emulated() -> EmulatedOptions {
        EmulatedOptions::new()
    }

    /// The emulated FPGA; `None` where the device is one of a board.
    #[must_use]
    pub fn emulator(&self) -> Option<&Emulator> {
        match self.backend() {
            Backend::Driver(_) | Backend::UDmaBuf(_) => None,
            Backend::Emulated(emulator) => Some(emulator),
        }
    }

    pub(crate) fn new(backend: Backend, info: &Info) -> Self {
        let (abandoned_buffers, abandoned_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Shared {
            backend,
            coherent: info.coherent,
            block_bytes: usize::try_from(info.block_bytes).unwrap_or(1),
            live: Live::default(),
            abandoned_buffers,
            abandoned_bytes,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The path that was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.shared.backend.path()
    }

    /// What the device promises beyond contiguous memory that is 0.
    #[must_use]
    pub fn guarantees(&self) -> Guarantees {
        self.shared.backend.guarantees()
    }

    /// Describes the pool as it is now.
    ///
    /// # Errors
    ///
    /// [`Error::Unbound`](crate::Error::Unbound) where the device has been unbound from its driver.
    pub fn info(&self) -> Result<Info> {
        self.shared.backend.info()
    }

    /// Bytes of memory that share no line of any cache with what lies outside of them start and end
    /// at multiples of this power of two: where a buffer can be [split](Buffer::split_at).
    ///
    /// At least [`Info::cache_line_bytes`]; 64 on the processors of ZynqMP.
    #[must_use]
    pub fn line_bytes(&self) -> usize {
        self.shared.backend.granule()
    }

    /// Allocates a buffer of `len` bytes, all 0, cached, aligned to the block size.
    ///
    /// The buffer takes whole blocks of [`Info::block_bytes`] of the pool and is contiguous for the
    /// FPGA.
    ///
    /// # Errors
    ///
    /// * [`Error::OutOfMemory`](crate::Error::OutOfMemory): the pool has no room; nothing has changed.
    /// * [`Error::InvalidLength`](crate::Error::InvalidLength): `len` is 0 or larger than the region.
    /// * [`Error::Map`](crate::Error::Map): the process may have no more mappings.
    /// * [`Error::Unbound`](crate::Error::Unbound): the device has been unbound from its driver.
    pub fn alloc(&self, len: usize) -> Result<Buffer> {
        self.alloc_with(len, AllocOptions::new())
    }

    /// Allocates a buffer of `len` bytes, all 0, as the options say.
    ///
    /// # Errors
    ///
    /// Those of [`alloc`](Self::alloc), and [`Error::InvalidAlignment`](crate::Error::InvalidAlignment).
    pub fn alloc_with(&self, len: usize, options: AllocOptions) -> Result<Buffer> {
        Buffer::new(self, len, options)
    }

    /// Looks up where the memory at a user address lies, which is in a buffer of this device or
    /// anywhere inside one.
    ///
    /// It takes no system call, and a time that grows with the logarithm of the number of buffers. A
    /// buffer knows its own addresses ([`Buffer::phys_of`]); this is for programs that have kept
    /// pointers alone. `None` where no live buffer of this device and of this process has the address.
    #[must_use]
    pub fn phys_of<T>(&self, user_addr: *const T) -> Option<PhysRange> {
        self.shared.live.phys_of(user_addr as usize as u64)
    }

    /// Looks up where this process has a physical address, which is in a buffer of this device or
    /// anywhere inside one.
    ///
    /// It takes no system call. The answer is an address and not a pointer: it says nothing about who
    /// owns the memory. `None` where no live buffer of this device and of this process has the
    /// address.
    #[must_use]
    pub fn user_of(&self, phys_addr: PhysAddr) -> Option<UserRange> {
        self.shared.live.user_of(phys_addr)
    }

    /// Asks the driver where the memory at a user address lies: an aid for debugging.
    ///
    /// [`phys_of`](Self::phys_of) does not ask it. `None` where this process has no mapping of this
    /// pool at the address.
    ///
    /// # Errors
    ///
    /// [`Error::Unbound`](crate::Error::Unbound) where the device has been unbound from its driver.
    pub fn user_to_phys<T>(&self, user_addr: *const T) -> Result<Option<PhysRange>> {
        let answer = match self.backend() {
            Backend::Driver(driver) => {
                sys::user_to_phys(driver.as_fd(), user_addr as usize as u64)?
            }
            Backend::UDmaBuf(_) | Backend::Emulated(_) => return Ok(self.phys_of(user_addr)),
        };
        Ok(answer.map(|answer| PhysRange {
            phys_addr: PhysAddr::new(answer.phys_addr),
            device_addr: DeviceAddr::new(answer.device_addr),
            contiguous_bytes: answer.contiguous_bytes,
        }))
    }

    /// Asks the driver where this process has mapped a physical address: an aid for debugging.
    ///
    /// [`user_of`](Self::user_of) does not ask it. `None` where the process has no mapping of it.
    ///
    /// # Errors
    ///
    /// [`Error::Unbound`](crate::Error::Unbound) where the device has been unbound from its driver.
    pub fn phys_to_user(&self, phys_addr: PhysAddr) -> Result<Option<UserRange>> {
        let answer = match self.backend() {
            Backend::Driver(driver) => sys::phys_to_user(driver.as_fd(), phys_addr.as_u64())?,
            Backend::UDmaBuf(_) | Backend::Emulated(_) => return Ok(self.user_of(phys_addr)),
        };
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

    pub(crate) fn backend(&self) -> &Backend {
        &self.shared.backend
    }

    /// Bytes of a block.
    pub(crate) fn block_bytes(&self) -> usize {
        self.shared.block_bytes
    }

    pub(crate) fn live(&self) -> &Live {
        &self.shared.live
    }

    /// Whether a buffer that does not say otherwise is coherent.
    pub(crate) fn is_coherent(&self) -> bool {
        self.shared.coherent
    }
}

/// The open node, or what emulated buffers are mapped from.
#[cfg(not(miri))]
impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.shared.backend {
            Backend::Driver(driver) => driver.as_fd(),
            Backend::UDmaBuf(node) => node.as_fd(),
            Backend::Emulated(emulator) => emulator.file().as_fd(),
        }
    }
}

fn default_path(variable: Option<OsString>) -> PathBuf {
    variable
        .filter(|path| !path.is_empty())
        .map_or_else(|| DEFAULT_PATH.into(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

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
    #[cfg(not(miri))]
    fn a_node_of_another_driver_is_recognised() {
        let error = Device::open_path("/dev/null").unwrap_err();
        assert!(matches!(error, Error::NotFpgamem { path } if path == Path::new("/dev/null")));
    }

    #[test]
    fn devices_and_buffers_go_between_threads() {
        fn assert_send_sync<T: Send + Sync>() {}
        assert_send_sync::<Device>();
        assert_send_sync::<Buffer>();
        assert_send_sync::<crate::DeviceBuffer>();
    }
}
