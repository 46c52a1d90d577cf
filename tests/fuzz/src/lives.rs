// SPDX-License-Identifier: MIT OR Apache-2.0

//! How workers come and go.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::message::{Action, Request, Socket};
use crate::model::Process;
use crate::{sys, worker};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::Pid;
use std::os::fd::AsRawFd;

/// Workers at most and at least.
const MOST: usize = 8;
const LEAST: usize = 2;

impl Fuzzer {
    fn next_process(&mut self) -> u32 {
        self.last_process += 1;
        self.last_process
    }

    /// A new worker, with an open file.
    pub(crate) fn start(&mut self) -> Step {
        if self.model.processes.len() >= MOST {
            return Ok(None);
        }
        let fail = |errno| format!("a new worker: {errno}");
        let (ours, theirs) = Socket::pair().map_err(fail)?;
        let Some(pid) = sys::fork_child().map_err(fail)? else {
            // The coordinator's.
            drop(self.trace.take());
            let status = worker::map_scratch();
            if status.is_err() {
                sys::exit(3);
            }
            worker::run(theirs)
        };
        let number = self.next_process();
        self.sockets.insert(number, ours);
        let process = Process {
            pid: u64::from(pid.as_raw().unsigned_abs()),
            ..Process::default()
        };
        self.model.processes.insert(number, process);
        self.open_in(number, false)?;
        Ok(Some(Ok(())))
    }

    /// A worker that is a copy of another one.
    pub(crate) fn fork(&mut self) -> Step {
        if self.model.processes.len() >= MOST {
            return Ok(None);
        }
        let parent = self.process();
        let fail = |errno| format!("fork: {errno}");
        let (ours, theirs) = Socket::pair().map_err(fail)?;
        let request = Request::new(Action::Fork, &[]);
        self.note(parent, request);
        let socket = &self.sockets[&parent];
        socket
            .send_request(&request, Some(theirs.as_raw_fd()))
            .map_err(fail)?;
        let (answer, _) = socket.receive_answer().map_err(fail)?;
        self.answered(answer.result);
        let pid = answer.result.map_err(fail)?;
        let child = self.next_process();
        self.sockets.insert(child, ours);
        self.model.forked(parent, child, pid);
        Ok(Some(Ok(())))
    }

    pub(crate) fn exit(&mut self) -> Step {
        self.end_one(false)
    }

    pub(crate) fn kill(&mut self) -> Step {
        self.end_one(true)
    }

    fn end_one(&mut self, by_signal: bool) -> Step {
        if self.model.processes.len() < LEAST {
            return Ok(None);
        }
        let process = self.process();
        self.end(process, by_signal)?;
        Ok(Some(Ok(())))
    }

    /// Ends a worker and waits until it is gone.
    pub(crate) fn end(&mut self, process: u32, by_signal: bool) -> Result<(), String> {
        let pid = i32::try_from(self.model.processes[&process].pid).map_err(|e| e.to_string())?;
        let pid = Pid::from_raw(pid);
        let status = i32::try_from(self.random.below(4)).unwrap_or(0);
        let expected = if by_signal {
            kill(pid, Signal::SIGKILL).map_err(|errno| format!("kill: {errno}"))?;
            WaitStatus::Signaled(pid, Signal::SIGKILL, false)
        } else {
            let request = Request::new(Action::Exit, &[u64::from(status.unsigned_abs())]);
            self.note(process, request);
            let sent = self.sockets[&process].send_request(&request, None);
            sent.map_err(|errno| format!("exit: {errno}"))?;
            WaitStatus::Exited(pid, status)
        };
        same("the end of a worker", Ok(expected), waitpid(pid, None))?;
        self.sockets.remove(&process);
        self.model.ended(process, by_signal);
        Ok(())
    }
}
