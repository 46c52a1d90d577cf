// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cgroups are charged with the blocks that their processes allocate, and have limits.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::OWNER_DEVICE;
use fpgamem_tests::cgroup::Cgroup;
use fpgamem_tests::driver::{self, Reload, Unbound};
use fpgamem_tests::user_limit::{become_user, UserLimit};
use fpgamem_tests::{eventually, request, Balance, Child, Errno, Node};

/// Bytes of the blocks under test.
const BLOCK: u64 = 16384;

/// A cgroup of that name, and a file of the pool.
fn setting(name: &str) -> (Cgroup, Node) {
    let node = Node::open();
    let info = node.info().expect("the device is bound");
    assert_eq!(info.block_bytes, BLOCK);
    (Cgroup::new(name, info.phys_addr), node)
}

#[test]
fn the_controller_knows_the_region() {
    let (cgroup, node) = setting("capacity");
    assert_eq!(cgroup.capacity(), node.info().unwrap().region_bytes);
}

#[test]
fn whole_blocks_are_charged_until_the_last_reference_goes() {
    let _balance = Balance::new();
    let (cgroup, node) = setting("charged");
    cgroup.enter();
    let buffer = node.alloc(request(BLOCK + 1)).unwrap();
    assert_eq!(cgroup.current(), 2 * BLOCK);
    let mapping = node.map_buffer(&buffer).unwrap();
    node.free(buffer.handle).unwrap();
    assert_eq!(cgroup.current(), 2 * BLOCK);
    drop(mapping);
    assert_eq!(cgroup.current(), 0);
}

#[test]
fn alloc_and_mmap_beyond_the_limit_have_no_memory_and_change_nothing() {
    let _balance = Balance::new();
    let (cgroup, node) = setting("limited");
    cgroup.limit(3 * BLOCK);
    cgroup.enter();
    let _held = node.map(2 * BLOCK).unwrap();
    assert_eq!(node.alloc(request(2 * BLOCK)).map(drop), Err(Errno::ENOMEM));
    assert_eq!(node.map(2 * BLOCK).map(drop), Err(Errno::ENOMEM));
    assert_eq!(cgroup.current(), 2 * BLOCK);
    let _last = node.map(BLOCK).unwrap();
    assert_eq!(cgroup.current(), 3 * BLOCK);
}

#[test]
fn a_limit_below_what_is_held_takes_nothing_away() {
    let _balance = Balance::new();
    let (cgroup, node) = setting("lowered");
    cgroup.enter();
    let held = node.map(4 * BLOCK).unwrap();
    cgroup.limit(BLOCK);
    held.fill(1);
    held.check(1);
    drop(held);
    assert_eq!(cgroup.current(), 0);
}

#[test]
fn the_charge_stays_with_the_cgroup_that_allocated() {
    let _balance = Balance::new();
    let (one, node) = setting("first");
    let (two, _) = setting("second");
    one.enter();
    let mapping = node.map(BLOCK).unwrap();
    two.enter();
    assert_eq!((one.current(), two.current()), (BLOCK, 0));
    drop(mapping);
    assert_eq!((one.current(), two.current()), (0, 0));
}

#[test]
fn a_forked_child_shares_the_charge() {
    let _balance = Balance::new();
    let (cgroup, node) = setting("forked");
    cgroup.enter();
    let mapping = node.map(BLOCK).unwrap();
    let mut child = Child::start(|link| {
        link.receive();
    });
    cgroup.leave();
    drop(mapping);
    assert_eq!(cgroup.current(), BLOCK);
    child.link.send(0);
    child.succeed();
    assert_eq!(cgroup.current(), 0);
}

#[test]
fn an_allocation_that_finds_no_room_is_not_charged() {
    let _balance = Balance::of_an_empty_pool();
    let (cgroup, node) = setting("no-room");
    let region = node.info().unwrap().region_bytes;
    let _all = node.alloc(request(region)).unwrap();
    cgroup.enter();
    assert_eq!(node.alloc(request(1)).map(drop), Err(Errno::ENOMEM));
    assert_eq!(cgroup.current(), 0);
}

#[test]
fn quarantined_blocks_stay_charged() {
    let _balance = Balance::new();
    let (cgroup, node) = setting("quarantined");
    cgroup.enter();
    let buffer = node.alloc(request(BLOCK)).unwrap();
    node.set_owner(buffer.handle, OWNER_DEVICE).unwrap();
    node.free(buffer.handle).unwrap();
    assert_eq!(cgroup.current(), BLOCK);
    node.quiet().unwrap();
    assert_eq!(cgroup.current(), 0);
}

#[test]
fn a_limit_that_quarantined_blocks_exhaust_is_waited_for() {
    let _balance = Balance::new();
    let (cgroup, node) = setting("waiting");
    cgroup.limit(BLOCK);
    cgroup.enter();
    let buffer = node.alloc(request(BLOCK)).unwrap();
    node.set_owner(buffer.handle, OWNER_DEVICE).unwrap();
    node.free(buffer.handle).unwrap();
    let next = node.alloc(request(BLOCK)).unwrap();
    assert_eq!(cgroup.current(), BLOCK);
    node.free(next.handle).unwrap();
}

#[test]
fn a_killed_process_is_not_charged_any_more() {
    let _balance = Balance::new();
    let (cgroup, node) = setting("killed");
    cgroup.enter();
    let mut child = Child::start(|link| {
        let _held = Node::open().map(64 * BLOCK).unwrap();
        link.send(0);
        link.receive();
    });
    child.link.receive();
    cgroup.leave();
    assert_eq!(cgroup.current(), 64 * BLOCK);
    child.kill();
    eventually("the charge is gone", || {
        node.quiet().unwrap();
        cgroup.current() == 0
    });
}

#[test]
fn held_blocks_stay_charged_while_the_device_is_unbound() {
    let _balance = Balance::new();
    let (cgroup, node) = setting("unbound");
    cgroup.enter();
    let mapping = node.map(BLOCK).unwrap();
    let device = Unbound::new();
    assert_eq!(cgroup.current(), BLOCK);
    device.bind();
    assert_eq!(cgroup.capacity(), Node::open().info().unwrap().region_bytes);
    drop(mapping);
    assert_eq!(cgroup.current(), 0);
}

#[test]
fn the_region_is_registered_once_after_any_number_of_binds_and_loads() {
    let _balance = Balance::new();
    let _reload = Reload;
    // An open file keeps the old pool.
    let (cgroup, node) = setting("once");
    let region = node.info().unwrap().region_bytes;
    for _ in 0..3 {
        Unbound::new().bind();
        assert_eq!(cgroup.capacity(), region);
    }
    drop(node);
    driver::unload().unwrap();
    driver::load().unwrap();
    assert_eq!(cgroup.capacity(), region);
}

/// A user without privileges, and another.
const USERS: [u32; 2] = [1001, 1002];

#[test]
fn a_user_may_have_as_much_as_the_limit_says_in_all_processes_together() {
    let _balance = Balance::new();
    let node = Node::open();
    let _limit = UserLimit::new(3 * BLOCK);
    let first = Child::start(|link| {
        become_user(USERS[0]);
        let _held = node.map(2 * BLOCK).expect("the limit allows it");
        link.send(1);
        link.receive();
    });
    let mut first = first;
    first.link.receive();
    Child::start(|_| {
        become_user(USERS[0]);
        let failed = node.map(2 * BLOCK).map(drop);
        assert_eq!(failed, Err(Errno::ENOMEM));
        let failed = node.alloc(request(BLOCK + 1)).map(drop);
        assert_eq!(failed, Err(Errno::ENOMEM));
        node.map(BLOCK).expect("the limit allows it");
    })
    .succeed();
    first.link.send(1);
    first.succeed();
}

#[test]
fn another_user_and_root_are_not_charged_for_it() {
    let _balance = Balance::new();
    let node = Node::open();
    let _limit = UserLimit::new(BLOCK);
    let mut first = Child::start(|link| {
        become_user(USERS[0]);
        let _held = node.map(BLOCK).expect("the limit allows it");
        link.send(1);
        link.receive();
    });
    first.link.receive();
    Child::start(|_| {
        become_user(USERS[1]);
        node.map(BLOCK).expect("the limit allows it");
    })
    .succeed();
    node.map(4 * BLOCK).expect("root may exceed it");
    first.link.send(1);
    first.succeed();
}

#[test]
fn what_a_killed_user_had_is_its_own_again() {
    let _balance = Balance::new();
    let node = Node::open_hasty();
    let block = node.info().unwrap().block_bytes;
    let _limit = UserLimit::new(block);
    for _ in 0..3 {
        let mut child = Child::start(|link| {
            become_user(USERS[0]);
            let _held = node.map(block).expect("the limit allows it");
            link.send(1);
            link.receive();
        });
        child.link.receive();
        child.kill();
    }
}

#[test]
fn without_a_limit_a_user_may_have_any_number_of_blocks() {
    let _balance = Balance::new();
    let node = Node::open();
    Child::start(|_| {
        become_user(USERS[0]);
        node.map(64 * BLOCK).expect("there is no limit");
    })
    .succeed();
}

#[test]
fn only_root_sets_the_limit() {
    Child::start(|_| {
        become_user(USERS[0]);
        let denied = std::fs::write("/sys/module/fpgamem/parameters/user_limit_bytes", "1");
        let error = denied.expect_err("the parameter belongs to root");
        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
    })
    .succeed();
}
