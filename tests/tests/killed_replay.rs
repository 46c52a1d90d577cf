// SPDX-License-Identifier: MIT OR Apache-2.0

//! The replay of an inference engine's trace is killed in the middle of its work.
//!
//! `replay TRACE --stop-at N` stops itself with SIGSTOP at operation N, so that this process can
//! look at what the other one holds.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::debugfs::blocks_used;
use fpgamem_tests::pattern::Random;
use fpgamem_tests::Balance;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

/// In the search path of the guest.
const REPLAY: &str = "replay";
const TRACE: &str = "/data/resnet50.trace";

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(REPLAY);
    command
        .arg(TRACE)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
        .spawn()
        .unwrap_or_else(|error| panic!("{REPLAY}: {error}"))
}

/// Operations of the trace, and how many buffers live after each.
fn live_buffers() -> Vec<u64> {
    let text = std::fs::read_to_string(TRACE).unwrap_or_else(|error| panic!("{TRACE}: {error}"));
    let count = |live: &mut u64, line: &str| {
        match line.as_bytes()[0] {
            b'A' => *live += 1,
            b'F' => *live -= 1,
            _ => {}
        }
        Some(*live)
    };
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .scan(0, count)
        .collect()
}

/// Runs the replay to an operation, kills it there, and returns the blocks that it held.
fn kill_at(operation: u64) -> u64 {
    let balance = Balance::new();
    let mut child = start(&["--stop-at", &operation.to_string()]);
    let pid = Pid::from_raw(child.id().try_into().expect("process IDs are positive"));
    let status = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("the replay is our child");
    assert_eq!(
        status,
        WaitStatus::Stopped(pid, Signal::SIGSTOP),
        "at operation {operation}"
    );
    let held = blocks_used() - balance.blocks_used();
    kill(pid, Signal::SIGKILL).expect("the replay is our child");
    let status = child.wait().expect("the replay is our child");
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    balance.expect_held(0);
    held
}

#[test]
fn killed_at_any_operation_it_leaves_no_block() {
    let _balance = Balance::new();
    let live = live_buffers();
    let mut random = Random::new(2026);
    for _ in 0..5 {
        // Not at the very beginning or end, where it may hold nothing.
        let count = live.len() as u64;
        let operation = count / 20 + random.below(count * 9 / 10);
        assert!(live[usize::try_from(operation).unwrap()] > 0);
        assert!(
            kill_at(operation) > 0,
            "at operation {operation} it holds blocks"
        );
    }
}

#[test]
fn after_a_kill_it_runs_to_its_end() {
    let _balance = Balance::new();
    let operation = live_buffers().len() as u64 / 2;
    assert!(kill_at(operation) > 0);
    let status = start(&[]).wait().unwrap();
    assert!(status.success(), "{status}");
}
