// SPDX-License-Identifier: MIT OR Apache-2.0

//! Allocations and copies of the kernel that fail at a wanted place.
//!
//! `/proc/thread-self/fail-nth` makes the n-th such place fail that the calling thread reaches from
//! then on. Calling something with n = 1, 2, 3, … until it gets through without a fault tries every
//! place once. Needs a kernel with CONFIG_FAULT_INJECTION.

use crate::debugfs::Stats;
use crate::{request, Errno, Node, PAGE};
use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How often [`Faults::at_each_place`] goes through a call. An allocation may have to make its cache
/// grow, which is a place that the next call lacks: then one place is missed.
pub const SWEEPS: u32 = 3;

/// A length whose mapping needs page tables of its own.
pub const LARGE: u64 = 4 << 20;

/// A check for after each call that fails if anything is in use that was not `before`.
pub fn nothing_is_left_of(before: Stats) -> impl FnMut(Option<Errno>) {
    move |_| {
        let now = Stats::read();
        assert_eq!(
            (now.blocks_used, now.blocks_free, now.buffers),
            (before.blocks_used, before.blocks_free, before.buffers)
        );
    }
}

/// The same, and allocates a buffer of `other` each time, which stays: the driver keeps the memory of the last
/// record that went for the next one, and this uses it up, lest the next call has a place less.
///
/// # Panics
///
/// Where there is no room for the buffer.
pub fn nothing_is_left_and_no_spare(other: &Node) -> impl FnMut(Option<Errno>) + '_ {
    let use_up = || other.alloc(request(PAGE)).map(drop).expect("there is room");
    use_up();
    let mut before = Stats::read();
    move |errno| {
        nothing_is_left_of(before)(errno);
        use_up();
        before = Stats::read();
    }
}

/// The kernel's error in one of the standard library's.
///
/// # Panics
///
/// Where it comes from elsewhere.
pub fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().expect("the kernel's error"))
}

/// More places than any call here has.
const LIMIT: u32 = 20_000;

/// A function of the kernel that warns if one of its allocations fails: it describes the fields of a
/// module's trace events.
const WARNS: &str = "event_define_fields";

/// The addresses of a function of the kernel, from `/proc/kallsyms`.
fn addresses_of(function: &str) -> Range<u64> {
    let text = fs::read_to_string("/proc/kallsyms").expect("the kernel names its functions");
    let symbols = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        Some((address, words.nth(1)?))
    });
    let symbols: Vec<_> = symbols.collect();
    let named = symbols.iter().find(|(_, name)| *name == function);
    let start = named.unwrap_or_else(|| panic!("there is no {function}")).0;
    let later = symbols.iter().map(|(address, _)| *address);
    let end = later.filter(|&address| address > start).min();
    start..end.expect("it is not the last function")
}

/// Makes places fail for one thread.
#[derive(Debug)]
pub struct Faults {
    nth: File,
}

/// How often a call failed, and how.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Failures with `ENOMEM`.
    pub no_memory: u32,
    /// Failures with `EFAULT`.
    pub bad_copy: u32,
    /// Faults that the call did without.
    pub tolerated: u32,
}

impl Faults {
    /// Prepares the calling thread, which alone may use the result.
    ///
    /// # Panics
    ///
    /// Where the kernel cannot inject faults.
    #[expect(clippy::new_without_default, reason = "it writes files")]
    pub fn new() -> Self {
        let warns = addresses_of(WARNS);
        for kind in ["failslab", "fail_page_alloc", "fail_usercopy"] {
            let folder = Path::new("/sys/kernel/debug").join(kind);
            let set = |name: &str, value: &str| {
                let path = folder.join(name);
                fs::write(&path, value).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            };
            // Else each fault prints a call trace.
            set("verbose", "0");
            // Whose warnings are none of the driver's.
            set("reject-start", &format!("{:#x}", warns.start));
            set("reject-end", &format!("{:#x}", warns.end));
            if kind != "fail_usercopy" {
                // Allocations that may sleep are to fail too, which all of the driver's are.
                set("ignore-gfp-wait", "N");
            }
            if kind == "fail_page_alloc" {
                set("ignore-gfp-highmem", "N");
                set("min-order", "0");
            }
        }
        let nth = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/proc/thread-self/fail-nth")
            .expect("the kernel injects faults");
        Self { nth }
    }

    /// Calls `call` until it gets through without a fault, with a fault at another place each time,
    /// and all that [`SWEEPS`] times.
    ///
    /// `after` runs after each call with a fault, and checks that nothing is left of one that failed,
    /// for which it gets the error.
    ///
    /// # Panics
    ///
    /// Where a call fails without a fault, or with another error than `ENOMEM` and `EFAULT`.
    pub fn at_each_place<T>(
        &self,
        mut call: impl FnMut() -> Result<T, Errno>,
        mut after: impl FnMut(Option<Errno>),
    ) -> Tally {
        let mut sum = Tally::default();
        for _ in 0..SWEEPS {
            let tally = self.sweep(&mut call, &mut after);
            sum.no_memory += tally.no_memory;
            sum.bad_copy += tally.bad_copy;
            sum.tolerated += tally.tolerated;
        }
        sum
    }

    /// As [`at_each_place`](Self::at_each_place), once.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn sweep<T>(
        &self,
        mut call: impl FnMut() -> Result<T, Errno>,
        mut after: impl FnMut(Option<Errno>),
    ) -> Tally {
        let mut tally = Tally::default();
        for nth in 1..LIMIT {
            let (result, injected) = self.at_place(nth, &mut call);
            match result {
                Ok(_) if !injected => return tally,
                Ok(value) => {
                    tally.tolerated += 1;
                    drop(value);
                    after(None);
                }
                Err(errno) => {
                    assert!(injected, "{errno} without a fault, at place {nth}");
                    match errno {
                        Errno::ENOMEM => tally.no_memory += 1,
                        Errno::EFAULT => tally.bad_copy += 1,
                        _ => panic!("{errno} after the fault at place {nth}"),
                    }
                    after(Some(errno));
                }
            }
        }
        panic!("the call has {LIMIT} places that can fail");
    }

    /// How many places a call goes through, about.
    ///
    /// # Panics
    ///
    /// Where it has more than can be counted, or the call fails.
    pub fn places_of(&self, call: impl FnOnce() -> Result<(), Errno>) -> u32 {
        self.arm(LIMIT);
        let result = call();
        let mut text = [0; 16];
        let len = self.nth.read_at(&mut text, 0);
        self.disarm();
        result.expect("there is no fault");
        let text = String::from_utf8_lossy(&text[..len.expect("fail-nth is readable")]);
        let left: u32 = text.trim().parse().expect("it is a number");
        assert_ne!(left, 0, "the call has {LIMIT} places that can fail");
        LIMIT - left
    }

    /// Makes the `nth` place of a call fail. Gives its result, and whether the fault happened.
    pub fn at_place<T>(
        &self,
        nth: u32,
        call: impl FnOnce() -> Result<T, Errno>,
    ) -> (Result<T, Errno>, bool) {
        self.arm(nth);
        let result = call();
        (result, self.disarm())
    }

    fn arm(&self, nth: u32) {
        let text = nth.to_string();
        self.nth
            .write_all_at(text.as_bytes(), 0)
            .expect("fail-nth is writable");
    }

    /// Whether the fault happened; there will be none any more.
    fn disarm(&self) -> bool {
        let mut text = [0; 16];
        // A fault that has not happened yet may happen to the copies of this read and this write.
        let injected = match self.nth.read_at(&mut text, 0) {
            Ok(len) => text[..len].starts_with(b"0"),
            Err(_) => false,
        };
        let written = self.nth.write_all_at(b"0", 0);
        written
            .or_else(|_| self.nth.write_all_at(b"0", 0))
            .expect("fail-nth is writable");
        injected
    }
}
