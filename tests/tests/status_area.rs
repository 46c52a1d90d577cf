// SPDX-License-Identifier: MIT OR Apache-2.0

//! The status area: words in which a process tells which buffers the device may access.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Range, MAX_STATUS_BYTES, MMAP_STATUS_OFFSET, NO_SLOT};
use fpgamem_tests::child::{receive_descriptor, send_descriptor};
use fpgamem_tests::driver::{self, Reload};
use fpgamem_tests::quarantine::{holder, Ward};
use fpgamem_tests::{
    in_child, request, Balance, Child, Errno, MapFlags, Mapping, Node, ProtFlags, PAGE, READ_WRITE,
};
use std::os::unix::net::UnixStream;

/// Words in a page.
const SLOTS: u64 = PAGE / 4;

fn map(node: &Node) -> Mapping {
    node.map_status(PAGE).expect("the file is writable")
}

fn word(slot: u32) -> u64 {
    u64::from(slot) * 4
}

#[test]
fn it_begins_as_zeroes() {
    let _balance = Balance::new();
    let node = Node::open();
    node.map_status(MAX_STATUS_BYTES)
        .unwrap()
        .check_zero(0..MAX_STATUS_BYTES);
}

#[test]
fn every_call_maps_the_same_area() {
    let _balance = Balance::new();
    let node = Node::open();
    let (first, second) = (node.map_status(2 * PAGE).unwrap(), map(&node));
    first.store_register(40, 7);
    assert_eq!(second.load_register(40), 7);
}

#[test]
fn files_have_areas_of_their_own() {
    let _balance = Balance::new();
    let (first, second) = (map(&Node::open()), map(&Node::open()));
    first.store_register(40, 7);
    assert_eq!(second.load_register(40), 0);
}

#[test]
fn it_has_sixty_four_pages_at_most() {
    let _balance = Balance::new();
    let node = Node::open();
    let result = node.map_status(MAX_STATUS_BYTES + PAGE);
    assert_eq!(result.map(drop), Err(Errno::EINVAL));
    node.map_status(MAX_STATUS_BYTES).unwrap();
}

#[test]
fn a_later_call_cannot_make_it_longer() {
    let _balance = Balance::new();
    let node = Node::open();
    drop(map(&node));
    assert_eq!(node.map_status(2 * PAGE).map(drop), Err(Errno::EINVAL));
    map(&node);
}

#[test]
fn private_and_executable_mappings_are_refused() {
    let _balance = Balance::new();
    let node = Node::open();
    let refused = |protection, flags| {
        let result = node.map_with(PAGE, protection, flags, MMAP_STATUS_OFFSET);
        assert_eq!(result.map(drop), Err(Errno::EINVAL));
    };
    refused(READ_WRITE, MapFlags::MAP_PRIVATE);
    refused(READ_WRITE | ProtFlags::PROT_EXEC, MapFlags::MAP_SHARED);
    assert_eq!(node.alloc(request(1)).unwrap().status_slot, NO_SLOT);
}

#[test]
fn a_read_only_file_has_none() {
    let _balance = Balance::new();
    let node = Node::open_read_only();
    let shared = MapFlags::MAP_SHARED;
    let result = node.map_with(PAGE, ProtFlags::PROT_READ, shared, MMAP_STATUS_OFFSET);
    assert_eq!(result.map(drop), Err(Errno::EACCES));
}

#[test]
fn an_offset_within_it_is_none() {
    let _balance = Balance::new();
    let node = Node::open();
    let _area = map(&node);
    let shared = MapFlags::MAP_SHARED;
    let result = node.map_with(PAGE, READ_WRITE, shared, MMAP_STATUS_OFFSET + PAGE);
    assert_eq!(result.map(drop), Err(Errno::EINVAL));
}

#[test]
fn buffers_from_before_it_have_no_slot() {
    let _balance = Balance::new();
    let node = Node::open();
    let before = node.alloc(request(1)).unwrap();
    let _area = map(&node);
    let after = node.alloc(request(1)).unwrap();
    assert_eq!((before.status_slot, after.status_slot), (NO_SLOT, 0));
}

#[test]
fn every_call_that_describes_a_buffer_tells_its_slot() {
    let _balance = Balance::new();
    let node = Node::open();
    let _area = map(&node);
    node.alloc(request(1)).unwrap();
    let buffer = node.alloc(request(PAGE)).unwrap();
    assert_eq!(buffer.status_slot, 1);
    assert_eq!(node.query(buffer.handle).unwrap().status_slot, 1);
    let mapping = node.map_buffer(&buffer).unwrap();
    assert_eq!(node.user_to_phys(mapping.addr()).unwrap().status_slot, 1);
    let other = node.map(PAGE).unwrap();
    assert_eq!(node.user_to_phys(other.addr()).unwrap().status_slot, 2);
}

#[test]
fn more_buffers_than_words_go_without() {
    let _balance = Balance::new();
    let node = Node::open();
    let _area = map(&node);
    for number in 0..SLOTS + 100 {
        let slot = u64::from(node.alloc(request(1)).unwrap().status_slot);
        let expected = if number < SLOTS {
            number
        } else {
            NO_SLOT.into()
        };
        assert_eq!(slot, expected, "of buffer {number}");
    }
}

#[test]
fn the_lowest_slot_that_is_free_is_next() {
    let _balance = Balance::new();
    let node = Node::open();
    let _area = map(&node);
    let handles = [(); 8].map(|()| node.alloc(request(1)).unwrap().handle);
    for freed in [4, 0, 1] {
        node.free(handles[freed]).unwrap();
    }
    let slots = [(); 4].map(|()| node.alloc(request(1)).unwrap().status_slot);
    assert_eq!(slots, [0, 1, 4, 8]);
}

#[test]
fn a_slot_is_used_again_and_zeroed() {
    let ward = Ward::new();
    let node = &ward.node;
    let area = map(node);
    let slots = [(); 3].map(|()| node.alloc(request(1)).unwrap());
    let middle = slots[1];
    area.store_register(word(middle.status_slot), 0xffff_ffff);
    node.free(middle.handle).unwrap();
    let next = node.alloc(request(1)).unwrap();
    assert_eq!(next.status_slot, middle.status_slot);
    assert_eq!(area.load_register(word(next.status_slot)), 0);
    node.free(next.handle).unwrap();
    assert_eq!(ward.quarantined(), 1, "the first of the two");
    for buffer in [slots[0], slots[2]] {
        node.free(buffer.handle).unwrap();
    }
}

#[test]
fn a_killed_process_leaves_exactly_the_marked_buffer_in_quarantine() {
    let ward = Ward::new();
    let (child, _) = holder(PAGE, map, |node, answer, _, area| {
        node.alloc(request(PAGE)).unwrap();
        area.store_register(word(answer.status_slot), 1);
    });
    child.kill();
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn a_mark_that_is_taken_back_does_not_count() {
    let ward = Ward::new();
    let (child, _) = holder(PAGE, map, |_, answer, _, area| {
        area.store_register(word(answer.status_slot), 1);
        area.store_register(word(answer.status_slot), 0);
    });
    child.kill();
    assert_eq!(ward.quarantined(), 0);
}

#[test]
fn garbage_in_every_word_does_no_more_than_quarantine() {
    let ward = Ward::new();
    let node = Node::open();
    let area = node.map_status(MAX_STATUS_BYTES).unwrap();
    for seed in 0..4 {
        area.fill(seed);
        let buffer = node.alloc(request(PAGE)).unwrap();
        let mapping = node.map_buffer(&buffer).unwrap();
        mapping.check_zero(0..PAGE);
        area.fill(seed + 10);
        assert_eq!(node.query(buffer.handle).unwrap().status_slot, 0);
        node.free(buffer.handle).unwrap();
    }
    assert_eq!(ward.quarantined(), 4);
}

#[test]
fn unmapping_it_leaves_the_marks() {
    let ward = Ward::new();
    let node = Node::open();
    let area = map(&node);
    let marked = node.alloc(request(1)).unwrap();
    area.store_register(word(marked.status_slot), 1);
    drop(area);
    node.free(marked.handle).unwrap();
    node.alloc(request(1)).unwrap();
    drop(node);
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn protection_does_not_hide_the_marks() {
    let ward = Ward::new();
    let node = Node::open();
    let area = map(&node);
    let marked = node.alloc(request(1)).unwrap();
    area.store_register(word(marked.status_slot), 1);
    area.protect(0..PAGE, ProtFlags::PROT_NONE).unwrap();
    node.free(marked.handle).unwrap();
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn it_outlives_its_file_and_its_buffers() {
    let ward = Ward::new();
    let node = Node::open();
    let area = map(&node);
    let mapping = node.map(PAGE).unwrap();
    area.store_register(0, 1);
    drop(node);
    drop(mapping);
    assert_eq!(ward.quarantined(), 1);
    assert_eq!(area.load_register(0), 1);
    area.store_register(0, 2);
    assert_eq!(area.load_register(0), 2);
}

#[test]
fn a_buffer_outlives_the_file_and_the_mapping_of_the_area() {
    let ward = Ward::new();
    let node = Node::open();
    let area = map(&node);
    let mapping = node.map(PAGE).unwrap();
    area.store_register(0, 1);
    drop(area);
    drop(node);
    drop(mapping);
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn a_forked_child_marks_in_the_same_words() {
    let ward = Ward::new();
    let node = Node::open();
    let area = map(&node);
    let mapping = node.map(PAGE).unwrap();
    in_child(|| area.store_register(0, 1));
    assert_eq!(area.load_register(0), 1);
    drop(mapping);
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn who_receives_the_file_maps_the_same_area() {
    let ward = Ward::new();
    let (here, there) = UnixStream::pair().unwrap();
    let mut child = Child::start(|link| {
        let node = Node::from(receive_descriptor(&there));
        let area = map(&node);
        link.send(u64::from(area.load_register(4)));
        area.store_register(0, 1);
    });
    let node = Node::open();
    let area = map(&node);
    let mapping = node.map(PAGE).unwrap();
    area.store_register(4, 5);
    send_descriptor(&here, &node);
    assert_eq!(child.link.receive(), 5);
    child.succeed();
    drop(mapping);
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn it_can_be_moved_but_not_grown() {
    let _balance = Balance::new();
    let node = Node::open();
    let mut area = map(&node);
    area.store_register(0, 9);
    area.relocate().unwrap();
    assert_eq!(area.load_register(0), 9);
    assert_eq!(area.resize(2 * PAGE), Err(Errno::EFAULT));
}

#[test]
fn its_addresses_are_in_no_buffer() {
    let _balance = Balance::new();
    let node = Node::open();
    let area = map(&node);
    let addr = area.addr();
    let range = Range {
        addr,
        len: PAGE,
        ..Default::default()
    };
    assert_eq!(node.user_to_phys(addr).map(drop), Err(Errno::EFAULT));
    assert_eq!(node.flush(range), Err(Errno::EFAULT));
    assert_eq!(node.invalidate(range), Err(Errno::EFAULT));
    assert_eq!(node.sync(abi::SYNC_FLUSH, &[range]), Err(Errno::EFAULT));
    let set = node.set_owner_at(addr, abi::OWNER_DEVICE);
    assert_eq!(set, Err(Errno::EFAULT));
}

#[test]
fn it_keeps_the_module() {
    let _balance = Balance::new();
    let _reload = Reload;
    let area = map(&Node::open());
    assert_eq!(driver::unload(), Err(Errno::EWOULDBLOCK));
    area.store_register(0, 1);
}
