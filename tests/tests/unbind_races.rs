// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device is unbound through sysfs in the middle of other processes' calls.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc};
use fpgamem_tests::driver::Unbound;
use fpgamem_tests::quarantine::{quarantine, Ward};
use fpgamem_tests::{
    block_map, node, request, Balance, Child, Errno, Exit, MapFlags, Mapping, Node, PAGE,
    READ_WRITE,
};
use nix::fcntl::{fallocate, FallocateFlags};
use nix::sys::memfd::{memfd_create, MFdFlags};
use nix::sys::signal::Signal;
use nix::unistd::ftruncate;
use std::fs::File;
use std::mem::offset_of;
use std::os::fd::OwnedFd;
use std::time::Duration;

#[test]
fn the_device_can_be_unbound_while_its_memory_is_written() {
    let balance = Balance::new();
    let children: Vec<_> = (0..3)
        .map(|seed| {
            let mut child = Child::start(|link| {
                let node = Node::open();
                let flags = MapFlags::MAP_SHARED;
                let mapping = node.map_with(1 << 20, READ_WRITE, flags, 0).unwrap();
                link.send(0);
                // Until the device is gone, and then once more.
                while node.info().is_ok() {
                    mapping.fill(seed);
                    mapping.check(seed);
                }
                mapping.fill(seed);
                mapping.check(seed);
            });
            child.link.receive();
            child
        })
        .collect();
    let device = Unbound::new();
    for child in children {
        child.succeed();
    }
    device.bind();
    balance.expect_held(0);
}

#[test]
fn the_device_can_be_unbound_while_others_open_and_allocate() {
    // Those who are killed may leave something in quarantine.
    let _ward = Ward::new();
    let balance = Balance::new();
    let users: Vec<_> = (0..3)
        .map(|_| {
            let mut child = Child::start(|link| {
                link.send(0);
                loop {
                    // The node may be gone, or go at any time.
                    let file = File::options().read(true).write(true).open(node::PATH);
                    let Ok(file) = file else { continue };
                    let node = Node::from(OwnedFd::from(file));
                    match node.map(PAGE) {
                        Ok(mapping) => mapping.check_zero(0..PAGE),
                        Err(error) => assert_eq!(error, Errno::ENODEV),
                    }
                    match node.alloc(request(PAGE)) {
                        Ok(buffer) => drop(node.map_buffer(&buffer)),
                        Err(error) => assert_eq!(error, Errno::ENODEV),
                    }
                }
            });
            child.link.receive();
            child
        })
        .collect();
    for _ in 0..30 {
        Unbound::new().bind();
        std::thread::sleep(Duration::from_millis(3));
    }
    for user in users {
        assert_eq!(user.kill(), Exit::Signal(Signal::SIGKILL));
    }
    balance.expect_held(0);
}

#[test]
fn an_allocation_that_began_before_the_device_was_unbound_escapes_no_count() {
    // The argument of ALLOC reaches into the part of a memory file that is being punched out, where
    // reading it waits for the end of that. Meanwhile the device is unbound and bound again.
    const FILE_BYTES: u64 = 256 << 20;
    let balance = Balance::of_an_empty_pool();
    let file = memfd_create(c"argument", MFdFlags::MFD_CLOEXEC).unwrap();
    ftruncate(&file, FILE_BYTES.cast_signed()).unwrap();
    fallocate(&file, FallocateFlags::empty(), 0, FILE_BYTES.cast_signed()).unwrap();
    let argument = Mapping::of(&file, 2 * PAGE, READ_WRITE, MapFlags::MAP_SHARED, 0).unwrap();
    // The length is the first field, the only one that must not be 0.
    let start = PAGE - 8;
    argument.store(start, PAGE);

    let mut punch = Child::start(|link| {
        link.send(0);
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let (from, len) = (PAGE.cast_signed(), (FILE_BYTES - PAGE).cast_signed());
        fallocate(&file, flags, from, len).unwrap();
    });
    punch.link.receive();
    let mut late = Child::start(|link| {
        let node = Node::open();
        link.send(0);
        std::thread::sleep(Duration::from_millis(2));
        let result = node.command_at(abi::IOC_ALLOC, &argument, start);
        match result {
            Ok(()) => link.send(argument.load(start + offset_of!(Alloc, phys_addr) as u64)),
            Err(error) => {
                assert_eq!(error, Errno::ENODEV);
                link.send(0);
            }
        }
        link.receive();
    });
    late.link.receive();
    std::thread::sleep(Duration::from_millis(10));
    Unbound::new().bind();
    let phys_addr = late.link.receive();
    if phys_addr != 0 {
        assert!(
            block_map::line_of(phys_addr).is_some(),
            "{phys_addr:#x} has two owners"
        );
    }
    late.link.send(0);
    late.succeed();
    punch.succeed();
    balance.expect_held(0);
}

#[test]
fn an_allocation_that_waits_while_the_pool_ends_gets_no_block_of_it() {
    let _ward = Ward::new();
    let _balance = Balance::of_an_empty_pool();
    // The one place that it will do with is quarantined.
    let wanted = Alloc {
        align: abi::MAX_ALIGN,
        ..request(PAGE)
    };
    let mut refused = 0;
    for _ in 0..10 {
        let node = Node::open();
        let place = quarantine(&node, PAGE);
        let mut late = Child::start(|link| {
            let node = Node::open();
            link.send(0);
            match node.alloc(wanted) {
                Ok(buffer) => link.send(buffer.phys_addr),
                Err(error) => {
                    assert_eq!(error, Errno::ENODEV);
                    link.send(0);
                }
            }
            link.receive();
        });
        late.link.receive();
        std::thread::sleep(Duration::from_millis(20));
        // It does not learn of this before it looks again.
        node.quiet().unwrap();
        Unbound::new().bind();
        match late.link.receive() {
            0 => refused += 1,
            phys_addr => {
                assert_eq!(phys_addr, place);
                assert!(
                    block_map::line_of(phys_addr).is_some(),
                    "{phys_addr:#x} has two owners"
                );
            }
        }
        late.link.send(0);
        late.succeed();
    }
    assert_ne!(refused, 0, "the pool never ended before the wait did");
}
