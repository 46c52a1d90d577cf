// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver of an accelerator: it registers and leaves, carries out commands of Paddle's clients, and
//! holds buffers.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::model::Hold;
use fpgamem_tests::accelerator::{command, Probe, Registration};
use fpgamem_tests::{Errno, Node};

/// Slots for holds.
const SLOTS: u64 = 16;

/// The `FPGAMEM_PE_*` bits of operations.
const CLEAN: u64 = 1;
const INVALIDATE: u64 = 2;

/// The word of a command in which the function's result comes back, and the first that says where
/// memory is.
const RESULT: usize = 3;
const PLACE: usize = 4;

/// What errors a driver returns, and what its client gets.
const RETURNED: [(i64, Result<u64, Errno>); 9] = [
    (0, Ok(0)),
    (0, Ok(0)),
    (-19, Err(Errno::ENODEV)),
    (-110, Err(Errno::ETIMEDOUT)),
    // Clients take these for something else.
    (-22, Err(Errno::EIO)),
    (-12, Err(Errno::EIO)),
    // No errors.
    (1, Err(Errno::EIO)),
    (-4096, Err(Errno::EIO)),
    (i32::MIN as i64, Err(Errno::EIO)),
];

/// The negative number by which the kernel tells a result.
fn negative(result: Result<(), Errno>) -> u64 {
    let errno = result.err().map_or(0, |errno| errno as i64);
    (-errno).cast_unsigned()
}

impl Fuzzer {
    /// Tells the accelerator's driver something.
    fn tell(&self, command: u32, probe: Probe) -> Result<Probe, Errno> {
        probe.ask(&Node::open_path(Probe::NODE), command)
    }

    /// It registers, or leaves.
    pub(crate) fn accelerator(&mut self) -> Step {
        let refused = |registration, errno| (registration, Err(errno));
        let (what, expected) = match self.random.below(12) {
            0 => {
                let result = self.tell(command::UNREGISTER, Probe::default());
                same("leaving", Ok(()), result.map(drop))?;
                self.model.registered = false;
                return Ok(Some(Ok(())));
            }
            1 => refused(Registration::WithoutPool, Errno::EINVAL),
            2 => refused(Registration::WithoutOperations, Errno::EINVAL),
            3 => match self.chance(50) {
                true => refused(Registration::WithoutIoctl, Errno::EINVAL),
                false => refused(Registration::OfAnotherNode, Errno::ENODEV),
            },
            _ if self.model.registered => refused(Registration::Good, Errno::EBUSY),
            _ => (Registration::Good, Ok(())),
        };
        let probe = Probe {
            operation: what as u64,
            ..Probe::default()
        };
        let result = self.tell(command::REGISTER, probe).map(drop);
        same("registering", expected, result)?;
        self.model.registered |= expected.is_ok();
        Ok(Some(expected))
    }

    /// A range of a worker's addresses, the part of a buffer that is there, and what translating it
    /// comes to.
    fn range_for_accelerator(&mut self, process: u32) -> ([u64; 2], Hold, Result<(), Errno>) {
        let none = Hold {
            buffer: 0,
            offset: 0,
            bytes: 0,
        };
        let Some((start, vma)) = self.mapping(process).filter(|_| !self.chance(10)) else {
            let words = [self.stray_address(process), 1 + self.random.below(64)];
            return (words, none, Err(Errno::EFAULT));
        };
        let past = self.random.below(vma.end - start);
        let room = self.model.contiguous(process, start + past);
        let (bytes, expected) = match self.random.below(10) {
            0 => (0, Err(Errno::EINVAL)),
            1 => (room + 1 + self.random.below(room), Err(Errno::EFAULT)),
            2 => (u64::MAX - self.random.below(start), Err(Errno::EFAULT)),
            3 => (room, Ok(())),
            _ => (1 + self.random.below(room), Ok(())),
        };
        let hold = Hold {
            buffer: vma.buffer,
            offset: vma.offset + past,
            bytes,
        };
        ([start + past, bytes], hold, expected)
    }

    /// What is told of a part of a buffer.
    fn told(&self, hold: Hold, bytes: u64) -> [u64; 4] {
        let phys = self.model.phys(hold.buffer) + hold.offset;
        let flags = self.model.buffers[&hold.buffer].flags;
        [phys, phys, bytes, flags.into()]
    }

    /// A client gives a command that the accelerator's driver carries out.
    pub(crate) fn accelerate(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.paddle_descriptor() else {
            return Ok(None);
        };
        let commands = [
            command::TRANSLATE,
            command::SYNC,
            command::SYNC,
            command::HOLD,
            command::HOLD,
            command::RETURN,
            command::OLD,
            command::NULL,
            command::AS_OTHER,
        ];
        let what = commands[self.index(commands.len())];
        let (range, part, mut inner) = self.range_for_accelerator(process);
        let mut words = [range[0], range[1], 0, u64::MAX];
        let mut outer = Ok(0);
        match what {
            command::SYNC => {
                let operations = [CLEAN, INVALIDATE, CLEAN | INVALIDATE, 0, 4, 1 << 31];
                words[2] = operations[self.index(operations.len())];
                if !(CLEAN..=CLEAN | INVALIDATE).contains(&words[2]) {
                    inner = Err(Errno::EINVAL);
                }
            }
            command::HOLD => {
                words[2] = self.random.below(SLOTS);
                if inner.is_ok() && self.model.holds.contains_key(&words[2]) {
                    inner = Err(Errno::EEXIST);
                }
            }
            command::RETURN | command::OLD => {
                let (returned, expected) = RETURNED[self.index(RETURNED.len())];
                (words[0], outer) = (returned.cast_unsigned(), expected);
            }
            command::NULL | command::AS_OTHER => inner = Err(Errno::EINVAL),
            _ => {}
        }
        if !self.model.registered {
            outer = Err(Errno::ENOTTY);
        }
        let answer = self.ioctl(process, descriptor, what, &words)?;
        same("a command for the accelerator", outer, answer.result)?;
        if outer.is_err() || [command::RETURN, command::OLD].contains(&what) {
            return Ok(Some(outer.map(drop)));
        }
        same("its result", negative(inner), answer.payload[RESULT])?;
        if inner.is_err() {
            return Ok(Some(inner));
        }
        match what {
            command::TRANSLATE => {
                let bytes = self.model.contiguous(process, words[0]);
                let expected = self.told(part, bytes);
                same(
                    "the place",
                    &expected[..],
                    &answer.payload[PLACE..PLACE + 4],
                )?;
            }
            command::SYNC => self.count_sync(words[2] != CLEAN, 1),
            _ => self.model.held(words[2], part),
        }
        Ok(Some(inner))
    }

    /// The accelerator's driver uses what it holds, or lets go of it.
    pub(crate) fn use_hold(&mut self) -> Step {
        let slot = match self.model.holds.keys().next().copied() {
            Some(first) if self.chance(70) => first,
            _ => self.random.below(SLOTS),
        };
        let probe = Probe {
            operation: slot,
            ..Probe::default()
        };
        let held = self.model.holds.get(&slot).copied();
        match self.random.below(5) {
            0..=1 => {
                let result = self.tell(command::PLACE, probe);
                let expected = held.map(|hold| self.told(hold, hold.bytes));
                let told = |p: Probe| [p.phys_addr, p.device_addr, p.bytes, p.flags];
                same("a hold", expected.ok_or(Errno::ENOENT), result.map(told))?;
                Ok(Some(expected.map(drop).ok_or(Errno::ENOENT)))
            }
            2 => self.sync_hold(),
            choice => {
                let by_thread = choice == 4;
                let releases = [command::RELEASE, command::RELEASE_BY_THREAD];
                let release = releases[usize::from(by_thread)];
                let result = self.tell(release, probe).map(drop);
                same("letting go", Ok(()), result)?;
                // Nobody can ask for whom a thread of the kernel does so.
                self.model.crash = by_thread;
                self.model.let_go(slot);
                self.model.crash = false;
                Ok(Some(Ok(())))
            }
        }
    }

    /// Maintains part of what the first slot holds.
    fn sync_hold(&mut self) -> Step {
        let held = self.model.holds.get(&0).copied();
        let room = held.map_or(1, |hold| hold.bytes);
        let addr = self.random.below(room);
        let mut probe = Probe {
            addr,
            len: 1 + self.random.below(room - addr),
            operation: 1 + self.random.below(3),
            ..Probe::default()
        };
        let mut expected = held.map(drop).ok_or(Errno::EINVAL);
        if expected.is_ok() && self.chance(40) {
            expected = Err(Errno::EINVAL);
            match self.random.below(4) {
                0 => probe.operation = 4 * self.random.below(9),
                1 => probe.len = 0,
                2 => (probe.len, expected) = (room - addr + 1, Err(Errno::EFAULT)),
                _ => (probe.addr, expected) = (room + 1, Err(Errno::EFAULT)),
            }
        }
        let result = self.tell(command::HOLD_SYNC, probe).map(drop);
        same("a sync of a hold", expected, result)?;
        if expected.is_ok() {
            self.count_sync(probe.operation != CLEAN, 1);
        }
        Ok(Some(expected))
    }

    /// The accelerator's driver lets go of everything, and leaves.
    pub(crate) fn end_accelerator(&mut self) -> Result<(), String> {
        for slot in 0..SLOTS {
            let probe = Probe {
                operation: slot,
                ..Probe::default()
            };
            let result = self.tell(command::RELEASE, probe).map(drop);
            same("letting go", Ok(()), result)?;
            self.model.let_go(slot);
        }
        let result = self.tell(command::UNREGISTER, Probe::default());
        same("leaving", Ok(()), result.map(drop))?;
        self.model.registered = false;
        self.end_quarantines()
    }
}
