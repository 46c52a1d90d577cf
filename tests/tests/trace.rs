// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver's tracepoints, read from tracefs.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc, Range};
use fpgamem_tests::{request, Balance, Child, Exit, Node};
use std::fs;

const TRACEFS: &str = "/sys/kernel/tracing";

/// Switches the driver's events, and checks that they say so.
fn switch(on: bool) {
    let value = if on { "1" } else { "0" };
    let path = format!("{TRACEFS}/events/fpgamem/enable");
    fs::write(&path, value).expect("tracefs is writable");
    assert_eq!(
        fs::read_to_string(&path)
            .expect("tracefs is readable")
            .trim(),
        value
    );
}

/// The driver's events during `body`, as `name: fields`.
fn events_of(on: bool, body: impl FnOnce()) -> Vec<String> {
    switch(on);
    fs::write(format!("{TRACEFS}/trace"), "").expect("tracefs is writable");
    body();
    switch(false);
    let trace = fs::read_to_string(format!("{TRACEFS}/trace")).expect("tracefs is readable");
    let lines = trace.lines().filter(|line| !line.starts_with('#'));
    let events = lines.filter_map(|line| line.find("fpgamem_").map(|at| line[at..].to_owned()));
    events.collect()
}

/// Allocates two blocks, cleans and invalidates parts of them, and frees them. Gives the address.
fn one_life(node: &Node, block: u64) -> u64 {
    let buffer = node.alloc(request(2 * block)).expect("there is room");
    let range = Range {
        handle: buffer.handle,
        addr: 64,
        len: 640,
        ..Range::default()
    };
    node.flush(range).expect("FLUSH succeeds");
    node.invalidate(Range { len: 64, ..range })
        .expect("INVALIDATE succeeds");
    node.free(buffer.handle).expect("FREE succeeds");
    buffer.phys_addr
}

#[test]
fn a_buffers_life_is_four_events_with_its_numbers() {
    let _balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let mut phys = 0;
    let events = events_of(true, || phys = one_life(&node, block));
    let (bytes, part) = (2 * block, phys + 64);
    assert_eq!(
        events,
        [
            format!("fpgamem_alloc: phys_addr={phys:#x} bytes={bytes} flags=0x0"),
            format!("fpgamem_sync: phys_addr={part:#x} bytes=640 lines=10 op=flush"),
            format!("fpgamem_sync: phys_addr={part:#x} bytes=64 lines=1 op=invalidate"),
            format!("fpgamem_free: phys_addr={phys:#x} bytes={bytes}"),
        ]
    );
}

#[test]
fn an_allocation_tells_its_flags() {
    let _balance = Balance::new();
    let node = Node::open();
    let events = events_of(true, || {
        let flags = abi::ALLOC_WRITE_COMBINE;
        let buffer = node
            .alloc(Alloc {
                flags,
                ..request(1)
            })
            .unwrap();
        node.free(buffer.handle).unwrap();
    });
    let flags = format!("flags={:#x}", abi::BUFFER_WRITE_COMBINE);
    assert!(events[0].ends_with(&flags), "{events:?}");
}

#[test]
fn a_quarantine_is_an_event_and_no_free() {
    let _balance = Balance::new();
    let mut phys = 0;
    let events = events_of(true, || {
        let mut child = Child::start(|link| {
            let node = Node::open();
            let buffer = node.alloc(request(1)).unwrap();
            node.set_owner(buffer.handle, abi::OWNER_DEVICE).unwrap();
            link.send(buffer.phys_addr);
            link.receive();
        });
        phys = child.link.receive();
        assert!(matches!(child.kill(), Exit::Signal(_)));
    });
    let block = Node::open().info().unwrap().block_bytes;
    assert_eq!(
        events[1..],
        [format!(
            "fpgamem_quarantine: phys_addr={phys:#x} bytes={block}"
        )]
    );
    Node::open().quiet().unwrap();
}

#[test]
fn without_being_asked_for_there_is_no_event() {
    let _balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let events = events_of(false, || {
        one_life(&node, block);
    });
    assert_eq!(events, [""; 0]);
}
