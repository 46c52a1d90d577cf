// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which process this is, asked without a system call.
//!
//! A page that the kernel clears in forked children (`MADV_WIPEONFORK`) holds a number. A process
//! that finds 0 there is a child that has not asked before, and takes the next number.

use nix::sys::mman::{madvise, MmapAdvise};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;

/// Bit of the numbers that are derived from process IDs, where there is no such page.
const BY_PROCESS_ID: u64 = 1 << 63;

/// The next number; a child starts from where its parent was, so no ancestor has it.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Stands in for the word where the kernel clears none: it is no process's number.
static NO_WORD: AtomicU64 = AtomicU64::new(0);

/// A process, told apart from every one that it was forked from.
///
/// For what is built on buffers and may be inherited by a child, where it must not be used. To compare
/// takes no system call and no lock, so the answer can be had in a child whose parent held one.
///
/// ```
/// let creator = fpgamem::Process::current();
/// // Later, perhaps after a fork:
/// assert_eq!(creator, fpgamem::Process::current());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// INVARIANT: Another number than that of any of its ancestors, never 0.
    number: u64,
    /// What holds the number in this process and in none of its children; [`NO_WORD`] where nothing does.
    word: &'static AtomicU64,
}

impl Process {
    /// This one.
    #[must_use]
    pub fn current() -> Self {
        static WORD: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();
        match WORD.get_or_init(wiped_on_fork) {
            Some(word) => Self {
                number: number_in(word),
                word,
            },
            None => Self {
                number: u64::from(std::process::id()) | BY_PROCESS_ID,
                word: &NO_WORD,
            },
        }
    }

    /// Whether it is certainly this one. False means nothing where the kernel clears no word.
    #[inline]
    pub(crate) fn is_surely_current(self) -> bool {
        self.word.load(Ordering::Relaxed) == self.number
    }

    /// Whether it is this one.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        self.is_surely_current() || self.is_current_now()
    }

    #[cold]
    #[inline(never)]
    fn is_current_now(self) -> bool {
        self == Self::current()
    }

    /// Another one than any.
    #[cfg(test)]
    pub(crate) fn other() -> Self {
        Self {
            number: u64::MAX,
            word: &NO_WORD,
        }
    }
}

impl PartialEq for Process {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Process {}

/// The number that the word holds, which is given one if it has none.
fn number_in(word: &AtomicU64) -> u64 {
    match word.load(Ordering::Relaxed) {
        0 => {
            let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
            let first = word.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed);
            first.map_or_else(|other_thread| other_thread, |_| fresh)
        }
        number => number,
    }
}

/// A word that is 0 in every new child; `None` where the kernel cannot do that.
fn wiped_on_fork() -> Option<&'static AtomicU64> {
    if cfg!(miri) {
        return None;
    }
    let mut page = memmap2::MmapMut::map_anon(1).ok()?;
    let start = NonNull::new(page.as_mut_ptr())?;
    // SAFETY: The page is anonymous memory of our own and still all zeroes, so that clearing it in
    // children takes nothing from anybody; the kernel rounds the length up to the page.
    unsafe { madvise(start.cast(), 1, MmapAdvise::MADV_WIPEONFORK) }.ok()?;
    // It stays mapped for the life of the process.
    std::mem::forget(page);
    // SAFETY: The page is aligned, larger than the word and never unmapped, and nobody else has its
    // address. The kernel changes it in children before they run.
    Some(unsafe { AtomicU64::from_ptr(start.as_ptr().cast()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_the_same_at_every_time_and_in_every_thread() {
        let here = Process::current();
        let there = std::thread::spawn(Process::current).join().unwrap();
        assert_eq!((here, here), (Process::current(), there));
        assert!(here.is_current() && !Process::other().is_current());
    }

    #[test]
    fn a_process_whose_word_is_cleared_is_another_one() {
        static WORD: AtomicU64 = AtomicU64::new(0);
        let number = number_in(&WORD);
        let parent = Process {
            number,
            word: &WORD,
        };
        assert!(parent.is_surely_current());
        WORD.store(0, Ordering::Relaxed);
        assert!(!parent.is_surely_current() && !parent.is_current());
    }

    #[test]
    fn a_cleared_word_gets_another_number() {
        let word = AtomicU64::new(0);
        let first = number_in(&word);
        assert_eq!(number_in(&word), first);
        word.store(0, Ordering::Relaxed);
        let second = number_in(&word);
        assert!(first != 0 && second > first);
    }

    #[test]
    #[cfg(not(miri))]
    fn the_kernel_clears_the_word_in_children() {
        assert!(wiped_on_fork().is_some());
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let flags = smaps.lines().filter(|line| line.starts_with("VmFlags:"));
        assert!(flags.into_iter().any(|line| line.contains(" wf")));
    }
}
