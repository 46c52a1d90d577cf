// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system calls that are measured, with nothing around them.

use fpgamem_shared::abi;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};

mod ioctl {
    //! The unsafe functions that nix derives from the command numbers.

    use fpgamem_shared::abi;

    nix::ioctl_readwrite!(heap_alloc, b'H', 0, super::HeapAlloc);
    nix::ioctl_read!(info, abi::IOC_TYPE, 0, abi::Info);
    nix::ioctl_readwrite!(alloc, abi::IOC_TYPE, 1, abi::Alloc);
    nix::ioctl_write_ptr!(free, abi::IOC_TYPE, 2, abi::Free);
    nix::ioctl_readwrite!(user_to_phys, abi::IOC_TYPE, 4, abi::UserToPhys);
    nix::ioctl_readwrite!(phys_to_user, abi::IOC_TYPE, 5, abi::PhysToUser);
    nix::ioctl_write_ptr!(flush, abi::IOC_TYPE, 6, abi::Range);
    nix::ioctl_none!(unknown, abi::IOC_TYPE, 0xff);
    nix::ioctl_write_ptr!(invalidate, abi::IOC_TYPE, 7, abi::Range);
    nix::ioctl_read!(u_dma_buf_bytes, b'U', 2, u64);
    nix::ioctl_write_ptr!(u_dma_buf_for_cpu, b'U', 5, u64);
    nix::ioctl_write_ptr!(u_dma_buf_for_device, b'U', 6, u64);
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
    /// Maps `bytes` of a file from `offset` on, shared and writable.
    pub(crate) fn new(file: &impl AsRawFd, bytes: usize, offset: u64) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        Self::mmap(
            bytes,
            protection,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            offset,
        )
    }

    /// A page without a file, which is not written to. Two of different `readable` are never one mapping.
    pub(crate) fn empty(readable: bool) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = if readable {
            libc::PROT_READ
        } else {
            libc::PROT_NONE
        };
        Self::mmap(PAGE_BYTES, protection, flags, -1, 0)
    }

    fn mmap(
        bytes: usize,
        protection: i32,
        flags: i32,
        fd: RawFd,
        offset: libc::off_t,
    ) -> io::Result<Self> {
        // SAFETY: The kernel chooses a range that nothing uses yet.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, fd, offset) };
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

    /// The address of the byte in the middle.
    pub(crate) fn middle(&self) -> u64 {
        (self.start.as_ptr() as usize + self.bytes / 2) as u64
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

/// Describes the pool.
pub(crate) fn info(device: &File) -> io::Result<abi::Info> {
    let mut info = abi::Info::default();
    // SAFETY: The driver writes one `Info`, for which there is room, and keeps no pointer.
    unsafe { ioctl::info(device.as_raw_fd(), &mut info) }?;
    Ok(info)
}

/// A call that the driver does not know, which is the shortest ioctl.
pub(crate) fn nothing(device: &File) -> io::Result<()> {
    // SAFETY: The command has no argument.
    match unsafe { ioctl::unknown(device.as_raw_fd()) } {
        Err(nix::errno::Errno::ENOTTY) => Ok(()),
        other => Err(io::Error::other(format!("the driver answers {other:?}"))),
    }
}

/// Allocates a buffer of the fpgamem driver, without mapping it.
pub(crate) fn alloc(device: &File, bytes: usize) -> io::Result<abi::Alloc> {
    let mut alloc = abi::Alloc {
        len: bytes as u64,
        ..Default::default()
    };
    // SAFETY: The driver reads and writes one `Alloc` and keeps no pointer.
    unsafe { ioctl::alloc(device.as_raw_fd(), &mut alloc) }?;
    Ok(alloc)
}

/// Drops a handle of the fpgamem driver.
pub(crate) fn free(device: &File, handle: u32) -> io::Result<()> {
    let free = abi::Free {
        handle,
        ..Default::default()
    };
    // SAFETY: The driver reads one `Free` and keeps no pointer.
    unsafe { ioctl::free(device.as_raw_fd(), &free) }?;
    Ok(())
}

/// The physical address behind a user address.
pub(crate) fn user_to_phys(device: &File, user_addr: u64) -> io::Result<u64> {
    let mut request = abi::UserToPhys {
        user_addr,
        ..Default::default()
    };
    // SAFETY: The driver reads and writes one `UserToPhys` and keeps no pointer.
    unsafe { ioctl::user_to_phys(device.as_raw_fd(), &mut request) }?;
    Ok(request.phys_addr)
}

/// The user address of a physical one.
pub(crate) fn phys_to_user(device: &File, phys_addr: u64) -> io::Result<u64> {
    let mut request = abi::PhysToUser {
        phys_addr,
        ..Default::default()
    };
    // SAFETY: The driver reads and writes one `PhysToUser` and keeps no pointer.
    unsafe { ioctl::phys_to_user(device.as_raw_fd(), &mut request) }?;
    Ok(request.user_addr)
}

/// Tells a plugin of QEMU, where there is one, what follows: an instruction that does nothing else, with
/// two numbers in registers.
pub(crate) fn tell_plugin(bytes: usize, live: usize) {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: The instruction is a hint without a meaning, which does nothing.
    unsafe {
        std::arch::asm!("hint #127", in("x0") bytes, in("x1") live, options(nomem, nostack));
    }
    #[cfg(not(target_arch = "aarch64"))]
    let _ = (bytes, live);
}

/// The counter of the generic timer, and in which reading after that one, each 17 instructions after the
/// one before, it went up by two.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(crate) fn counter_and_phase() -> (u64, u64) {
    let (first, rounds): (u64, u64);
    // SAFETY: The counter may be read by user space, and reading it has no effect.
    unsafe {
        std::arch::asm!(
            "mov {rounds}, #0",
            "mrs {first}, cntvct_el0",
            "mov {before}, {first}",
            "nop", "nop", "nop", "nop", "nop", "nop",
            // Each turn has 17 instructions. Elsewhere than under QEMU it may find nothing.
            "2:",
            "nop", "nop", "nop", "nop", "nop", "nop", "nop", "nop", "nop",
            "mrs {now}, cntvct_el0",
            "add {rounds}, {rounds}, #1",
            "sub {step}, {now}, {before}",
            "mov {before}, {now}",
            "cmp {step}, #2",
            "b.hs 3f",
            "cmp {rounds}, #16",
            "b.lo 2b",
            "3:",
            first = out(reg) first,
            rounds = out(reg) rounds,
            before = out(reg) _,
            now = out(reg) _,
            step = out(reg) _,
            options(nomem, nostack),
        );
    }
    (first, rounds)
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

/// Length in bytes of the buffer of a node of u-dma-buf.
pub(crate) fn u_dma_buf_bytes(node: &File) -> io::Result<u64> {
    let mut bytes = 0;
    // SAFETY: The driver writes one number and keeps no pointer.
    unsafe { ioctl::u_dma_buf_bytes(node.as_raw_fd(), &mut bytes) }?;
    Ok(bytes)
}

/// Cleans the cache lines of the first `bytes` of a node of u-dma-buf.
pub(crate) fn u_dma_buf_for_device(node: &File, bytes: usize) -> io::Result<()> {
    const TO_DEVICE: u64 = 1;
    // SAFETY: The driver reads one number and keeps no pointer; cleaning changes no contents.
    unsafe { ioctl::u_dma_buf_for_device(node.as_raw_fd(), &u_dma_buf_range(bytes, TO_DEVICE)) }?;
    Ok(())
}

/// Invalidates the cache lines of the first `bytes` of a node of u-dma-buf, which nobody writes to.
pub(crate) fn u_dma_buf_for_cpu(node: &File, bytes: usize) -> io::Result<()> {
    const FROM_DEVICE: u64 = 2;
    // SAFETY: The driver reads one number and keeps no pointer. What it discards belongs to no reference.
    unsafe { ioctl::u_dma_buf_for_cpu(node.as_raw_fd(), &u_dma_buf_range(bytes, FROM_DEVICE)) }?;
    Ok(())
}

/// How u-dma-buf is told a range from offset 0 on, of whole cache lines, with a direction.
fn u_dma_buf_range(bytes: usize, direction: u64) -> u64 {
    bytes as u64 | direction << 2 | 1
}
