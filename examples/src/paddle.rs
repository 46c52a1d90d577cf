// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers as the FPGA back ends of Paddle-Lite (family A) and paddle-mobile (family B) have them:
//! one mapping each, and cache maintenance by their own commands.

use fpgamem_shared::paddle_abi::{self as abi, CacheRange, VmToPhys};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut, Range};
use std::os::fd::AsRawFd;
use std::path::Path;

/// The two kinds of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Family {
    /// Paddle-Lite: user addresses, on a node of its own.
    A,
    /// paddle-mobile: distances in the region, on the native node.
    B,
}

impl Family {
    /// The node that clients of the family open.
    #[must_use]
    pub fn path(self) -> &'static Path {
        Path::new(match self {
            Self::A => "/dev/fpgadrv0",
            Self::B => "/dev/fpgamem0",
        })
    }
}

mod ioctl {
    use super::abi;
    nix::ioctl_readwrite_bad!(device_info, abi::A_DEVICE_INFO, abi::DeviceInfo);
    nix::ioctl_write_ptr_bad!(a_flush, abi::A_FLUSH, abi::CacheRange);
    nix::ioctl_write_ptr_bad!(a_invalidate, abi::A_INVALIDATE, abi::CacheRange);
    nix::ioctl_write_ptr_bad!(b_flush, abi::B_FLUSH, abi::CacheRange);
    nix::ioctl_write_ptr_bad!(b_invalidate, abi::B_INVALIDATE, abi::CacheRange);
    nix::ioctl_readwrite_bad!(vm_to_phys, abi::B_VM_TO_PHYS, abi::VmToPhys);
}

/// An open node.
#[derive(Debug)]
pub struct Client {
    family: Family,
    file: File,
    block_bytes: usize,
}

impl Client {
    /// Opens the node of a family, and asks about the device as that family does. The pool has blocks
    /// of `block_bytes`, of which neither family can ask.
    ///
    /// # Errors
    ///
    /// The pool does not serve Paddle's clients, or the caller must not use it.
    pub fn open(family: Family, block_bytes: usize) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(family.path())?;
        if family == Family::A {
            let mut info = abi::DeviceInfo::default();
            // SAFETY: The command writes the structure, which is valid for writes.
            unsafe { ioctl::device_info(file.as_raw_fd(), std::ptr::addr_of_mut!(info)) }?;
        }
        Ok(Self {
            family,
            file,
            block_bytes,
        })
    }

    /// Allocates a tensor.
    ///
    /// # Errors
    ///
    /// What the driver says; [`io::ErrorKind::OutOfMemory`] where no room is left.
    pub fn alloc(&self, len: NonZeroUsize) -> io::Result<Tensor> {
        let mut options = MmapOptions::new();
        options.len(len.get());
        if self.family == Family::B {
            options.offset(abi::B_BASE);
        }
        let memory = options.map_raw(&self.file)?;
        let capacity = len.get().next_multiple_of(self.block_bytes);
        let mut tensor = Tensor {
            memory,
            base: 0,
            capacity,
        };
        tensor.base = match self.family {
            Family::A => tensor.memory.as_ptr() as u64,
            Family::B => {
                let mut request = VmToPhys {
                    user_addr: tensor.memory.as_ptr() as u64,
                    phys_addr: 0,
                };
                // SAFETY: The command reads and writes the structure, which is valid for both.
                unsafe {
                    ioctl::vm_to_phys(self.file.as_raw_fd(), std::ptr::addr_of_mut!(request))
                }?;
                request.phys_addr.wrapping_sub(abi::B_BASE)
            }
        };
        Ok(tensor)
    }

    /// Cleans a range of a tensor.
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub fn flush(&self, tensor: &Tensor, range: &Range<usize>) -> io::Result<()> {
        let range = tensor.range(range);
        let file = self.file.as_raw_fd();
        let result = match self.family {
            // SAFETY: The command reads the structure, and cleaning changes no byte.
            Family::A => unsafe { ioctl::a_flush(file, std::ptr::addr_of!(range)) },
            // SAFETY: As above.
            Family::B => unsafe { ioctl::b_flush(file, std::ptr::addr_of!(range)) },
        };
        exactly_0(result)
    }

    /// Cleans and invalidates a range of a tensor.
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub fn invalidate(&self, tensor: &Tensor, range: &Range<usize>) -> io::Result<()> {
        let range = tensor.range(range);
        let file = self.file.as_raw_fd();
        let result = match self.family {
            // SAFETY: The command reads the structure; no device writes tensors of this program.
            Family::A => unsafe { ioctl::a_invalidate(file, std::ptr::addr_of!(range)) },
            // SAFETY: As above.
            Family::B => unsafe { ioctl::b_invalidate(file, std::ptr::addr_of!(range)) },
        };
        exactly_0(result)
    }
}

/// Some clients take anything but 0 for a failure.
fn exactly_0(result: nix::Result<i32>) -> io::Result<()> {
    match result? {
        0 => Ok(()),
        other => Err(io::Error::other(format!("the driver returned {other}"))),
    }
}

/// A buffer of a client; unmapping it frees it.
#[derive(Debug)]
pub struct Tensor {
    memory: MmapRaw,
    /// What the commands of the family call its first byte.
    base: u64,
    capacity: usize,
}

impl Tensor {
    /// Bytes of its blocks.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    fn range(&self, range: &Range<usize>) -> CacheRange {
        CacheRange {
            address: self.base.wrapping_add(range.start as u64),
            size: range.len() as u64,
        }
    }
}

impl Deref for Tensor {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let (start, len) = (self.memory.as_ptr(), self.memory.len());
        // SAFETY: The mapping is this tensor's alone, readable, and `len` bytes long; no device is
        // told of it.
        unsafe { std::slice::from_raw_parts(start, len) }
    }
}

impl DerefMut for Tensor {
    fn deref_mut(&mut self) -> &mut [u8] {
        let (start, len) = (self.memory.as_mut_ptr(), self.memory.len());
        // SAFETY: The mapping is this tensor's alone, writable, and `len` bytes long; no device is
        // told of it.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}
