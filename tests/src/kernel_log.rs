// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel log.

use nix::errno::Errno;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// A reader of the kernel log.
#[derive(Debug)]
pub struct KernelLog(File);

impl KernelLog {
    /// A reader of everything that is still in the log.
    pub fn from_start() -> Self {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg");
        Self(file.expect("root may open /dev/kmsg"))
    }

    /// A reader of what is logged from now on.
    pub fn from_now() -> Self {
        let mut log = Self::from_start();
        log.0.seek(SeekFrom::End(0)).expect("the log has an end");
        log
    }

    /// The driver's lines since the last call, without their prefix of level and time.
    pub fn driver_lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self
                .0
                .read(&mut record)
                .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
            {
                Ok(bytes) => {
                    let record = String::from_utf8_lossy(&record[..bytes]);
                    let line = record.split_once(';').map_or("", |(_, rest)| rest);
                    let line = line.lines().next().unwrap_or("");
                    if line.contains("fpgamem") {
                        lines.push(line.to_owned());
                    }
                }
                // EPIPE: records were overwritten before they were read; the next read goes on.
                Err(Errno::EPIPE) => {}
                Err(Errno::EAGAIN) => return lines,
                Err(error) => panic!("/dev/kmsg: {error}"),
            }
        }
    }
}
