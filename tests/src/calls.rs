// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rarer system calls on mapped memory.

use crate::mapping::{host_len, Mapping};
use nix::errno::Errno;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

impl Mapping {
    /// Gives advice about everything by its number, known or not. Not for `MADV_HWPOISON` and
    /// `MADV_SOFT_OFFLINE`, which take pages from the whole system.
    pub fn advise_by_number(&self, advice: i32) -> Result<(), Errno> {
        assert!(!(100..=101).contains(&advice), "advice {advice} is drastic");
        let len = host_len(self.len());
        let at = self.pointer(0, len).cast();
        // SAFETY: the range is this value's, and nothing refers to its memory.
        Errno::result(unsafe { libc::madvise(at, len, advice) }).map(drop)
    }

    /// `msync` of everything.
    pub fn msync(&self, flags: i32) -> Result<(), Errno> {
        let len = host_len(self.len());
        let at = self.pointer(0, len).cast();
        // SAFETY: the range is mapped.
        Errno::result(unsafe { libc::msync(at, len, flags) }).map(drop)
    }

    /// `mlock` of everything.
    pub fn lock(&self) -> Result<(), Errno> {
        let len = host_len(self.len());
        let at = self.pointer(0, len).cast_const().cast();
        // SAFETY: the range is mapped.
        Errno::result(unsafe { libc::mlock(at, len) }).map(drop)
    }

    /// `mincore` of everything: one byte per page.
    pub fn residency(&self) -> Result<Vec<u8>, Errno> {
        let len = host_len(self.len());
        let mut pages = vec![0; len.div_ceil(host_len(crate::PAGE))];
        let at = self.pointer(0, len).cast();
        // SAFETY: the range is mapped, and the vector has a byte for each of its pages.
        Errno::result(unsafe { libc::mincore(at, len, pages.as_mut_ptr()) })?;
        Ok(pages)
    }

    /// `remap_file_pages` of `range` to an offset in pages. Where that fails, `range` counts as
    /// mapped still.
    pub fn remap_file_pages(&self, range: Range<u64>, page_offset: usize) -> Result<(), Errno> {
        let len = host_len(range.end - range.start);
        let at: *mut libc::c_void = self.pointer(range.start, len).cast();
        // SAFETY: the range is this value's, and nothing refers to its memory.
        let result =
            unsafe { libc::syscall(libc::SYS_remap_file_pages, at, len, 0, page_offset, 0) };
        Errno::result(result).map(drop)
    }

    /// `mremap` that would leave the old range mapped, too.
    pub fn mremap_dontunmap(&self) -> Result<(), Errno> {
        let len = host_len(self.len());
        let at = self.pointer(0, len).cast();
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
        // SAFETY: the range is this value's, and nothing refers to its memory.
        let moved = unsafe { libc::mremap(at, len, len, flags) };
        if moved == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        // SAFETY: the kernel has just made this mapping, and nobody else knows it.
        Errno::result(unsafe { libc::munmap(moved, len) }).map(drop)
    }

    /// Makes `range` a fixed buffer of io_uring, for as long as this call takes.
    pub fn register_with_io_uring(&self, range: Range<u64>) -> Result<(), Errno> {
        let iov_len = host_len(range.end - range.start);
        let buffer = libc::iovec {
            iov_base: self.pointer(range.start, iov_len).cast(),
            iov_len,
        };
        // `struct io_uring_params`, which asks for nothing.
        let mut parameters = [0_u64; 15];
        let at = parameters.as_mut_ptr();
        // SAFETY: the structure is 120 bytes long, and ours.
        let ring = Errno::result(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, at) })?;
        let ring = RawFd::try_from(ring).expect("descriptors are small");
        // SAFETY: the kernel has just made the descriptor for us, and nobody else knows it.
        let ring = unsafe { OwnedFd::from_raw_fd(ring) };
        const REGISTER_BUFFERS: u32 = 0;
        // SAFETY: the range is mapped, and nobody uses it through the ring.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                ring.as_raw_fd(),
                REGISTER_BUFFERS,
                &raw const buffer,
                1,
            )
        };
        Errno::result(result).map(drop)
    }

    /// A shared wake-up by the first word, for which the kernel looks for the page behind it.
    pub fn futex_wake(&self) -> Result<(), Errno> {
        let at = self.pointer(0, 4);
        // SAFETY: the word is mapped; the call does not change it.
        Errno::result(unsafe { libc::syscall(libc::SYS_futex, at, libc::FUTEX_WAKE, 1) }).map(drop)
    }

    /// `munmap` of `range` that is expected to be refused.
    ///
    /// # Panics
    ///
    /// Where it succeeds.
    pub fn unmap_refused(&self, range: Range<u64>) -> Errno {
        let len = host_len(range.end - range.start);
        let at = self.pointer(range.start, len).cast();
        // SAFETY: the range is this value's, and the test ends if the mapping does.
        Errno::result(unsafe { libc::munmap(at, len) }).expect_err("munmap is refused")
    }
}

/// Why a shared mapping of 0 bytes of a file is refused.
///
/// # Panics
///
/// Where it is not.
pub fn map_nothing(file: impl AsFd) -> Errno {
    let (protection, file) = (libc::PROT_READ | libc::PROT_WRITE, file.as_fd().as_raw_fd());
    // SAFETY: without MAP_FIXED the kernel takes an unused part of the address space, or none.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            0,
            protection,
            libc::MAP_SHARED,
            file,
            0,
        )
    };
    assert_eq!(at, libc::MAP_FAILED, "nothing was mapped");
    Errno::last()
}

/// Locks all memory of this process, now and in future, and lets it go again.
///
/// # Panics
///
/// Where `during` does.
pub fn with_all_memory_locked(during: impl FnOnce()) -> Result<(), Errno> {
    // SAFETY: the call has no condition.
    Errno::result(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) })?;
    during();
    // SAFETY: the call has no condition.
    Errno::result(unsafe { libc::munlockall() }).map(drop)
}

/// Makes this process the one that inherits the children of its children.
pub fn adopt_orphans() -> Result<(), Errno> {
    // SAFETY: the operation takes numbers only.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}
