// SPDX-License-Identifier: MIT OR Apache-2.0

//! Clients of Paddle's nodes that are programs of their own: `replay --paddle` does what a trace says
//! and checks every byte of every tensor.

use crate::debugfs::blocks_used;
use crate::paddle::Family;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

/// Starts a client that replays a trace, and says on its output how that went.
///
/// # Panics
///
/// Where the program is missing.
pub fn start(family: Family, trace: &str, options: &[&str]) -> Child {
    let family = match family {
        Family::A => "a",
        Family::B => "b",
    };
    Command::new("replay")
        .args(["--json", "--paddle", family, trace])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the replay is in the search path")
}

/// Waits for a client, which must have done all of its trace and found every byte right, and gives its
/// report. `alone` says that it must have found every block free again, too: those that others take
/// look like lost ones.
///
/// # Panics
///
/// Where something was wrong.
pub fn expect_right(client: Child, trace: &str, alone: bool) -> String {
    let output = client.wait_with_output().expect("the client is our child");
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = std::fs::read_to_string(trace).expect("the trace is in the guest");
    let operations = text.lines().filter(|line| !line.starts_with('#')).count();
    for expected in [
        format!("\"operations\":{operations},"),
        "\"not_freed\":0,".into(),
        "\"failures\":0,".into(),
    ] {
        assert!(report.contains(&expected), "{expected} is not in {report}");
    }
    let lost = output.status.code() == Some(1);
    assert!(output.status.success() || (lost && !alone), "{report}");
    report
}

/// Waits until a client stops itself, kills it there, and gives the blocks in use before.
///
/// # Panics
///
/// Where it ends in another way.
pub fn kill_when_stopped(mut client: Child) -> u64 {
    let pid = Pid::from_raw(client.id().try_into().expect("process IDs are positive"));
    let status = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("the client is our child");
    assert_eq!(status, WaitStatus::Stopped(pid, Signal::SIGSTOP));
    let held = blocks_used();
    kill(pid, Signal::SIGKILL).expect("the client is our child");
    let status = client.wait().expect("the client is our child");
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    held
}
