// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opening, duplicating, passing and closing files.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::message::{Action, Request};
use fpgamem_tests::Errno;
use std::os::fd::AsRawFd;

/// Descriptors of the node that a worker has at most.
const DESCRIPTORS: usize = 6;

impl Fuzzer {
    fn has_room(&self, process: u32) -> bool {
        self.model.processes[&process].descriptors.len() < DESCRIPTORS
    }

    fn enter(&mut self, process: u32, descriptor: u64, file: u32) {
        if let Some(process) = self.model.processes.get_mut(&process) {
            process.descriptors.push((descriptor, file));
        }
    }

    pub(crate) fn open(&mut self) -> Step {
        let process = self.process();
        if !self.has_room(process) {
            return Ok(None);
        }
        self.open_in(process, false)?;
        Ok(Some(Ok(())))
    }

    pub(crate) fn open_paddle(&mut self) -> Step {
        let process = self.process();
        if !self.has_room(process) {
            return Ok(None);
        }
        self.open_in(process, true)?;
        Ok(Some(Ok(())))
    }

    /// Opens a node in a worker.
    pub(crate) fn open_in(&mut self, process: u32, paddle: bool) -> Result<(), String> {
        let read_only = self.chance(10);
        let request = Request::new(Action::Open, &[read_only.into(), paddle.into()]);
        let answer = self.call(process, request)?;
        let descriptor = answer.result.map_err(|errno| format!("open: {errno}"))?;
        let file = self.model.opened(read_only, paddle);
        self.enter(process, descriptor, file);
        Ok(())
    }

    pub(crate) fn duplicate(&mut self) -> Step {
        let Some((process, descriptor, file)) = self.any_descriptor() else {
            return Ok(None);
        };
        if !self.has_room(process) {
            return Ok(None);
        }
        let result = self.syscall(process, libc::SYS_dup, &[descriptor])?;
        let new = result.map_err(|errno| format!("dup: {errno}"))?;
        self.model.hold(file);
        self.enter(process, new, file);
        Ok(Some(Ok(())))
    }

    pub(crate) fn close(&mut self) -> Step {
        if self.chance(5) {
            let process = self.process();
            let result = self.syscall(process, libc::SYS_close, &[1000])?;
            same("close of nothing", Err(Errno::EBADF), result)?;
            return Ok(Some(Err(Errno::EBADF)));
        }
        let Some((process, descriptor, file)) = self.any_descriptor() else {
            return Ok(None);
        };
        let result = self.syscall(process, libc::SYS_close, &[descriptor])?;
        same("close", Ok(0), result)?;
        if let Some(process) = self.model.processes.get_mut(&process) {
            process
                .descriptors
                .retain(|(number, _)| *number != descriptor);
        }
        self.model.release(file);
        Ok(Some(Ok(())))
    }

    /// A worker gets a file of another one.
    pub(crate) fn pass(&mut self) -> Step {
        let Some((from, descriptor, file)) = self.any_descriptor() else {
            return Ok(None);
        };
        let to = self.process();
        if !self.has_room(to) {
            return Ok(None);
        }
        let gone = |errno| format!("the worker is gone ({errno})");
        let give = Request::new(Action::Give, &[descriptor]);
        self.note(from, give);
        self.sockets[&from]
            .send_request(&give, None)
            .map_err(gone)?;
        let (_, passed) = self.sockets[&from].receive_answer().map_err(gone)?;
        let passed = passed.ok_or("no file came")?;
        let take = Request::new(Action::Take, &[]);
        self.note(to, take);
        let raw = Some(passed.as_raw_fd());
        self.sockets[&to].send_request(&take, raw).map_err(gone)?;
        let (answer, _) = self.sockets[&to].receive_answer().map_err(gone)?;
        self.answered(answer.result);
        drop(passed);
        let new = answer.result.map_err(|errno| format!("pass: {errno}"))?;
        self.model.hold(file);
        self.enter(to, new, file);
        Ok(Some(Ok(())))
    }

    pub(crate) fn fdinfo(&mut self) -> Step {
        let Some((process, descriptor, file)) = self.any_descriptor() else {
            return Ok(None);
        };
        let answer = self.call(process, Request::new(Action::Fdinfo, &[descriptor]))?;
        same("fdinfo", Ok(0), answer.result)?;
        let buffers = self
            .model
            .buffers
            .values()
            .filter(|buffer| buffer.file == file);
        let (count, blocks) = buffers.fold((0, 0), |(count, blocks), buffer| {
            (count + 1, blocks + u64::from(buffer.blocks))
        });
        let handles = u64::try_from(self.model.files[&file].handles.len()).unwrap_or(u64::MAX);
        let expected = [count, blocks * self.model.block_bytes, handles];
        same("fdinfo", &expected[..], &answer.payload[..3])?;
        Ok(Some(Ok(())))
    }
}
