// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that must be refused, and that the device is quiet.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::ioctls::low;
use crate::message::{Action, Request};
use crate::sys::{PAGE, SCRATCH};
use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::{abi, Errno};

/// A command of Paddle's clients that the driver of an accelerator would carry out.
const ACCELERATOR: u32 = 0x4010_4720;

/// Commands with an argument of more than one word.
const COMMANDS: [u32; 9] = [
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

/// The same of Paddle's clients, of the native node and of Paddle's.
const FAMILY_B: [u32; 3] = [paddle::B_VM_TO_PHYS, paddle::B_FLUSH, paddle::B_INVALIDATE];
const FAMILY_A: [u32; 5] = [
    paddle::A_DEVICE_INFO,
    paddle::A_VERSION,
    paddle::A_FLUSH,
    paddle::A_INVALIDATE,
    paddle::OLD_FLUSH,
];

impl Fuzzer {
    pub(crate) fn quiet(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.descriptor() else {
            return Ok(None);
        };
        let (action, expected) = match self.chance(20) {
            true => (Action::IoctlAsNobody, Err(Errno::EPERM)),
            false => (Action::Ioctl, Ok(0)),
        };
        let args = [descriptor, abi::IOC_QUIET.into(), 0];
        let answer = self.call(process, Request::new(action, &args))?;
        same("QUIET", expected, answer.result)?;
        Ok(Some(expected.map(drop)))
    }

    pub(crate) fn unknown_command(&mut self) -> Step {
        let Some((process, descriptor, file)) = self.any_descriptor() else {
            return Ok(None);
        };
        // Another number, size or direction than that of any command; for Paddle's node, one of the
        // native node, or one that would configure an accelerator.
        let command = match self.random.below(3) {
            _ if self.model.files[&file].paddle => {
                let commands = [abi::IOC_INFO, abi::IOC_ALLOC, abi::IOC_SYNC, ACCELERATOR];
                commands[self.index(commands.len())]
            }
            0 => abi::IOC_ALLOC + 0x40 + low(self.random.below(0x80)),
            1 => abi::IOC_SYNC ^ 1 << (18 + self.random.below(10)),
            _ => abi::IOC_FREE | 1 << 31,
        };
        // A driver of an accelerator that has registered is asked, and says so.
        let expected = match command == ACCELERATOR && self.model.registered {
            true => Errno::EPROTO,
            false => Errno::ENOTTY,
        };
        let answer = self.ioctl(process, descriptor, command, &[])?;
        same("an unknown command", Err(expected), answer.result)?;
        Ok(Some(Err(expected)))
    }

    pub(crate) fn bad_pointer(&mut self) -> Step {
        let Some((process, descriptor, file)) = self.any_descriptor() else {
            return Ok(None);
        };
        let is_paddle = self.model.files[&file].paddle;
        let commands = match self.random.below(4) {
            _ if is_paddle => &FAMILY_A[..],
            0 => &FAMILY_B[..],
            _ => &COMMANDS[..],
        };
        let mut command = commands[self.index(commands.len())];
        let places = [0, SCRATCH + PAGE, SCRATCH + PAGE - 8, u64::MAX - 7, SCRATCH];
        // Of Paddle's calls, one fills in its argument without reading it.
        let count = if is_paddle { 4 } else { places.len() };
        let place = places[self.index(count)];
        let mut action = Action::Ioctl;
        let mut expected = Errno::EFAULT;
        let mut request = Request::new(action, &[]);
        if place == SCRATCH {
            // The argument can be read; telling the result fails.
            action = Action::IoctlReadOnly;
            command = COMMANDS[self.index(2)];
            request.payload[0] = self.length();
            if command == abi::IOC_ALLOC {
                match self.predict(file, request.payload[0], 0) {
                    Ok((places, _)) => {
                        let blocks = self.model.blocks_for(request.payload[0]);
                        let freed = places.into_iter().map(|start| (start, blocks));
                        self.model.freed.extend(freed);
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
