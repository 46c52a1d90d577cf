// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which processor runs what.

use nix::sched::{sched_getaffinity, sched_setaffinity, CpuSet};
use nix::unistd::Pid;
use std::fs;

/// Keeps the calling thread and one of the kernel's on one processor, so that the kernel's thread stands still
/// where it is while the caller runs, if that one yields to it.
#[derive(Debug)]
#[must_use = "the threads may go where they were allowed to on drop"]
pub struct SharedProcessor(Vec<(Pid, CpuSet)>);

impl SharedProcessor {
    /// With the kernel's thread of that name.
    ///
    /// # Panics
    ///
    /// Where there is no such thread, or it is one that has to stay where it is.
    pub fn with(name: &str) -> Self {
        let this = Pid::from_raw(0);
        let mut one = CpuSet::new();
        one.set(0).expect("there is a first processor");
        let before = [this, pid_of(name)].map(|thread| {
            let set = sched_getaffinity(thread).expect("the thread exists");
            sched_setaffinity(thread, &one).expect("root may move it");
            (thread, set)
        });
        Self(before.into())
    }
}

impl Drop for SharedProcessor {
    fn drop(&mut self) {
        for (thread, set) in &self.0 {
            let result = sched_setaffinity(*thread, set);
            assert!(std::thread::panicking() || result.is_ok(), "{result:?}");
        }
    }
}

/// The process of that name, of at most 15 bytes.
fn pid_of(name: &str) -> Pid {
    let processes = fs::read_dir("/proc").expect("proc is mounted");
    let mut numbers = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let of_that_name = |number: &i32| {
        // Others may end meanwhile.
        let comm = fs::read_to_string(format!("/proc/{number}/comm"));
        comm.is_ok_and(|comm| comm.trim_end() == name)
    };
    let number = numbers.find(of_that_name);
    Pid::from_raw(number.unwrap_or_else(|| panic!("there is no process {name:?}")))
}
