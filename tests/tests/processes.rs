// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers across fork, exec, exit, signals and passed descriptors.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::child::{exit_now, receive_descriptor, send_descriptor};
use fpgamem_tests::debugfs::blocks_used;
use fpgamem_tests::{eventually, in_child, request, Balance, Child, Exit, MmapAdvise, Node, PAGE};
use nix::fcntl::{fcntl, FcntlArg, FdFlag};
use nix::sys::signal::Signal;
use std::mem::forget;
use std::os::unix::net::UnixStream;

/// Allocates two buffers by mmap and two by ioctl, of one block each, and frees none of them.
fn leave_four_blocks() {
    let node = Node::open();
    forget(node.map(PAGE).expect("there is room"));
    let buffer = node.alloc(request(1)).expect("there is room");
    forget(node.map_buffer(&buffer).expect("the offset is good"));
    node.alloc(request(1)).expect("there is room");
    forget(node.map(PAGE).expect("there is room"));
    forget(node);
}

#[test]
fn exit_returns_what_a_process_holds() {
    let balance = Balance::new();
    let mut child = Child::start(|link| {
        leave_four_blocks();
        link.send(0);
        link.receive();
        exit_now(3);
    });
    child.link.receive();
    balance.expect_held(4);
    child.link.send(0);
    assert_eq!(child.wait(), Exit::Status(3));
    balance.expect_held(0);
}

#[test]
fn a_killed_process_leaves_nothing() {
    let balance = Balance::new();
    let mut child = Child::start(|link| {
        leave_four_blocks();
        link.send(0);
        link.receive();
    });
    child.link.receive();
    balance.expect_held(4);
    assert_eq!(child.kill(), Exit::Signal(Signal::SIGKILL));
    balance.expect_held(0);
}

#[test]
fn a_process_killed_while_it_allocates_leaves_nothing() {
    let balance = Balance::new();
    for round in 0..20 {
        let mut child = Child::start(|link| {
            let node = Node::open();
            link.send(0);
            loop {
                drop(node.map(300_000).unwrap());
                let buffer = node.alloc(request(1 << 20)).unwrap();
                drop(node.map_buffer(&buffer).unwrap());
                node.free(buffer.handle).unwrap();
            }
        });
        child.link.receive();
        std::thread::sleep(std::time::Duration::from_micros(1000 + 370 * round));
        assert_eq!(child.kill(), Exit::Signal(Signal::SIGKILL));
        balance.expect_held(0);
    }
}

#[test]
fn exec_returns_what_the_process_held() {
    let balance = Balance::new();
    let (stdin, keep_running) = std::io::pipe().unwrap();
    let mut child = Child::start(|link| {
        leave_four_blocks();
        link.send(0);
        link.receive();
        // The shell waits for a line, which never comes: the test closes the pipe.
        nix::unistd::dup2_stdin(&stdin).unwrap();
        let arguments = [c"sh", c"-c", c"read line"];
        nix::unistd::execv(c"/bin/sh", &arguments).unwrap();
    });
    child.link.receive();
    balance.expect_held(4);
    child.link.send(0);
    eventually("the blocks of the program before exec", || {
        blocks_used() == balance.blocks_used()
    });
    drop(keep_running);
    assert_eq!(child.wait(), Exit::Status(1));
}

#[test]
fn a_file_that_exec_keeps_holds_its_handles_and_no_mapping() {
    let balance = Balance::new();
    let (stdin, keep_running) = std::io::pipe().unwrap();
    let mut child = Child::start(|link| {
        let node = Node::open();
        forget(node.map(PAGE).unwrap());
        let buffer = node.alloc(request(1)).unwrap();
        forget(node.map_buffer(&buffer).unwrap());
        fcntl(&node, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        link.send(0);
        link.receive();
        nix::unistd::dup2_stdin(&stdin).unwrap();
        let arguments = [c"sh", c"-c", c"read line"];
        nix::unistd::execv(c"/bin/sh", &arguments).unwrap();
    });
    child.link.receive();
    balance.expect_held(2);
    child.link.send(0);
    // The pipes of the link are closed by exec, after the old program's memory is gone.
    child.link.wait_for_close();
    balance.expect_held(1);
    drop(keep_running);
    assert_eq!(child.wait(), Exit::Status(1));
    balance.expect_held(0);
}

#[test]
fn a_child_sees_the_buffer_of_its_parent() {
    let _balance = Balance::new();
    let mapping = Node::open().map(5 * PAGE).unwrap();
    mapping.fill(1);
    in_child(|| {
        mapping.check(1);
        mapping.fill(2);
    });
    mapping.check(2);
}

#[test]
fn a_buffer_outlives_the_child_that_shared_it() {
    let balance = Balance::new();
    let mapping = Node::open().map(PAGE).unwrap();
    mapping.fill(1);
    in_child(|| balance.expect_held(1));
    balance.expect_held(1);
    mapping.check(1);
}

#[test]
fn a_buffer_outlives_the_parent_that_allocated_it() {
    let balance = Balance::new();
    // The test forks a parent, which forks a child; the two streams talk to the child.
    let (mut to_child, at_child) = UnixStream::pair().unwrap();
    let parent = Child::start(|_| {
        let mapping = Node::open().map(PAGE).unwrap();
        mapping.fill(1);
        forget(Child::start(|_| {
            use std::io::{Read, Write};
            (&at_child).read_exact(&mut [0]).unwrap();
            mapping.check(1);
            (&at_child).write_all(&[1]).unwrap();
            (&at_child).read_exact(&mut [0]).unwrap();
        }));
        exit_now(0);
    });
    parent.succeed();
    drop(at_child);
    balance.expect_held(1);

    use std::io::{Read, Write};
    to_child.write_all(&[1]).unwrap();
    to_child
        .read_exact(&mut [0])
        .expect("the child found the content");
    to_child.write_all(&[1]).unwrap();
    // The child belongs to init, so nobody here can wait for it.
    eventually("the end of the child", || {
        blocks_used() == balance.blocks_used()
    });
}

#[test]
fn a_child_that_unmaps_takes_nothing_from_its_parent() {
    let balance = Balance::new();
    let mut mapping = Node::open().map(4 * PAGE).unwrap();
    mapping.fill(1);
    in_child(|| {
        mapping.unmap(PAGE..2 * PAGE);
        mapping.unmap(0..4 * PAGE);
        balance.expect_held(1);
    });
    mapping.check(1);
}

#[test]
fn a_buffer_that_the_parent_unmaps_lives_in_the_child() {
    let balance = Balance::new();
    let mapping = Node::open().map(PAGE).unwrap();
    mapping.fill(1);
    let mut child = Child::start(|link| {
        link.receive();
        mapping.check(1);
    });
    drop(mapping);
    balance.expect_held(1);
    child.link.send(0);
    child.succeed();
    balance.expect_held(0);
}

#[test]
fn a_mapping_with_dontfork_stays_with_the_parent() {
    let balance = Balance::new();
    let node = Node::open();
    let mapping = node.map(PAGE).unwrap();
    mapping.advise(MmapAdvise::MADV_DONTFORK).unwrap();
    let mut child = Child::start(|link| {
        assert!(node.user_to_phys(mapping.addr()).is_err());
        link.send(0);
        link.receive();
    });
    child.link.receive();
    drop(mapping);
    balance.expect_held(0);
    child.link.send(0);
    child.succeed();
}

#[test]
fn handles_live_until_the_last_process_closes_the_file() {
    let balance = Balance::new();
    let node = Node::open();
    let handle = node.alloc(request(1)).unwrap().handle;
    let mut child = Child::start(|link| {
        link.receive();
        node.query(handle).unwrap();
    });
    drop(node);
    balance.expect_held(1);
    child.link.send(0);
    child.succeed();
    balance.expect_held(0);
}

#[test]
fn handles_travel_with_a_passed_descriptor_and_outlive_the_sender() {
    let balance = Balance::new();
    let (here, there) = UnixStream::pair().unwrap();
    let mut child = Child::start(|link| {
        let node = Node::open();
        let buffer = node.alloc(request(PAGE)).unwrap();
        node.map_buffer(&buffer).unwrap().fill(1);
        send_descriptor(&there, &node);
        link.send(u64::from(buffer.handle));
    });
    let handle = u32::try_from(child.link.receive()).unwrap();
    child.succeed();
    balance.expect_held(1);

    let node = Node::from(receive_descriptor(&here));
    let buffer = node.query(handle).unwrap();
    let flags = fpgamem_tests::MapFlags::MAP_SHARED;
    let mapping = node.map_with(PAGE, fpgamem_tests::READ_WRITE, flags, buffer.mmap_offset);
    mapping.unwrap().check(1);
    balance.expect_held(1);
    drop(node);
    balance.expect_held(0);
}

#[test]
fn a_descriptor_that_nobody_received_frees_its_handles() {
    let balance = Balance::new();
    let (here, there) = UnixStream::pair().unwrap();
    in_child(|| {
        let node = Node::open();
        node.alloc(request(PAGE)).unwrap();
        send_descriptor(&there, &node);
    });
    balance.expect_held(1);
    drop((here, there));
    eventually("the release of the descriptor in flight", || {
        blocks_used() == balance.blocks_used()
    });
}
