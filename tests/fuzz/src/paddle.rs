// SPDX-License-Identifier: MIT OR Apache-2.0

//! The calls of Paddle's clients: those of family A on their own node, those of family B on the
//! native one.

use crate::fuzzer::{same, Fuzzer, Step};
use crate::mappings::{EXEC, FIXED_NOREPLACE, PRIVATE, READ, SHARED, WRITE};
use crate::model::Other;
use crate::sys::{PAGE, SCRATCH};
use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::{abi, Errno};

/// What the device tree of the board says of the accelerator: capacities, version, type, columns.
const DEVICE_INFO: [u64; 5] = [2048 | 1 << 32, 900 | 4 << 32, 4096, 0, 0];

/// The version as the clients are told, with the byte that ends it.
const VERSION: [u8; 2] = *b"1\0";

impl Fuzzer {
    /// A range of user addresses for family A, which may run past the end of a buffer.
    fn loose_range(&mut self, process: u32) -> ([u64; 2], Result<(), Errno>) {
        let region = u64::from(self.model.nr_blocks) * self.model.block_bytes;
        let Some((start, vma)) = self.mapping(process).filter(|_| !self.chance(10)) else {
            return ([self.stray_address(process), 8], Err(Errno::EFAULT));
        };
        let room = vma.end - start;
        let address = start + self.random.below(room);
        match self.random.below(10) {
            0 => (
                [address, region + 1 + self.random.below(region)],
                Err(Errno::EFAULT),
            ),
            1 => (
                [address, u64::MAX - self.random.below(start)],
                Err(Errno::EFAULT),
            ),
            2 => ([address, region], Ok(())),
            _ => ([address, self.random.below(2 * room).min(region)], Ok(())),
        }
    }

    /// FLUSH and INVALIDATE of family A, by old numbers or new ones.
    pub(crate) fn paddle_sync(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.paddle_descriptor() else {
            return Ok(None);
        };
        let (words, expected) = self.loose_range(process);
        let (command, invalidate) = match self.random.below(4) {
            0 => (paddle::A_FLUSH, false),
            1 => (paddle::OLD_FLUSH, false),
            2 => (paddle::A_INVALIDATE, true),
            _ => (paddle::OLD_INVALIDATE, true),
        };
        let answer = self.ioctl(process, descriptor, command, &words)?;
        same("the sync", expected.map(|()| 0), answer.result)?;
        if expected.is_ok() {
            self.count_sync(invalidate, 1);
        }
        Ok(Some(expected))
    }

    /// FLUSH and INVALIDATE of family B: by the distance of a physical address.
    pub(crate) fn paddle_sync_b(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.descriptor() else {
            return Ok(None);
        };
        let region = u64::from(self.model.nr_blocks) * self.model.block_bytes;
        let (mut phys, mut expected) = (0, Err(Errno::EFAULT));
        if let Some((start, vma)) = self.mapping(process).filter(|_| !self.chance(10)) {
            let past = self.random.below(vma.end - start);
            phys = self.model.phys(vma.buffer) + vma.offset + past;
            expected = Ok(());
        }
        let mut words = [phys.wrapping_sub(paddle::B_BASE), self.random.below(region)];
        if self.chance(20) {
            expected = Err(Errno::EFAULT);
            match self.random.below(4) {
                0 => words[1] = region + 1 + self.random.below(region),
                1 => words[1] = u64::MAX - self.random.below(1 << 20),
                2 => words[0] = u64::MAX - self.random.below(paddle::B_BASE),
                _ => words[0] = self.random.below(self.model.base - paddle::B_BASE),
            }
        }
        let invalidate = self.chance(50);
        let command = if invalidate {
            paddle::B_INVALIDATE
        } else {
            paddle::B_FLUSH
        };
        let answer = self.ioctl(process, descriptor, command, &words)?;
        same("the sync", expected.map(|()| 0), answer.result)?;
        if expected.is_ok() {
            self.count_sync(invalidate, 1);
        }
        Ok(Some(expected))
    }

    /// What the clients ask: of the accelerator, or where memory is.
    pub(crate) fn paddle_ask(&mut self) -> Step {
        match self.random.below(3) {
            0 => self.device_info(),
            1 => self.version(),
            _ => self.vm_to_phys(),
        }
    }

    fn device_info(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.paddle_descriptor() else {
            return Ok(None);
        };
        let answer = self.ioctl(process, descriptor, paddle::A_DEVICE_INFO, &[u64::MAX; 6])?;
        same("DEVICE_INFO", Ok(0), answer.result)?;
        same("the device", &DEVICE_INFO[..], &answer.payload[..5])?;
        same("what is not told", u64::MAX, answer.payload[5])?;
        Ok(Some(Ok(())))
    }

    fn version(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.paddle_descriptor() else {
            return Ok(None);
        };
        let sizes = [0, 1, 2, 3, 8, u64::MAX];
        let size = sizes[self.index(sizes.len())];
        let places = [SCRATCH + 16, SCRATCH + 16, SCRATCH + PAGE, u64::MAX - 7];
        let place = places[self.index(places.len())];
        let expected = match size == 0 || place == SCRATCH + 16 {
            true => Ok(0),
            false => Err(Errno::EFAULT),
        };
        let command = paddle::A_VERSION;
        let answer = self.ioctl(process, descriptor, command, &[place, size, u64::MAX])?;
        same("VERSION", expected, answer.result)?;
        let mut text = [u8::MAX; 8];
        if place == SCRATCH + 16 {
            match size {
                0 => {}
                1 => text[0] = 0,
                _ => text[..2].copy_from_slice(&VERSION),
            }
        }
        same("the version", u64::from_ne_bytes(text), answer.payload[2])?;
        Ok(Some(expected.map(drop)))
    }

    fn vm_to_phys(&mut self) -> Step {
        let Some((process, descriptor, _)) = self.descriptor() else {
            return Ok(None);
        };
        let mapping = self.mapping(process).filter(|_| !self.chance(20));
        let (address, expected) = match mapping {
            Some((start, vma)) => {
                let past = self.random.below(vma.end - start);
                let phys = self.model.phys(vma.buffer) + vma.offset + past;
                (start + past, Ok(phys))
            }
            None => (self.stray_address(process), Err(Errno::EFAULT)),
        };
        let command = paddle::B_VM_TO_PHYS;
        let answer = self.ioctl(process, descriptor, command, &[address, 0])?;
        same("VM_TO_PHYS", expected.map(|_| 0), answer.result)?;
        if let Ok(phys) = expected {
            same("the place", &[address, phys][..], &answer.payload[..2])?;
        }
        Ok(Some(expected.map(drop)))
    }

    /// Maps the registers, or what is nothing on this node.
    pub(crate) fn map_registers(&mut self) -> Step {
        let Some((process, descriptor, file)) = self.paddle_descriptor() else {
            return Ok(None);
        };
        let Some(address) = self.other_place(process) else {
            return Ok(None);
        };
        let mut bytes = PAGE;
        let (mut offset, mut flags) = (paddle::REGISTERS, SHARED | FIXED_NOREPLACE);
        let read_only = self.model.files[&file].read_only;
        let mut protection = if read_only { READ } else { READ | WRITE };
        let mut expected = Ok(address);
        if self.chance(30) {
            expected = Err(Errno::EINVAL);
            match self.random.below(5) {
                0 => flags = PRIVATE | FIXED_NOREPLACE,
                1 => protection = READ | EXEC,
                2 => bytes += PAGE * (1 + self.random.below(4)),
                _ => {
                    let offsets = [PAGE, paddle::B_BASE, abi::MMAP_OFFSET_BASE, 1 << 40];
                    offset = offsets[self.index(offsets.len())] + PAGE * self.random.below(8);
                    expected = Err(Errno::ENXIO);
                }
            }
        }
        let args = [address, bytes, protection.into(), flags, descriptor, offset];
        let result = self.syscall(process, libc::SYS_mmap, &args)?;
        same("mmap of registers", expected, result)?;
        if expected.is_ok() {
            let other = Other {
                bytes,
                file,
                is_area: false,
            };
            self.mapped_other(process, address, other);
        }
        Ok(Some(expected.map(drop)))
    }
}
