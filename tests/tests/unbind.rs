// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device is unbound through sysfs while files and mappings of it live, and bound again.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{Alloc, Range, SYNC_FLUSH};
use fpgamem_tests::debugfs::blocks_used;
use fpgamem_tests::driver::{self, Unbound};
use fpgamem_tests::{
    block_map, debugfs, in_child, node, request, Balance, Child, Errno, Mapping, Node, PAGE,
};
use std::os::unix::fs::FileTypeExt;

/// A file with a handle and a mapping of it, from before the device was unbound.
struct Survivor {
    node: Node,
    buffer: Alloc,
    mapping: Mapping,
    device: Unbound,
}

impl Survivor {
    /// Unbinds the device under a buffer of one block.
    fn new() -> Self {
        let node = Node::open();
        let buffer = node.alloc(request(PAGE)).expect("there is room");
        let mapping = node.map_buffer(&buffer).expect("the offset is good");
        mapping.fill(1);
        Self {
            node,
            buffer,
            mapping,
            device: Unbound::new(),
        }
    }

    fn range(&self) -> Range {
        Range {
            addr: self.mapping.addr(),
            len: PAGE,
            ..Default::default()
        }
    }
}

#[test]
fn the_node_disappears_and_comes_back() {
    let _balance = Balance::new();
    let device = Unbound::new();
    assert!(!driver::node_exists());
    assert!(!debugfs::directory().exists());
    device.bind();
    let metadata = std::fs::metadata(node::PATH).unwrap();
    assert!(metadata.file_type().is_char_device());
    assert!(debugfs::directory().exists());
}

#[test]
fn a_device_that_is_bound_again_works() {
    let _balance = Balance::new();
    Unbound::new().bind();
    let mapping = Node::open().map(PAGE).unwrap();
    mapping.fill(1);
    mapping.check(1);
}

#[test]
fn unbinding_and_binding_can_be_repeated() {
    let _balance = Balance::new();
    for _ in 0..20 {
        Unbound::new().bind();
        Node::open().map(PAGE).unwrap().store(0, 1);
    }
}

#[test]
fn a_bound_device_cannot_be_bound_again() {
    let _balance = Balance::new();
    let error = driver::bind(&driver::device_name()).unwrap_err();
    // The driver core's answer for a device that has its driver.
    assert_eq!(error.raw_os_error(), Some(Errno::EBUSY as i32));
    Node::open().info().unwrap();
}

#[test]
fn info_on_an_old_file_has_no_device() {
    let _balance = Balance::new();
    let old = Survivor::new();
    assert_eq!(old.node.info().map(drop), Err(Errno::ENODEV));
}

#[test]
fn alloc_on_an_old_file_has_no_device() {
    let _balance = Balance::new();
    let old = Survivor::new();
    assert_eq!(old.node.alloc(request(PAGE)).map(drop), Err(Errno::ENODEV));
}

#[test]
fn free_on_an_old_file_has_no_device() {
    let _balance = Balance::new();
    let old = Survivor::new();
    assert_eq!(old.node.free(old.buffer.handle), Err(Errno::ENODEV));
}

#[test]
fn query_on_an_old_file_has_no_device() {
    let _balance = Balance::new();
    let old = Survivor::new();
    assert_eq!(
        old.node.query(old.buffer.handle).map(drop),
        Err(Errno::ENODEV)
    );
}

#[test]
fn user_to_phys_on_an_old_file_has_no_device() {
    let _balance = Balance::new();
    let old = Survivor::new();
    assert_eq!(
        old.node.user_to_phys(old.mapping.addr()).map(drop),
        Err(Errno::ENODEV)
    );
}

#[test]
fn phys_to_user_on_an_old_file_has_no_device() {
    let _balance = Balance::new();
    let old = Survivor::new();
    assert_eq!(
        old.node.phys_to_user(old.buffer.phys_addr).map(drop),
        Err(Errno::ENODEV)
    );
}

#[test]
fn flush_on_an_old_file_has_no_device() {
    let _balance = Balance::new();
    let old = Survivor::new();
    assert_eq!(old.node.flush(old.range()), Err(Errno::ENODEV));
}

#[test]
fn invalidate_on_an_old_file_has_no_device() {
    let _balance = Balance::new();
    let old = Survivor::new();
    assert_eq!(old.node.invalidate(old.range()), Err(Errno::ENODEV));
}

#[test]
fn sync_on_an_old_file_has_no_device() {
    let _balance = Balance::new();
    let old = Survivor::new();
    assert_eq!(
        old.node.sync(SYNC_FLUSH, &[old.range()]),
        Err(Errno::ENODEV)
    );
}

#[test]
fn an_old_file_cannot_allocate_by_mmap() {
    let _balance = Balance::new();
    let old = Survivor::new();
    assert_eq!(old.node.map(PAGE).map(drop), Err(Errno::ENODEV));
}

#[test]
fn an_old_file_cannot_map_its_handles() {
    let _balance = Balance::new();
    let old = Survivor::new();
    assert_eq!(
        old.node.map_buffer(&old.buffer).map(drop),
        Err(Errno::ENODEV)
    );
}

#[test]
fn an_old_file_stays_without_device_when_it_is_bound_again() {
    let _balance = Balance::new();
    let Survivor {
        node,
        mapping: _mapping,
        device,
        ..
    } = Survivor::new();
    device.bind();
    assert_eq!(node.info().map(drop), Err(Errno::ENODEV));
    assert_eq!(node.map(PAGE).map(drop), Err(Errno::ENODEV));
}

#[test]
fn an_old_mapping_can_be_read_and_written() {
    let _balance = Balance::new();
    let old = Survivor::new();
    old.mapping.check(1);
    old.mapping.fill(2);
    old.mapping.check(2);
}

#[test]
fn an_old_mapping_can_be_inherited_cut_and_moved() {
    let _balance = Balance::new();
    let node = Node::open();
    let mut mapping = node.map(4 * PAGE).unwrap();
    mapping.fill(1);
    let _device = Unbound::new();
    in_child(|| mapping.check(1));
    mapping.relocate().unwrap();
    mapping.check(1);
    mapping.unmap(PAGE..2 * PAGE);
    mapping.check_range(2 * PAGE..4 * PAGE, 1, 2 * PAGE);
}

#[test]
fn blocks_that_return_while_unbound_are_free_afterwards() {
    let balance = Balance::new();
    let Survivor {
        node,
        mapping,
        device,
        ..
    } = Survivor::new();
    drop(mapping);
    drop(node);
    device.bind();
    balance.expect_held(0);
}

#[test]
fn a_held_buffer_is_still_in_use_after_binding_again() {
    let balance = Balance::new();
    let Survivor {
        node,
        buffer,
        mapping,
        device,
    } = Survivor::new();
    device.bind();
    balance.expect_held(1);
    assert!(block_map::line_of(buffer.phys_addr).is_some());
    let fresh = Node::open();
    let info = fresh.info().unwrap();
    assert_eq!(
        info.free_bytes,
        info.region_bytes - blocks_used() * info.block_bytes
    );

    drop(node);
    balance.expect_held(1);
    mapping.check(1);
    drop(mapping);
    balance.expect_held(0);
}

#[test]
fn held_blocks_are_not_handed_out_again() {
    let _balance = Balance::of_an_empty_pool();
    let Survivor {
        node: _node,
        buffer,
        mapping,
        device,
    } = Survivor::new();
    device.bind();
    let fresh = Node::open();
    let region = fresh.info().unwrap().region_bytes;
    assert_eq!(fresh.alloc(request(region)).unwrap_err(), Errno::ENOMEM);
    // Every other block is written by its new owner.
    let info = fresh.info().unwrap();
    let mut others = Vec::new();
    for piece in [256 << 20, 16 << 20, 1 << 20, info.block_bytes] {
        while let Ok(other) = fresh.map(piece) {
            let start = fresh.user_to_phys(other.addr()).unwrap().phys_addr;
            assert!(!(start..start + piece).contains(&buffer.phys_addr));
            other.store(0, u64::MAX);
            others.push(other);
        }
    }
    assert_eq!(fresh.info().unwrap().free_bytes, 0);
    mapping.check(1);
}

#[test]
fn a_handle_of_an_old_file_holds_its_buffer_without_a_mapping() {
    let balance = Balance::new();
    let Survivor {
        node,
        mapping,
        device,
        ..
    } = Survivor::new();
    drop(mapping);
    device.bind();
    balance.expect_held(1);
    drop(node);
    balance.expect_held(0);
}

#[test]
fn an_old_mapping_translates_through_a_new_file() {
    let _balance = Balance::new();
    let Survivor {
        node: _node,
        buffer,
        mapping,
        device,
    } = Survivor::new();
    device.bind();
    let fresh = Node::open();
    assert_eq!(
        fresh.user_to_phys(mapping.addr()).unwrap().phys_addr,
        buffer.phys_addr
    );
    assert_eq!(
        fresh.phys_to_user(buffer.phys_addr).unwrap().user_addr,
        mapping.addr()
    );
}

#[test]
fn buffers_survive_several_rounds() {
    let balance = Balance::new();
    let mut survivors = Vec::new();
    for round in 1..=5 {
        let Survivor {
            node,
            mapping,
            device,
            ..
        } = Survivor::new();
        device.bind();
        mapping.fill(round);
        survivors.push((round, node, mapping));
        balance.expect_held(round);
    }
    for (round, _, mapping) in &survivors {
        mapping.check(*round);
    }
}

#[test]
fn the_holder_may_end_while_the_device_is_unbound() {
    let balance = Balance::new();
    let mut child = Child::start(|link| {
        let node = Node::open();
        let mapping = node.map(PAGE).unwrap();
        node.alloc(request(PAGE)).unwrap();
        link.send(0);
        link.receive();
        mapping.check_zero(0..PAGE);
    });
    child.link.receive();
    balance.expect_held(2);
    let device = Unbound::new();
    child.kill();
    device.bind();
    balance.expect_held(0);
}
