// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that must be refused, and that the device is quiet.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::ioctls::low;
use crate::message::{Action, Request};
use crate::sys::{PAGE, SCRATCH};
use fpgamem_tests::{abi, Errno};

impl Fuzzer {
    pub(crate) fn quiet(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.descriptor() else {
            return Ok(None);
        };
        let answer = self.ioctl(process, descriptor, abi::IOC_QUIET, &[])?;
        same("QUIET", Ok(0), answer.result)?;
        Ok(Some(Ok(())))
    }

    pub(crate) fn unknown_command(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.descriptor() else {
            return Ok(None);
        };
        // Another number, size or direction than that of any command.
        let command = match self.random.below(3) {
            0 => abi::IOC_ALLOC + 0x40 + low(self.random.below(0x80)),
            1 => abi::IOC_SYNC ^ 1 << (18 + self.random.below(10)),
            _ => abi::IOC_FREE | 1 << 31,
        };
        let answer = self.ioctl(process, descriptor, command, &[])?;
        same("an unknown command", Err(Errno::ENOTTY), answer.result)?;
        Ok(Some(Err(Errno::ENOTTY)))
    }

    pub(crate) fn bad_pointer(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.descriptor() else {
            return Ok(None);
        };
        let commands = [
            abi::IOC_INFO,
            abi::IOC_ALLOC,
            abi::IOC_QUERY,
            abi::IOC_USER_TO_PHYS,
            abi::IOC_PHYS_TO_USER,
            abi::IOC_FLUSH,
            abi::IOC_INVALIDATE,
            abi::IOC_SYNC,
            abi::IOC_SET_OWNER,
        ];
        let mut command = commands[self.index(commands.len())];
        let places = [0, SCRATCH + PAGE, SCRATCH + PAGE - 8, u64::MAX - 7, SCRATCH];
        let place = places[self.index(places.len())];
        let mut action = Action::Ioctl;
        let mut expected = Errno::EFAULT;
        let mut request = Request::new(action, &[]);
        if place == SCRATCH {
            // The argument can be read; telling the result fails.
            action = Action::IoctlReadOnly;
            command = commands[self.index(2)];
            request.payload[0] = self.length();
            if command == abi::IOC_ALLOC {
                match self.predict(request.payload[0], 0) {
                    Ok(_) => {
                        self.model.counts.allocations += 1;
                        self.model.counts.frees += 1;
                    }
                    Err(errno) => expected = errno,
                }
            }
        }
        request.action = action;
        request.args[..3].copy_from_slice(&[descriptor, command.into(), place]);
        let answer = self.call(process, request)?;
        same("a bad pointer", Err(expected), answer.result)?;
        Ok(Some(Err(expected)))
    }
}
