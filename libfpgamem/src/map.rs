// SPDX-License-Identifier: MIT OR Apache-2.0

//! One mapping of one buffer, unmapped when it is dropped by the process that made it.

use crate::fork::Process;
#[cfg(not(miri))]
use memmap2::{Advice, MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

#[cfg(not(miri))]
type Raw = MmapRaw;
#[cfg(miri)]
type Raw = heap::Raw;

/// Bytes of a huge page: one of the second-lowest level, with pages of 4 KiB.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A shared, writable mapping that forked children do not inherit.
///
/// It hands out a raw pointer and never a reference: whether anybody but this process accesses the
/// memory is for the owner of the mapping to know.
#[derive(Debug)]
pub(crate) struct Map {
    raw: ManuallyDrop<Raw>,
    /// The process that has the mapping, by its number and by its ID.
    process: Process,
    pid: u32,
    /// The mapping is to outlive this value, to the end of the process.
    forever: AtomicBool,
}

impl Map {
    /// Maps `len` bytes of `file` from `offset` on.
    #[cfg(not(miri))]
    pub(crate) fn new(file: &File, offset: u64, len: usize) -> io::Result<Self> {
        let raw = MmapOptions::new().offset(offset).len(len).map_raw(file)?;
        raw.advise(Advice::DontFork)?;
        Ok(Self::of(raw))
    }

    /// Miri has no shared mappings.
    #[cfg(miri)]
    pub(crate) fn new(_: &File, _: u64, _: usize) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// `len` bytes, all 0, that nothing is mapped from.
    #[cfg(miri)]
    pub(crate) fn on_heap(len: usize) -> Self {
        Self::of(heap::Raw::new(len))
    }

    fn of(raw: Raw) -> Self {
        Self {
            raw: ManuallyDrop::new(raw),
            process: Process::current(),
            pid: std::process::id(),
            forever: AtomicBool::new(false),
        }
    }

    /// First byte; valid for reads and writes of `len()` bytes while the value lives, in the
    /// process that made the mapping.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.raw.as_mut_ptr()
    }

    /// Stores a 32-bit word, which others may read and write at the same time. False, and nothing
    /// happens, if the mapping has no such word, or this process not the mapping: something else may
    /// be mapped at its place in a forked child.
    pub(crate) fn store_word(&self, index: usize, value: u32) -> bool {
        if index >= self.len() / 4 || self.is_forked() {
            return false;
        }
        // SAFETY: The word lies in the mapping: the index has just been checked.
        let word = unsafe { self.as_ptr().cast::<u32>().add(index) };
        // SAFETY: It is aligned, because mappings are aligned to pages, and valid while `self`
        // lives, in this process, which made the mapping. Whoever else accesses it does so by single
        // loads and stores.
        let word = unsafe { AtomicU32::from_ptr(word) };
        word.store(value, Ordering::SeqCst);
        true
    }

    /// Has every page entered into the page table: the driver enters huge pages at the first access
    /// to one, and cache maintenance would be that access, page by page.
    pub(crate) fn touch(&self) {
        for offset in (0..self.len()).step_by(HUGE_PAGE_BYTES) {
            // SAFETY: The byte is inside the mapping, which is valid for reads, and what it holds is
            // not used.
            let _ = unsafe { self.as_ptr().wrapping_add(offset).read_volatile() };
        }
    }

    /// Clears all of the memory, which nobody else has yet.
    pub(crate) fn clear(&mut self) {
        // SAFETY: The mapping is valid for `len()` bytes, and nobody has a reference to any of them:
        // the value is borrowed mutably and hands out pointers only.
        unsafe { self.as_ptr().write_bytes(0, self.len()) };
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether the mapping is certainly this process's; see [`Process::is_surely_current`].
    #[inline]
    pub(crate) fn is_surely_here(&self) -> bool {
        self.process.is_surely_current()
    }

    /// Whether this process is a forked child of the one that made the mapping, and so has none.
    pub(crate) fn is_forked(&self) -> bool {
        !self.process.is_current()
    }

    /// The IDs of the process that made the mapping and of this one.
    pub(crate) fn owner_and_this(&self) -> (u32, u32) {
        (self.pid, std::process::id())
    }

    /// The process that made the mapping.
    pub(crate) fn process(&self) -> Process {
        self.process
    }

    /// Leaves the memory mapped when the value is dropped.
    pub(crate) fn keep_forever(&self) {
        self.forever.store(true, Ordering::Relaxed);
    }

    /// Whether the memory stays mapped when the value is dropped.
    pub(crate) fn is_kept_forever(&self) -> bool {
        self.forever.load(Ordering::Relaxed)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // In a forked child the range is not mapped, or another mapping lies there by now.
        if self.is_kept_forever() || self.is_forked() {
            return;
        }
        // SAFETY: This is the only place that drops `raw`, and nothing uses it afterwards.
        unsafe { ManuallyDrop::drop(&mut self.raw) };
    }
}

#[cfg(miri)]
mod heap {
    //! Memory that stands for a mapping.

    use std::alloc::{alloc_zeroed, dealloc, handle_alloc_error, Layout};

    /// Whole pages of zeroes.
    #[derive(Debug)]
    pub(super) struct Raw {
        start: *mut u8,
        layout: Layout,
    }

    // SAFETY: The memory belongs to the process, not to a thread.
    unsafe impl Send for Raw {}
    // SAFETY: As above; a shared value only tells the pointer.
    unsafe impl Sync for Raw {}

    impl Raw {
        pub(super) fn new(len: usize) -> Self {
            let layout = Layout::from_size_align(len.max(1), 4096).expect("the length is sane");
            // SAFETY: The layout has at least one byte.
            let start = unsafe { alloc_zeroed(layout) };
            if start.is_null() {
                handle_alloc_error(layout);
            }
            Self { start, layout }
        }

        pub(super) fn as_mut_ptr(&self) -> *mut u8 {
            self.start
        }

        pub(super) fn len(&self) -> usize {
            self.layout.size()
        }
    }

    impl Drop for Raw {
        fn drop(&mut self) {
            // SAFETY: The memory was allocated with this layout, and nobody uses it any more.
            unsafe { dealloc(self.start, self.layout) };
        }
    }
}

#[cfg(test)]
#[cfg(not(miri))]
pub(crate) mod tests {
    use super::*;

    /// A mapping of two pages of a temporary file of that name, which is gone already.
    pub(crate) fn map(name: &str) -> Map {
        let path = std::env::temp_dir().join(unique(name));
        let mut options = std::fs::OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        file.set_len(8192).unwrap();
        Map::new(&file, 0, 8192).unwrap()
    }

    #[test]
    fn a_forked_child_stores_no_word() {
        let mut map = map("word");
        assert!(map.store_word(2047, 7));
        assert!(!map.store_word(2048, 7), "beyond the end");
        map.process = Process::other();
        assert!(!map.store_word(2047, 8), "the child has no mapping");
        map.process = Process::current();
        let stored = map.as_ptr().cast::<u32>().wrapping_add(2047);
        // SAFETY: The word is in the mapping, which is this process's.
        assert_eq!(unsafe { stored.read_volatile() }, 7);
    }

    /// A file name that no other test and no other process uses.
    fn unique(name: &str) -> String {
        format!("fpgamem-map-{}-{name}", std::process::id())
    }

    /// What the kernel says about the mapping of the file of that name, if there is one. The address
    /// would not do: another test may map there next.
    fn smaps(name: &str) -> Option<String> {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let name = unique(name);
        let mut lines = smaps.lines().skip_while(|line| !line.contains(&name));
        lines
            .find(|line| line.starts_with("VmFlags:"))
            .map(str::to_owned)
    }

    #[test]
    fn unmaps_when_dropped() {
        let map = map("drop");
        assert!(smaps("drop").is_some());
        drop(map);
        assert_eq!(smaps("drop"), None);
    }

    #[test]
    fn stays_mapped_when_kept_forever() {
        let map = map("forever");
        map.keep_forever();
        drop(map);
        assert!(smaps("forever").is_some());
    }

    #[test]
    fn leaves_the_range_alone_when_another_process_mapped_it() {
        let mut map = map("forked");
        map.process = Process::other();
        map.pid += 1;
        assert!(map.is_forked());
        assert_eq!(map.owner_and_this(), (map.pid, std::process::id()));
        drop(map);
        assert!(smaps("forked").is_some());
    }

    #[test]
    fn is_not_inherited_by_children() {
        let _map = map("dontfork");
        let flags = smaps("dontfork").unwrap();
        assert!(flags.split_whitespace().any(|flag| flag == "dc"), "{flags}");
    }
}
