// SPDX-License-Identifier: MIT OR Apache-2.0

//! A bus master writes to a buffer after the process that started it has died.
//!
//! QEMU's ZDMA finishes a transfer at once, so the one that "still runs" is started for the dead
//! process after the next owner has got memory.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{Range, OWNER_DEVICE};
use fpgamem_tests::quarantine::{state_of, Ward};
use fpgamem_tests::zdma::Zdma;
use fpgamem_tests::{Child, Mapping, Node};

const BYTES: u64 = 256 << 10;

/// Kills a process whose buffer is the device's, lets a next owner fill as much memory, and then
/// the device write to where the dead process wanted it. Returns that address, and what the next
/// owner has.
fn write_late(open: fn() -> Node) -> (u64, Mapping) {
    let mut child = Child::start(|link| {
        let node = open();
        let target = node.map(BYTES).expect("there is room");
        let answer = node.user_to_phys(target.addr()).expect("it is ours");
        node.set_owner_at(target.addr(), OWNER_DEVICE)
            .expect("the range is good");
        link.send(answer.device_addr);
        link.receive();
    });
    let target = child.link.receive();
    child.kill();

    let node = open();
    let next = node.map(BYTES).expect("there is room");
    next.fill(1);
    let whole = |mapping: &Mapping| Range {
        addr: mapping.addr(),
        len: BYTES,
        ..Default::default()
    };
    node.flush(whole(&next)).expect("the range is good");
    let source = node.map(BYTES).expect("there is room");
    source.fill(2);
    node.flush(whole(&source)).expect("the range is good");
    let from = node
        .user_to_phys(source.addr())
        .expect("it is ours")
        .device_addr;
    Zdma::open().copy(
        from,
        target,
        u32::try_from(BYTES).expect("it fits the register"),
    );
    node.invalidate(whole(&next)).expect("the range is good");
    (target, next)
}

#[test]
fn with_the_quarantine_the_next_owners_bytes_are_intact() {
    let _ward = Ward::new();
    let (target, next) = write_late(Node::open);
    assert_eq!(state_of(target), "quarantined", "the transfer came in time");
    next.check(1);
}

#[test]
fn without_it_they_are_overwritten() {
    let _ward = Ward::new();
    let (_, next) = write_late(Node::open_hasty);
    next.check(2);
}

#[test]
fn what_was_written_late_is_gone_for_the_owner_after() {
    let ward = Ward::new();
    let (target, next) = write_late(Node::open);
    drop(next);
    ward.node.quiet().unwrap();
    let after = ward.node.map(4 * BYTES).unwrap();
    let start = ward.node.user_to_phys(after.addr()).unwrap().device_addr;
    assert!((start..start + 4 * BYTES).contains(&target));
    after.check_zero(0..4 * BYTES);
}
