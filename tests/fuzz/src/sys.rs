// SPDX-License-Identifier: MIT OR Apache-2.0

//! System calls and memory accesses that are named by numbers.
//!
//! A worker's own memory lies outside [`ARENA`], [`OTHERS`], the scratch page and the areas for coverage; only
//! addresses there are named, or such as are not mapped. So nothing here touches memory that Rust
//! knows of.

use nix::errno::Errno;
use nix::unistd::{fork, ForkResult, Pid};
use std::ffi::c_long;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Where the mappings of the pool lie in every worker.
pub(crate) const ARENA: u64 = 0x10_0000_0000;

/// Bytes of the arena.
pub(crate) const ARENA_BYTES: u64 = 4 << 30;

/// The page for arguments of ioctls. What lies after it is never mapped.
pub(crate) const SCRATCH: u64 = 0x8_0000_0000;

/// Where status areas and registers lie in every worker.
pub(crate) const OTHERS: u64 = 0x18_0000_0000;

/// What of the driver's code was reached, see [`crate::coverage`].
pub(crate) const REACHED: u64 = 0x9_0000_0000;

/// Bytes of that: a word for each instruction of 512 KiB of code.
pub(crate) const REACHED_BYTES: u64 = 1 << 20;

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;

fn pointer(address: u64) -> *mut u64 {
    let address = usize::try_from(address).expect("addresses are words");
    std::ptr::with_exposed_provenance_mut(address)
}

/// A system call; numbers of a C type that is narrower are cut.
pub(crate) fn syscall(number: u64, args: [u64; 6]) -> Result<u64, Errno> {
    let number = c_long::try_from(number).map_err(|_| Errno::ENOSYS)?;
    let [a, b, c, d, e, f] = args;
    // SAFETY: the calls that the coordinator names change descriptors of the node, the arena and
    // the scratch page only, see above.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    Errno::result(result).map(i64::cast_unsigned)
}

/// Maps memory that can be read and written, at a place of the kernel's choice if `address` is 0.
pub(crate) fn map(address: u64, len: u64, flags: i32, file: u64) -> Result<u64, Errno> {
    let protection = (libc::PROT_READ | libc::PROT_WRITE).unsigned_abs().into();
    let args = [
        address,
        len,
        protection,
        flags.unsigned_abs().into(),
        file,
        0,
    ];
    syscall(libc::SYS_mmap.unsigned_abs(), args)
}

/// Loads a word, aligned.
pub(crate) fn load(address: u64) -> u64 {
    // SAFETY: in one of the places that are named above; where it is not mapped, the worker dies of a signal.
    unsafe { pointer(address).read_volatile() }
}

/// Stores a word, aligned.
pub(crate) fn store(address: u64, value: u64) {
    // SAFETY: as for `load`.
    unsafe { pointer(address).write_volatile(value) }
}

/// Copies this process; the copy becomes a child of this one's parent. Nothing in the child.
pub(crate) fn fork_sibling() -> Result<Option<u64>, Errno> {
    let flags = c_long::from(libc::CLONE_PARENT | libc::SIGCHLD);
    // SAFETY: the worker has one thread at this moment, so the copy is whole; it has no new stack.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    let pid = Errno::result(result)?.unsigned_abs();
    Ok((pid != 0).then_some(pid))
}

/// Copies this process. Nothing in the child.
pub(crate) fn fork_child() -> Result<Option<Pid>, Errno> {
    // SAFETY: the coordinator has one thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// The kernel kills this process when its parent ends.
pub(crate) fn end_with_parent() {
    // SAFETY: the call reads nothing but its numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Ends at once.
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: nothing has to be tidied up.
    unsafe { libc::_exit(status) }
}

/// Owns a descriptor that a message brought.
pub(crate) fn received(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for this message, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}
