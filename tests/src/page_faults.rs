// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counting the page faults of a thread.

use nix::sys::resource::{getrusage, UsageWho};

/// Page faults of the calling thread while `work` runs.
///
/// # Panics
///
/// Where the kernel does not count them.
pub fn faults_in(work: impl Fn()) -> i64 {
    let faults = || {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("the call has no failure");
        usage.minor_page_faults() + usage.major_page_faults()
    };
    // Once without the work, so that the code and the stack of the count itself are there.
    faults();
    let before = faults();
    work();
    faults() - before
}
