// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to mapped memory, by copying only.
//!
//! Every function panics where the bytes it needs are not mapped.

use crate::mapping::{host_len, Mapping};
use nix::errno::Errno;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Barrier;

impl Mapping {
    /// Copies `bytes` to `offset`.
    pub fn write(&self, offset: u64, bytes: &[u8]) {
        let to = self.pointer(offset, bytes.len());
        // SAFETY: the mapped range is as long as `bytes`, which is private memory.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Fills `bytes` from `offset`.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) {
        let from = self.pointer(offset, bytes.len());
        // SAFETY: the mapped range is as long as `bytes`, which is private memory.
        unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) };
    }

    /// Sets every byte of `range` by one memset, which uses `DC ZVA` for zero.
    pub fn set(&self, range: Range<u64>, byte: u8) {
        let count = host_len(range.end - range.start);
        let to = self.pointer(range.start, count);
        // SAFETY: the range is mapped.
        unsafe { std::ptr::write_bytes(to, byte, count) };
    }

    /// One load of eight bytes, aligned or not.
    pub fn load(&self, offset: u64) -> u64 {
        let from = self.pointer(offset, 8).cast::<u64>();
        // SAFETY: the eight bytes are mapped.
        let value = unsafe { from.read_unaligned() };
        // So that a load whose value nobody wants is made, too.
        std::hint::black_box(value)
    }

    /// One store of eight bytes, aligned or not.
    pub fn store(&self, offset: u64, value: u64) {
        let to = self.pointer(offset, 8).cast::<u64>();
        // SAFETY: the eight bytes are mapped.
        unsafe { to.write_unaligned(value) };
    }

    /// Stores eight bytes at each of the offsets, which are multiples of 8, from as many threads at once,
    /// while this one does something else.
    pub fn store_from_threads(&self, offsets: &[u64], value: u64, meanwhile: impl FnOnce()) {
        struct Place(*mut u64);
        // SAFETY: the place is used by the one thread that it is given to, while the mapping is borrowed.
        unsafe impl Send for Place {}
        let place = |offset: &u64| {
            assert_eq!(offset % 8, 0, "places do not overlap");
            Place(self.pointer(*offset, 8).cast())
        };
        // To be woken takes longer than a fault: so all are awake first.
        let barrier = Barrier::new(offsets.len() + 1);
        let awake = AtomicUsize::new(0);
        let begin = || {
            barrier.wait();
            awake.fetch_add(1, Ordering::AcqRel);
            while awake.load(Ordering::Acquire) <= offsets.len() {
                std::hint::spin_loop();
            }
        };
        std::thread::scope(|scope| {
            for place in offsets.iter().map(place) {
                let begin = &begin;
                scope.spawn(move || {
                    let Place(to) = { place };
                    begin();
                    // SAFETY: the eight bytes are mapped and aligned.
                    unsafe { to.write_volatile(value) };
                });
            }
            begin();
            meanwhile();
        });
    }

    /// Loads a device register.
    pub fn load_register(&self, offset: u64) -> u32 {
        let from = self.pointer(offset, 4).cast::<u32>();
        assert!(from.is_aligned(), "registers are aligned");
        // SAFETY: the register is mapped and aligned.
        unsafe { from.read_volatile() }
    }

    /// Stores a device register.
    pub fn store_register(&self, offset: u64, value: u32) {
        let to = self.pointer(offset, 4).cast::<u32>();
        assert!(to.is_aligned(), "registers are aligned");
        // SAFETY: the register is mapped and aligned.
        unsafe { to.write_volatile(value) };
    }

    /// Reads from a file straight into the mapping.
    pub fn read_from(&self, file: impl AsFd, range: Range<u64>) -> Result<usize, Errno> {
        let count = host_len(range.end - range.start);
        let to = self.pointer(range.start, count).cast();
        // SAFETY: the range is mapped, and nothing refers to its memory.
        Errno::result(unsafe { libc::read(file.as_fd().as_raw_fd(), to, count) })
            .map(isize::unsigned_abs)
    }

    /// Writes straight from the mapping into a file.
    pub fn write_to(&self, file: impl AsFd, range: Range<u64>) -> Result<usize, Errno> {
        let count = host_len(range.end - range.start);
        let from = self.pointer(range.start, count).cast_const().cast();
        // SAFETY: the range is mapped.
        Errno::result(unsafe { libc::write(file.as_fd().as_raw_fd(), from, count) })
            .map(isize::unsigned_abs)
    }

    /// Asks the kernel to pin the pages of `range` for a pipe.
    pub fn vmsplice_to(&self, pipe: impl AsFd, range: Range<u64>) -> Result<usize, Errno> {
        let iov_len = host_len(range.end - range.start);
        let iov = libc::iovec {
            iov_base: self.pointer(range.start, iov_len).cast(),
            iov_len,
        };
        // SAFETY: the range is mapped; the pipe only reads it.
        Errno::result(unsafe { libc::vmsplice(pipe.as_fd().as_raw_fd(), &raw const iov, 1, 0) })
            .map(isize::unsigned_abs)
    }
}
