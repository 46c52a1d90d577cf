// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the guest tests share: raw ioctls, mappings, child processes, and the driver's debugfs files.
//!
//! The tests speak the ABI of `fpgamem-shared` directly, so they prove the driver and not the
//! library. Each program under `tests/` checks one ioctl or one behaviour. They need the device and
//! root, hence they are compiled for the guest's architecture only and run there with one test
//! thread: many of them count free blocks, and some fork.
//!
//! `unsafe` is in [`node`], [`mapping`], `access`, [`calls`], [`child`], [`dma_heap`] and
//! `steps`; the test programs forbid it.

#![deny(unsafe_code)]

pub mod accelerator;
#[expect(unsafe_code, reason = "loads and stores in mapped memory")]
mod access;
pub mod block_map;
#[expect(unsafe_code, reason = "system calls on mapped memory")]
pub mod calls;
pub mod cgroup;
#[expect(unsafe_code, reason = "fork, and files received from another process")]
pub mod child;
mod content;
pub mod debugfs;
#[expect(unsafe_code, reason = "a descriptor that the kernel made")]
pub mod dma_heap;
pub mod driver;
pub mod faults;
pub mod kernel_log;
#[expect(unsafe_code, reason = "mmap and its kin")]
pub mod mapping;
#[expect(unsafe_code, reason = "ioctl")]
pub mod node;
pub mod paddle;
pub mod page_faults;
pub mod pattern;
pub mod pointers;
pub mod processor;
pub mod quarantine;
pub mod replay;
pub mod scrub_map;
#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "an instruction that marks a place")]
pub mod steps;
pub mod user_limit;
pub mod zdma;

use std::io::Write;

pub use child::{in_child, Child, Exit, Link};
pub use debugfs::{Balance, Stats};
pub use fpgamem_shared::abi;
pub use mapping::Mapping;
pub use nix::errno::Errno;
pub use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};
pub use node::{request, Node};

/// Bytes of a page of the CPU's page tables; the driver's kernels use 4 KiB pages.
pub const PAGE: u64 = 4096;

/// Readable and writable: what most mappings want.
pub const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// Tells the host something about a test that passes, too. Ends the line that libtest has begun.
pub fn note(text: &str) {
    // Not by a macro, whose text would be kept from the host until the test fails.
    let text = format!("\n@@ note {text}\n");
    let written = std::io::stderr().write_all(text.as_bytes());
    written.expect("somebody reads it");
}

/// Calls `condition` until it is true, for at most ten seconds.
///
/// For effects that follow an event of another process a little later.
///
/// # Panics
///
/// After ten seconds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("ten seconds passed without: {what}");
}
