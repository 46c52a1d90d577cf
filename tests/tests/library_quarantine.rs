// SPDX-License-Identifier: MIT OR Apache-2.0

//! The library tells the kernel which buffers the device owns.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![deny(unsafe_code)]

use fpgamem::{Buffer, Device, DeviceBuffer, Direction};
use fpgamem_tests::quarantine::{state_of, Ward};
use fpgamem_tests::{in_child, Child, Exit};
use nix::sys::ptrace;
use nix::sys::signal::{raise, Signal};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::Pid;

const BLOCK: usize = 16384;
/// Buffers that have a word in the area that the library maps.
const SLOTS: usize = 1024;

fn device() -> Device {
    Device::open().expect("the device is there")
}

fn alloc(device: &Device) -> Buffer {
    device.alloc(BLOCK).expect("there is room")
}

fn hand_over(buffer: Buffer) -> DeviceBuffer {
    buffer
        .into_device(Direction::ToDevice)
        .expect("the device is bound")
}

#[expect(unsafe_code, reason = "no device is ever told of the buffers here")]
fn take_back(buffer: DeviceBuffer) -> Buffer {
    // SAFETY: no device uses the buffer.
    unsafe { buffer.into_cpu() }.expect("the device is bound")
}

#[expect(unsafe_code, reason = "no device is ever told of the buffers here")]
fn take_back_all(device: &Device, buffers: Vec<DeviceBuffer>) -> Vec<Buffer> {
    // SAFETY: no device uses the buffers.
    unsafe { device.take_back_all(buffers) }.expect("the device is bound")
}

fn state(phys_addr: fpgamem::PhysAddr) -> String {
    state_of(phys_addr.as_u64())
}

#[test]
fn a_buffer_is_the_devices_while_it_is_handed_over() {
    let ward = Ward::new();
    let buffer = alloc(&device());
    let phys_addr = buffer.phys_addr();
    assert_eq!(state(phys_addr), "cpu");
    let buffer = hand_over(buffer);
    assert_eq!(state(phys_addr), "device");
    let buffer = take_back(buffer);
    assert_eq!(state(phys_addr), "cpu");
    drop(buffer);
    assert_eq!(ward.quarantined(), 0);
}

#[test]
fn buffers_handed_over_together_are_the_devices() {
    let ward = Ward::new();
    let device = device();
    let buffers: Vec<_> = (0..3).map(|_| alloc(&device)).collect();
    let places: Vec<_> = buffers.iter().map(Buffer::phys_addr).collect();
    let all_are = |wanted| assert!(places.iter().all(|place| state(*place) == wanted));
    let owned = device
        .hand_over_all(buffers, Direction::Bidirectional)
        .unwrap();
    all_are("device");
    drop(take_back_all(&device, owned));
    all_are("free");
    assert_eq!(ward.quarantined(), 0);
}

#[test]
fn a_buffer_without_a_word_is_the_devices_too() {
    let ward = Ward::new();
    let device = device();
    let all: Vec<_> = (0..SLOTS).map(|_| alloc(&device)).collect();
    let buffer = alloc(&device);
    let phys_addr = buffer.phys_addr();
    let buffer = hand_over(buffer);
    assert_eq!(state(phys_addr), "device");
    let buffer = take_back(buffer);
    assert_eq!(state(phys_addr), "cpu");
    drop((buffer, all));
    assert_eq!(ward.quarantined(), 0);
}

#[test]
fn a_killed_process_leaves_what_it_handed_over_in_quarantine() {
    let ward = Ward::new();
    let mut child = Child::start(|link| {
        let device = device();
        let _own = alloc(&device);
        let _owned = hand_over(alloc(&device));
        link.send(0);
        link.receive();
    });
    child.link.receive();
    assert_eq!(child.kill(), Exit::Signal(Signal::SIGKILL));
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn an_abandoned_buffer_is_quarantined_at_the_end_of_the_process() {
    let ward = Ward::new();
    in_child(|| {
        let device = device();
        drop(hand_over(alloc(&device)));
        drop(device);
        assert_eq!(ward.quarantined(), 0);
    });
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn a_forked_child_does_not_take_a_mark_back() {
    let _ward = Ward::new();
    let device = device();
    let buffer = hand_over(alloc(&device));
    let phys_addr = buffer.phys_addr();
    let mut buffer = Some(buffer);
    in_child(|| drop(buffer.take()));
    assert_eq!(state(phys_addr), "device");
    drop(take_back(buffer.take().unwrap()));
    assert_eq!(state(phys_addr), "free");
}

/// System calls of a process that hands a buffer over and takes it back `cycles` times.
fn count(cycles: u32) -> u64 {
    let child = Child::start(|_| {
        let device = device();
        ptrace::traceme().expect("nobody traces it");
        raise(Signal::SIGSTOP).expect("it may stop");
        let mut buffer = alloc(&device);
        for _ in 0..cycles {
            buffer = take_back(hand_over(buffer));
        }
        drop(buffer);
        fpgamem_tests::child::exit_now(0);
    });
    let pid = Pid::from_raw(child.pid().try_into().expect("process IDs are small"));
    // It is reaped here.
    std::mem::forget(child);
    let mut stops = 0;
    loop {
        match waitpid(pid, None).expect("it is our child") {
            WaitStatus::Stopped(_, Signal::SIGSTOP) => {}
            WaitStatus::Stopped(_, Signal::SIGTRAP) => stops += 1,
            WaitStatus::Exited(_, 0) => break,
            other => panic!("{other:?}"),
        }
        ptrace::syscall(pid, None).expect("it is stopped");
    }
    // One stop at the beginning and one at the end of each; the same of the last for all counts.
    stops / 2
}

#[test]
fn a_buffer_changes_hands_without_a_system_call() {
    let _ward = Ward::new();
    let base = count(0);
    assert!(base > 0);
    assert_eq!(count(100), base);
}
