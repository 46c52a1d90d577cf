// SPDX-License-Identifier: MIT OR Apache-2.0

//! The library's registers, on a channel of the ZDMA: a real device, with an interrupt.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]

use fpgamem::mmio::{RegisterError, RegisterModel, Registers};
use fpgamem::{Buffer, BusError, Device, Direction, FpgaMemory};
use fpgamem_tests::zdma::uio_node;
use fpgamem_tests::{Balance, Child, Exit};
use nix::unistd::{setgid, setuid, Gid, Uid};
use std::time::{Duration, Instant};

/// Interrupt status; a bit is cleared by writing 1 to it.
const ISR: usize = 0x100;
/// Lets interrupts out, by bits of the status.
const IEN: usize = 0x108;
/// Keeps them in.
const IDS: usize = 0x10c;
const SOURCE: usize = 0x128;
const DESTINATION: usize = 0x138;
const START: usize = 0x200;
const ALL: u32 = 0xfff;
const DONE: u32 = 1 << 10;

const LIMIT: Duration = Duration::from_secs(10);

const INSIDE: &str = "the register is in the window";
const BOUND: &str = "the device is bound";

/// The channel, with nothing to say.
fn channel() -> Registers {
    // SAFETY: It copies from and to what `start` is given: device-owned buffers.
    let mut channel = unsafe { Registers::open("zdma") }.expect("the board has the device");
    channel.write32(IDS, ALL).expect(INSIDE);
    channel.write32(ISR, ALL).expect(INSIDE);
    channel
}

fn copy(channel: &mut Registers, mut from: Buffer, to: Buffer, wait: impl Fn(&mut Registers)) {
    let len = from.len();
    from.iter_mut()
        .zip(0_u32..)
        .for_each(|(byte, i)| *byte = (i % 251) as u8);
    let from = from.into_device(Direction::ToDevice).expect(BOUND);
    let to = to.into_device(Direction::FromDevice).expect(BOUND);
    for (register, addr) in [
        (SOURCE, from.device_addr()),
        (DESTINATION, to.device_addr()),
    ] {
        channel.write_addr(register, addr).expect(INSIDE);
        channel
            .write32(register + 8, u32::try_from(len).expect("buffers are small"))
            .expect(INSIDE);
    }
    channel.write32(START, 1).expect(INSIDE);
    wait(channel);
    // SAFETY: The channel has said that it is done.
    let from = unsafe { from.into_cpu() }.expect(BOUND);
    // SAFETY: As above.
    let to = unsafe { to.into_cpu() }.expect(BOUND);
    assert_eq!(from[..], to[..]);
}

#[test]
fn a_copy_is_waited_for_by_polling() {
    let _balance = Balance::new();
    let device = Device::open().unwrap();
    let mut channel = channel();
    let [from, to] = [5000, 5000].map(|len| device.alloc(len).unwrap());
    copy(&mut channel, from, to, |channel| {
        let last = channel
            .poll32(ISR, LIMIT, |status| status & DONE != 0)
            .unwrap();
        assert!(last.is_some());
    });
}

#[test]
fn a_copy_is_waited_for_by_its_interrupt() {
    let _balance = Balance::new();
    let device = Device::open().unwrap();
    let mut channel = channel();
    channel.write32(IEN, DONE).unwrap();
    for _ in 0..3 {
        channel.enable_interrupt().unwrap();
        let [from, to] = [70_000, 70_000].map(|len| device.alloc(len).unwrap());
        copy(&mut channel, from, to, |channel| {
            assert!(channel.wait_interrupt(LIMIT).unwrap());
            assert_ne!(channel.read32(ISR).unwrap() & DONE, 0);
            channel.write32(ISR, ALL).unwrap();
        });
    }
    channel.write32(IDS, ALL).unwrap();
}

#[test]
fn without_an_interrupt_the_wait_ends_with_its_time() {
    let mut channel = channel();
    channel.enable_interrupt().unwrap();
    let (start, limit) = (Instant::now(), Duration::from_millis(50));
    assert!(!channel.wait_interrupt(limit).unwrap());
    assert!(start.elapsed() >= limit);
}

#[test]
fn registers_keep_what_they_are_given() {
    let mut channel = channel();
    channel.write64(SOURCE, 0x0000_0001_2345_6780).unwrap();
    assert_eq!(channel.read32(SOURCE).unwrap(), 0x2345_6780);
    assert_eq!(channel.read32(SOURCE + 4).unwrap(), 1);
    channel.write32(SOURCE + 4, 0).unwrap();
    assert_eq!(channel.read64(SOURCE).unwrap(), 0x2345_6780);
}

#[test]
fn what_is_no_register_is_refused() {
    let mut channel = channel();
    let len = channel.len();
    assert_eq!(len, 4096);
    assert!(matches!(
        channel.write32(len, 1),
        Err(RegisterError::Outside { bytes: 4, .. })
    ));
    assert!(channel.read32(2).is_err() && channel.read64(len - 4).is_err());
}

#[test]
fn an_unknown_name_tells_the_known_ones() {
    // SAFETY: There is no such device.
    let error = unsafe { Registers::open("nothing") }.unwrap_err();
    assert!(error.to_string().contains("zdma"), "{error}");
    // SAFETY: As above.
    let error = unsafe { Registers::open_window("zdma", 7) }.unwrap_err();
    assert!(error.to_string().contains("no such window"), "{error}");
}

#[test]
fn a_device_is_opened_by_its_node() {
    // SAFETY: Its registers keep what they are given, and it is not started.
    let mut registers = unsafe { Registers::open_node(uio_node(), 0) }.unwrap();
    registers.write32(SOURCE, 0x1240).unwrap();
    assert_eq!(channel().read32(SOURCE).unwrap(), 0x1240);
    // SAFETY: It has no registers.
    let error = unsafe { Registers::open_node("/dev/fpgamem0", 0) }.unwrap_err();
    assert!(matches!(error, RegisterError::NotUio { .. }), "{error}");
    assert!(error.to_string().contains("(zdma)"), "{error}");
}

#[test]
fn a_stranger_is_told_how_to_get_in() {
    assert!(uio_node().exists());
    let child = Child::start(|_| {
        setgid(Gid::from_raw(1000)).unwrap();
        setuid(Uid::from_raw(1000)).unwrap();
        // SAFETY: Nothing is written.
        let error = unsafe { Registers::open("zdma") }.unwrap_err();
        assert!(error.to_string().contains("udev rule"), "{error}");
    });
    assert_eq!(child.wait(), Exit::Status(0));
}

#[test]
fn a_device_of_a_board_takes_no_model() {
    struct Nothing;
    impl RegisterModel for Nothing {
        fn len(&self) -> usize {
            4
        }
        fn read(&mut self, _: usize) -> u32 {
            0
        }
        fn write(&mut self, _: usize, _: u32) -> bool {
            false
        }
        fn run(&mut self, _: &mut FpgaMemory<'_>) -> Result<(), BusError> {
            Ok(())
        }
    }
    let device = Device::open().unwrap();
    let error = Registers::emulated(&device, Nothing).unwrap_err();
    assert!(
        matches!(error, RegisterError::NotEmulated { .. }),
        "{error}"
    );
}
