// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory of the kernel's dma-heaps, which is not the driver's.

use crate::{MapFlags, Mapping, Node, PAGE, READ_WRITE};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// `DMA_HEAP_IOCTL_ALLOC` of `<linux/dma-heap.h>`: a length of 64 bits, the descriptor and its flags
/// of 32 bits each, and flags of the heap of 64 bits.
const ALLOC: u32 = 0xc018_4800;

/// Maps a new buffer of `len` bytes of the system heap.
///
/// # Panics
///
/// Where the kernel has no such heap, or it no memory.
pub fn map(len: u64) -> Mapping {
    let heap = Node::open_path("/dev/dma_heap/system");
    let argument = Mapping::anonymous(PAGE, READ_WRITE);
    argument.store(0, len);
    argument.store(8, (libc::O_RDWR | libc::O_CLOEXEC).cast_unsigned().into());
    argument.store(8, argument.load(8) << 32);
    heap.command_at(ALLOC, &argument, 0)
        .expect("the heap has memory");
    let descriptor = RawFd::try_from(argument.load(8) & 0xffff_ffff).expect("it is small");
    // SAFETY: the kernel has just made the descriptor for us, and nobody else knows it.
    let buffer = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Mapping::of(&buffer, len, READ_WRITE, MapFlags::MAP_SHARED, 0).expect("a buffer can be mapped")
}
