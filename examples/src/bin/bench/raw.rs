// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system calls that are measured, with nothing around them.

use fpgamem_shared::abi;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

mod ioctl {
    //! The unsafe functions that nix derives from the command numbers.

    use fpgamem_shared::abi;

    nix::ioctl_readwrite!(heap_alloc, b'H', 0, super::HeapAlloc);
    nix::ioctl_write_ptr!(flush, abi::IOC_TYPE, 6, abi::Range);
    nix::ioctl_write_ptr!(invalidate, abi::IOC_TYPE, 7, abi::Range);
}

/// Argument of `DMA_HEAP_IOCTL_ALLOC`, as `<linux/dma-heap.h>` has it.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct HeapAlloc {
    len: u64,
    /// Output: the dma-buf.
    fd: u32,
    fd_flags: u32,
    heap_flags: u64,
}

/// A mapping of somebody's memory, written to one byte a page.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

/// Distance of the bytes that [`Mapping::touch`] writes. The smallest page; larger ones are touched more
/// than once.
const PAGE_BYTES: usize = 4096;

impl Mapping {
    /// Maps the first `bytes` of a file shared and writable.
    pub(crate) fn new(file: &impl AsRawFd, bytes: usize) -> io::Result<Self> {
        let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        // SAFETY: The kernel chooses a range that nothing uses yet.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, bytes })
    }

    /// Writes to every page.
    pub(crate) fn touch(&self) {
        for offset in (0..self.bytes).step_by(PAGE_BYTES) {
            let byte = self.start.as_ptr().wrapping_add(offset);
            // SAFETY: The byte lies in the mapping, which is writable and no slice of which exists.
            unsafe { byte.write_volatile(1) };
        }
    }

    fn range(&self) -> abi::Range {
        let addr = self.start.as_ptr() as usize as u64;
        abi::Range {
            addr,
            len: self.bytes as u64,
            ..Default::default()
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: The range is the one that was mapped, and `self` was the only way to it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Allocates a dma-buf of `bytes` from a heap.
pub(crate) fn heap_alloc(heap: &File, bytes: usize) -> io::Result<OwnedFd> {
    let fd_flags = u32::try_from(libc::O_RDWR | libc::O_CLOEXEC).unwrap_or_default();
    let mut alloc = HeapAlloc {
        len: bytes as u64,
        fd_flags,
        ..Default::default()
    };
    // SAFETY: The kernel reads and writes one `HeapAlloc`, which `alloc` is, and keeps no pointer.
    unsafe { ioctl::heap_alloc(heap.as_raw_fd(), &mut alloc) }?;
    let fd = i32::try_from(alloc.fd).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: The kernel has just opened the descriptor for this call; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Cleans all cache lines of a mapping of the fpgamem driver.
pub(crate) fn flush(device: &File, mapping: &Mapping) -> io::Result<()> {
    // SAFETY: The driver reads one range and keeps no pointer; cleaning changes no contents.
    unsafe { ioctl::flush(device.as_raw_fd(), &mapping.range()) }?;
    Ok(())
}

/// Cleans and invalidates all cache lines of a mapping of the fpgamem driver.
pub(crate) fn invalidate(device: &File, mapping: &Mapping) -> io::Result<()> {
    // SAFETY: The driver reads one range and keeps no pointer; it discards nothing that was written.
    unsafe { ioctl::invalidate(device.as_raw_fd(), &mapping.range()) }?;
    Ok(())
}
