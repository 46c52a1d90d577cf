// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which buffers are quarantined when their last reference goes, for how long, and how they count.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{Range, SetOwner, OWNER_CPU, OWNER_DEVICE};
use fpgamem_tests::driver::{self, Reload, Unbound};
use fpgamem_tests::quarantine::{holder, quarantine, state_of, Ward};
use fpgamem_tests::{
    eventually, in_child, request, Balance, Child, Errno, Exit, Mapping, Node, ProtFlags, Stats,
    PAGE, READ_WRITE,
};
use nix::sys::signal::Signal;
use nix::unistd::{execv, setuid, Uid};
use std::time::{Duration, Instant};

/// What the test board's device tree says.
const QUARANTINE: Duration = Duration::from_millis(1000);

fn nothing(_: &Node) {}

fn status_area(node: &Node) -> Mapping {
    node.map_status(PAGE).expect("the file is writable")
}

#[test]
fn a_freed_buffer_of_the_cpu_is_free_at_once() {
    let ward = Ward::new();
    let buffer = ward.node.alloc(request(PAGE)).unwrap();
    ward.node.free(buffer.handle).unwrap();
    assert_eq!(state_of(buffer.phys_addr), "free");
    assert_eq!(ward.quarantined(), 0);
}

#[test]
fn a_freed_buffer_of_the_device_is_quarantined() {
    let ward = Ward::new();
    let phys_addr = ward.quarantine(PAGE);
    assert_eq!(state_of(phys_addr), "quarantined");
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn a_buffer_taken_back_from_the_device_is_free_at_once() {
    let ward = Ward::new();
    let buffer = ward.node.alloc(request(PAGE)).unwrap();
    ward.node.set_owner(buffer.handle, OWNER_DEVICE).unwrap();
    ward.node.set_owner(buffer.handle, OWNER_CPU).unwrap();
    ward.node.free(buffer.handle).unwrap();
    assert_eq!(ward.quarantined(), 0);
}

#[test]
fn the_owner_is_set_by_any_address_in_the_buffer() {
    let ward = Ward::new();
    let mapping = ward.node.map(4 * PAGE).unwrap();
    let last = mapping.addr() + 4 * PAGE - 1;
    ward.node.set_owner_at(last, OWNER_DEVICE).unwrap();
    drop(mapping);
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn the_quarantine_begins_with_the_last_reference() {
    let ward = Ward::new();
    let buffer = ward.node.alloc(request(PAGE)).unwrap();
    let mapping = ward.node.map_buffer(&buffer).unwrap();
    ward.node.set_owner(buffer.handle, OWNER_DEVICE).unwrap();
    ward.node.free(buffer.handle).unwrap();
    assert_eq!(state_of(buffer.phys_addr), "device");
    drop(mapping);
    assert_eq!(state_of(buffer.phys_addr), "quarantined");
}

#[test]
fn maintenance_does_not_make_a_buffer_the_devices() {
    let ward = Ward::new();
    let mapping = ward.node.map(PAGE).unwrap();
    let range = Range {
        addr: mapping.addr(),
        len: PAGE,
        ..Default::default()
    };
    ward.node.flush(range).unwrap();
    ward.node.invalidate(range).unwrap();
    drop(mapping);
    assert_eq!(ward.quarantined(), 0);
}

#[test]
fn a_killed_process_leaves_the_devices_buffer_in_quarantine_and_then_free() {
    let ward = Ward::new();
    let (child, phys_addr) = holder(PAGE, status_area, |node, _, mapping, _| {
        node.set_owner_at(mapping.addr(), OWNER_DEVICE).unwrap();
    });
    assert_eq!(child.kill(), Exit::Signal(Signal::SIGKILL));
    assert_eq!(ward.quarantined(), 1);
    eventually("the quarantine is over", || state_of(phys_addr) == "free");
    assert_eq!(ward.expired(), 1);
}

#[test]
fn a_process_that_exits_leaves_the_devices_buffer_in_quarantine() {
    let ward = Ward::new();
    let (mut child, _) = holder(PAGE, status_area, |node, _, mapping, _| {
        node.set_owner_at(mapping.addr(), OWNER_DEVICE).unwrap();
    });
    child.link.send(0);
    assert_eq!(child.wait(), Exit::Status(3));
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn exit_with_a_status_is_no_crash() {
    let ward = Ward::new();
    let (mut child, phys_addr) = holder(PAGE, nothing, |_, _, _, ()| {});
    child.link.send(0);
    assert_eq!(child.wait(), Exit::Status(3));
    assert_eq!(state_of(phys_addr), "free");
    assert_eq!(ward.quarantined(), 0);
}

#[test]
fn exec_is_no_crash() {
    let ward = Ward::new();
    let mut child = Child::start(|link| {
        let mapping = Node::open().map(PAGE).unwrap();
        mapping.fill(1);
        link.receive();
        execv(c"/bin/busybox", &[c"true"]).expect("the guest has it");
    });
    child.link.send(0);
    child.succeed();
    assert_eq!(ward.quarantined(), 0);
}

#[test]
fn a_killed_process_that_tells_no_owners_leaves_all_in_quarantine() {
    let ward = Ward::new();
    let (child, _) = holder(PAGE, nothing, |node, _, _, ()| {
        node.alloc(request(PAGE)).unwrap();
    });
    child.kill();
    assert_eq!(ward.quarantined(), 2, "by mapping and by handle");
}

#[test]
fn a_process_that_a_fault_ends_counts_as_killed() {
    let ward = Ward::new();
    let mut child = Child::start(|link| {
        let mapping = Node::open().map(PAGE).unwrap();
        mapping.protect(0..PAGE, ProtFlags::PROT_NONE).unwrap();
        link.send(0);
        mapping.load(0);
    });
    child.link.receive();
    assert_eq!(child.wait(), Exit::Signal(Signal::SIGSEGV));
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn a_killed_process_that_tells_owners_leaves_its_own_buffers_free() {
    let ward = Ward::new();
    let (child, phys_addr) = holder(PAGE, status_area, |_, _, _, _| {});
    child.kill();
    assert_eq!(state_of(phys_addr), "free");
    assert_eq!(ward.quarantined(), 0);
}

#[test]
fn the_other_holder_of_an_inherited_buffer_decides() {
    let ward = Ward::new();
    let mapping = Node::open().map(PAGE).unwrap();
    let child = Child::start(|link| link.wait_for_close());
    child.kill();
    drop(mapping);
    assert_eq!(
        ward.quarantined(),
        0,
        "the last one to hold it did not crash"
    );
}

#[test]
fn a_quarantine_lasts_as_long_as_info_says() {
    let ward = Ward::new();
    assert_eq!(
        u128::from(ward.node.info().unwrap().quarantine_ms),
        QUARANTINE.as_millis()
    );
    let start = Instant::now();
    let phys_addr = ward.quarantine(PAGE);
    eventually("the quarantine is over", || state_of(phys_addr) == "free");
    assert!(start.elapsed() >= QUARANTINE, "{:?}", start.elapsed());
}

#[test]
fn quarantines_end_in_their_order() {
    let ward = Ward::new();
    let first = ward.quarantine(PAGE);
    let second = ward.quarantine(2 << 20);
    std::thread::sleep(QUARANTINE * 7 / 10);
    let third = ward.quarantine(PAGE);
    eventually("the first is over", || state_of(first) == "free");
    eventually("the second is over", || state_of(second) == "free");
    assert_eq!(state_of(third), "quarantined");
    eventually("the third is over", || state_of(third) == "free");
    let last = ward.quarantine(PAGE);
    assert_eq!(state_of(last), "quarantined");
    assert_eq!(ward.expired(), 3);
}

#[test]
fn a_quiet_device_ends_every_quarantine() {
    let ward = Ward::new();
    let places = [PAGE, 1 << 20, PAGE].map(|len| ward.quarantine(len));
    ward.node.quiet().unwrap();
    for phys_addr in places {
        assert_eq!(state_of(phys_addr), "free");
    }
    assert_eq!((ward.quieted(), ward.expired()), (3, 0));
}

#[test]
fn only_who_may_access_hardware_says_that_the_device_is_quiet() {
    let ward = Ward::new();
    ward.quarantine(PAGE);
    in_child(|| {
        setuid(Uid::from_raw(1000)).unwrap();
        assert_eq!(ward.node.quiet(), Err(Errno::EPERM));
    });
    assert_eq!(ward.quieted(), 0);
}

#[test]
fn quarantined_blocks_are_neither_used_nor_free() {
    let ward = Ward::new();
    let (before, info_before) = (Stats::read(), ward.node.info().unwrap());
    ward.quarantine(1 << 20);
    let (after, info) = (Stats::read(), ward.node.info().unwrap());
    let blocks = (1 << 20) / after.block_bytes;
    assert_eq!(after.blocks_quarantined, blocks);
    assert_eq!(after.blocks_used, before.blocks_used);
    assert_eq!(after.buffers, before.buffers);
    assert_eq!(after.blocks_free + blocks, before.blocks_free);
    assert_eq!(
        after.blocks_free + after.blocks_used + after.blocks_quarantined,
        after.blocks
    );
    assert_eq!(info.quarantined_bytes, 1 << 20);
    assert_eq!(info.free_bytes + (1 << 20), info_before.free_bytes);
    assert_eq!(info.nr_buffers, info_before.nr_buffers);
}

#[test]
fn a_buffer_counts_as_freed_when_its_blocks_are_free() {
    let ward = Ward::new();
    let before = Stats::read();
    ward.quarantine(PAGE);
    assert_eq!(Stats::read().frees, before.frees);
    ward.node.quiet().unwrap();
    assert_eq!(Stats::read().frees, before.frees + 1);
}

#[test]
fn the_block_map_tells_who_owns_a_buffer() {
    let ward = Ward::new();
    let node = Node::open();
    let area = status_area(&node);
    let buffer = node.alloc(request(PAGE)).unwrap();
    let state = || state_of(buffer.phys_addr);
    assert_eq!(state(), "cpu");
    node.set_owner(buffer.handle, OWNER_DEVICE).unwrap();
    assert_eq!(state(), "device");
    node.set_owner(buffer.handle, OWNER_CPU).unwrap();
    assert_eq!(state(), "cpu");
    area.store_register(u64::from(buffer.status_slot) * 4, 1);
    assert_eq!(state(), "device");
    drop(node);
    drop(area);
    assert_eq!(state(), "quarantined");
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn quarantined_blocks_are_nobodys_buffer() {
    let ward = Ward::new();
    let buffer = ward.node.alloc(request(PAGE)).unwrap();
    ward.node.set_owner(buffer.handle, OWNER_DEVICE).unwrap();
    ward.node.free(buffer.handle).unwrap();
    let node = &ward.node;
    assert_eq!(node.map_buffer(&buffer).unwrap_err(), Errno::EINVAL);
    assert_eq!(node.query(buffer.handle).map(drop), Err(Errno::ENOENT));
    assert_eq!(
        node.phys_to_user(buffer.phys_addr).map(drop),
        Err(Errno::EFAULT)
    );
    let other = node.alloc(request(PAGE)).unwrap();
    assert_ne!(other.phys_addr, buffer.phys_addr);
    node.free(other.handle).unwrap();
}

#[test]
fn an_allocation_that_does_not_fit_waits_for_the_quarantine() {
    let ward = Ward::new();
    let region = ward.node.info().unwrap().region_bytes;
    let start = Instant::now();
    ward.quarantine(region);
    let before = Stats::read();
    let buffer = ward.node.alloc(request(region)).expect("it waits");
    assert!(start.elapsed() >= QUARANTINE, "{:?}", start.elapsed());
    assert_eq!(Stats::read().failures, before.failures);
    assert_eq!(ward.expired(), 1);
    ward.node.free(buffer.handle).unwrap();
}

#[test]
fn an_allocation_that_cannot_fit_does_not_wait() {
    let ward = Ward::new();
    let region = ward.node.info().unwrap().region_bytes;
    let _held = ward.node.map(PAGE).unwrap();
    let phys_addr = ward.quarantine(PAGE);
    assert_eq!(ward.node.alloc(request(region)).unwrap_err(), Errno::ENOMEM);
    assert_eq!(state_of(phys_addr), "quarantined");
}

#[test]
fn an_allocation_by_mmap_waits_too() {
    let ward = Ward::new();
    let region = ward.node.info().unwrap().region_bytes;
    ward.quarantine(region);
    let mapping = ward.node.map(region).expect("it waits");
    assert_eq!(ward.expired(), 1);
    drop(mapping);
}

#[test]
fn a_waiting_allocation_takes_what_is_freed_meanwhile() {
    let ward = Ward::new();
    let region = ward.node.info().unwrap().region_bytes;
    ward.quarantine(region);
    let mut child = Child::start(|link| {
        let node = Node::open();
        link.receive();
        node.quiet().unwrap();
    });
    child.link.send(0);
    ward.node.map(region).expect("it waits");
    child.succeed();
    assert_eq!(ward.expired() + ward.quieted(), 1);
}

#[test]
fn a_waiting_allocation_can_be_killed() {
    let ward = Ward::new();
    let region = ward.node.info().unwrap().region_bytes;
    let mut child = Child::start(|link| {
        let node = Node::open();
        link.receive();
        let result = node.alloc(request(region)).map(drop);
        panic!("it returns {result:?}");
    });
    ward.quarantine(region);
    let before = Stats::read();
    child.link.send(0);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(child.kill(), Exit::Signal(Signal::SIGKILL));
    let after = Stats::read();
    assert_eq!(
        after.blocks_quarantined, after.blocks,
        "it was still waiting"
    );
    assert_eq!(after.allocations, before.allocations);
    assert_eq!(after.blocks_used, before.blocks_used);
}

#[test]
fn set_owner_refuses_what_is_not_defined() {
    let ward = Ward::new();
    let handle = ward.node.alloc(request(PAGE)).unwrap().handle;
    let refused = |argument| assert_eq!(ward.node.set_owner_with(argument), Err(Errno::EINVAL));
    let good = SetOwner {
        handle,
        owner: OWNER_DEVICE,
        ..Default::default()
    };
    refused(SetOwner { owner: 2, ..good });
    refused(SetOwner {
        reserved: 1,
        ..good
    });
    refused(SetOwner { addr: 1, ..good });
    ward.node.free(handle).unwrap();
    assert_eq!(ward.quarantined(), 0);
}

#[test]
fn set_owner_refuses_what_is_not_the_callers() {
    let ward = Ward::new();
    let node = &ward.node;
    assert_eq!(node.set_owner(77, OWNER_DEVICE), Err(Errno::ENOENT));
    assert_eq!(node.set_owner_at(0, OWNER_DEVICE), Err(Errno::EFAULT));
    let memory = Mapping::anonymous(PAGE, READ_WRITE);
    let (addr, end) = (memory.addr(), u64::MAX);
    assert_eq!(node.set_owner_at(addr, OWNER_DEVICE), Err(Errno::EFAULT));
    assert_eq!(node.set_owner_at(end, OWNER_DEVICE), Err(Errno::EFAULT));
}

#[test]
fn quarantined_blocks_stay_so_when_the_device_is_bound_again() {
    let ward = Ward::new();
    let phys_addr = ward.quarantine(PAGE);
    Unbound::new().bind();
    assert_eq!(state_of(phys_addr), "quarantined");
    let fresh = Node::open();
    let other = fresh.alloc(request(PAGE)).unwrap();
    assert_ne!(other.phys_addr, phys_addr);
    fresh.quiet().unwrap();
    assert_eq!(state_of(phys_addr), "free");
}

#[test]
fn a_quarantine_that_ends_while_unbound_is_over_afterwards() {
    let ward = Ward::new();
    let phys_addr = ward.quarantine(PAGE);
    let device = Unbound::new();
    std::thread::sleep(QUARANTINE);
    device.bind();
    assert_eq!(state_of(phys_addr), "free");
}

#[test]
fn quarantined_blocks_do_not_keep_the_module() {
    let _balance = Balance::new();
    let _reload = Reload;
    let node = Node::open();
    let phys_addr = quarantine(&node, PAGE);
    drop(node);
    assert_eq!(state_of(phys_addr), "quarantined");
    driver::unload().unwrap();
    driver::load().unwrap();
}

#[test]
fn a_pool_without_quarantine_frees_the_devices_buffer_at_once() {
    let _ward = Ward::new();
    let node = Node::open_hasty();
    let info = node.info().unwrap();
    assert_eq!((info.quarantine_ms, info.quarantined_bytes), (0, 0));
    let buffer = node.alloc(request(PAGE)).unwrap();
    node.set_owner(buffer.handle, OWNER_DEVICE).unwrap();
    node.free(buffer.handle).unwrap();
    let info = node.info().unwrap();
    assert_eq!(
        (info.free_bytes, info.quarantined_bytes),
        (info.region_bytes, 0)
    );
}
