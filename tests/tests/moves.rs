// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mappings that are moved in whole and in part, over each other, again and again, and mappings that
//! several processes cut to pieces.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::Range;
use fpgamem_tests::pattern::Random;
use fpgamem_tests::{
    block_map, request, Balance, Child, Errno, Mapping, Node, ProtFlags, PAGE, READ_WRITE,
};
use std::collections::HashSet;

/// A mapping of so many blocks with a pattern, and its physical address.
fn filled(node: &Node, blocks: u64, seed: u64) -> (Mapping, u64) {
    let block = node.info().expect("INFO succeeds").block_bytes;
    let mapping = node.map(blocks * block).expect("there is room");
    mapping.fill(seed);
    let phys_addr = phys_of(node, mapping.addr()).expect("it is ours");
    (mapping, phys_addr)
}

fn phys_of(node: &Node, address: u64) -> Result<u64, Errno> {
    node.user_to_phys(address).map(|answer| answer.phys_addr)
}

fn user_of(node: &Node, phys_addr: u64) -> Result<u64, Errno> {
    node.phys_to_user(phys_addr).map(|answer| answer.user_addr)
}

#[test]
fn a_mapping_that_is_moved_over_another_buffer_takes_its_place() {
    let balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let (mut a, a_phys) = filled(&node, 4, 1);
    let (mut b, b_phys) = filled(&node, 4, 2);
    balance.expect_held(8);
    a.move_into(0..4 * block, &mut b, 0).unwrap();
    balance.expect_held(4);
    b.check(1);
    assert_eq!(phys_of(&node, b.addr()), Ok(a_phys));
    assert_eq!(user_of(&node, a_phys + 5), Ok(b.addr() + 5));
    assert_eq!(phys_of(&node, a.addr()), Err(Errno::EFAULT));
    assert_eq!(user_of(&node, b_phys), Err(Errno::EFAULT));
    drop(b);
    balance.expect_held(0);
}

#[test]
fn a_mapping_that_is_moved_over_the_middle_of_another_buffer_leaves_its_ends() {
    let balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let (mut a, a_phys) = filled(&node, 1, 1);
    let (mut b, b_phys) = filled(&node, 4, 2);
    a.move_into(0..block, &mut b, block).unwrap();
    balance.expect_held(5);
    b.check_range(0..block, 2, 0);
    b.check_range(block..2 * block, 1, 0);
    b.check_range(2 * block..4 * block, 2, 2 * block);
    assert_eq!(user_of(&node, a_phys), Ok(b.addr() + block));
    assert_eq!(user_of(&node, b_phys + block), Err(Errno::EFAULT));
    assert_eq!(user_of(&node, b_phys + 3 * block), Ok(b.addr() + 3 * block));
    let head = node.user_to_phys(b.addr()).unwrap();
    assert_eq!(head.contiguous_bytes, block);
    // One range must lie in one buffer.
    let across = |addr, len| Range {
        addr,
        len,
        ..Default::default()
    };
    assert_eq!(
        node.flush(across(b.addr() + block - 64, 128)),
        Err(Errno::EFAULT)
    );
    node.flush(across(b.addr() + block, block)).unwrap();
    b.unmap(0..block);
    balance.expect_held(5);
    b.unmap(block..2 * block);
    balance.expect_held(4);
    b.unmap(2 * block..4 * block);
    balance.expect_held(0);
}

#[test]
fn the_middle_of_a_mapping_can_be_moved_away() {
    let balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let (mut mapping, phys_addr) = filled(&node, 4, 1);
    let mut target = Mapping::anonymous(2 * block, READ_WRITE);
    mapping.move_into(block..3 * block, &mut target, 0).unwrap();
    balance.expect_held(4);
    target.check_range(0..2 * block, 1, block);
    assert_eq!(block_map::line_of(phys_addr).unwrap().mappings, 3);
    for (offset, address) in [
        (0, mapping.addr()),
        (block, target.addr()),
        (3 * block - PAGE, target.addr() + 2 * block - PAGE),
        (3 * block, mapping.addr() + 3 * block),
    ] {
        assert_eq!(phys_of(&node, address), Ok(phys_addr + offset));
        assert_eq!(user_of(&node, phys_addr + offset), Ok(address));
    }
    drop(mapping);
    balance.expect_held(4);
    target.check_range(0..2 * block, 1, block);
    drop(target);
    balance.expect_held(0);
}

#[test]
fn a_mapping_that_is_moved_again_and_again_stays_the_same() {
    let balance = Balance::new();
    let node = Node::open();
    let (mut mapping, phys_addr) = filled(&node, 4, 1);
    for round in 0..50 {
        mapping.relocate().unwrap();
        assert_eq!(phys_of(&node, mapping.addr()), Ok(phys_addr));
        assert_eq!(
            user_of(&node, phys_addr + round),
            Ok(mapping.addr() + round)
        );
        assert_eq!(block_map::line_of(phys_addr).unwrap().mappings, 1);
    }
    mapping.check(1);
    balance.expect_held(4);
}

#[test]
fn a_mapping_cannot_be_moved_over_itself() {
    let balance = Balance::new();
    let node = Node::open();
    let (mapping, phys_addr) = filled(&node, 4, 1);
    assert_eq!(mapping.move_over_itself(PAGE), Err(Errno::EINVAL));
    mapping.check(1);
    assert_eq!(user_of(&node, phys_addr), Ok(mapping.addr()));
    balance.expect_held(4);
}

/// A page of a buffer: which buffer, and which of its pages.
type Page = (usize, u64);

#[test]
fn pages_that_are_moved_at_random_stay_with_their_buffers() {
    const PAGES: u64 = 8;
    let balance = Balance::new();
    let node = Node::open();
    let (mut mappings, phys): (Vec<_>, Vec<_>) = (0..3).map(|seed| filled(&node, 2, seed)).unzip();
    assert_eq!(mappings[0].len(), PAGES * PAGE);
    // What each page of each mapping must be.
    let mut model: Vec<Vec<Option<Page>>> = (0..3)
        .map(|buffer| (0..PAGES).map(|page| Some((buffer, page))).collect())
        .collect();
    let mut random = Random::new(6);
    let mut pick = |below: u64| usize::try_from(random.below(below)).expect("small");
    for step in 0..200 {
        let (from, to) = (pick(3), pick(3));
        let (source, target) = (pick(PAGES), pick(PAGES));
        let at = |page: usize| page as u64 * PAGE;
        if from == to {
            mappings[from].unmap(at(source)..at(source) + PAGE);
            mappings[from].plug(at(source)..at(source) + PAGE);
        } else {
            let [a, b, c] = &mut mappings[..] else {
                unreachable!("there are three")
            };
            let (one, other) = match (from, to) {
                (0, 1) => (a, b),
                (0, _) => (a, c),
                (1, 0) => (b, a),
                (1, _) => (b, c),
                (_, 0) => (c, a),
                _ => (c, b),
            };
            let range = at(source)..at(source) + PAGE;
            one.move_into(range.clone(), other, at(target)).unwrap();
            one.plug(range);
            model[to][target] = model[from][source];
        }
        model[from][source] = None;
        let alive: HashSet<_> = model
            .iter()
            .flatten()
            .flatten()
            .map(|page| page.0)
            .collect();
        balance.expect_held(2 * alive.len() as u64);
        for (mapping, pages) in mappings.iter().zip(&model) {
            for (place, page) in pages.iter().enumerate() {
                let address = mapping.addr() + at(place);
                let expected = page.map(|(buffer, page)| phys[buffer] + page * PAGE);
                let found = phys_of(&node, address);
                assert_eq!(found, expected.ok_or(Errno::EFAULT), "step {step}");
                if let Some(phys_addr) = expected {
                    assert_eq!(user_of(&node, phys_addr), Ok(address), "step {step}");
                }
            }
        }
        if alive.is_empty() {
            break;
        }
    }
    for (mapping, pages) in mappings.iter().zip(&model) {
        for (place, (buffer, page)) in (0..)
            .zip(pages)
            .filter_map(|(at, page)| Some((at, (*page)?)))
        {
            let range = place * PAGE..(place + 1) * PAGE;
            mapping.check_range(range, buffer as u64, page * PAGE);
        }
    }
}

#[test]
fn a_buffer_that_three_generations_cut_to_pieces_lives_until_the_last_piece() {
    let balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let (mut mapping, phys_addr) = filled(&node, 4, 1);
    let count = || block_map::line_of(phys_addr).map_or(0, |line| line.mappings);
    // Four pieces in this process, four in the child, and what is left of them in its child.
    mapping
        .protect(block..2 * block, ProtFlags::PROT_READ)
        .unwrap();
    mapping
        .protect(3 * block..4 * block, ProtFlags::PROT_NONE)
        .unwrap();
    assert_eq!(count(), 4);
    let mut child = Child::start(|link| {
        assert_eq!(count(), 8);
        mapping.unmap(0..block);
        mapping.unmap(2 * block + PAGE..3 * block);
        assert_eq!(count(), 7);
        let mut grandchild = Child::start(|link| {
            assert_eq!(count(), 10);
            // A hole in what is left; both ends of it stay.
            mapping.unmap(block + PAGE..block + 2 * PAGE);
            assert_eq!(count(), 11);
            link.send(0);
            link.receive();
            mapping.check_range(block..block + PAGE, 1, block);
            mapping.check_range(block + 2 * PAGE..2 * block + PAGE, 1, block + 2 * PAGE);
            assert_eq!(
                user_of(&node, phys_addr + block),
                Ok(mapping.addr() + block)
            );
            assert_eq!(user_of(&node, phys_addr), Err(Errno::EFAULT));
            for piece in [block..block + PAGE, 3 * block..4 * block] {
                mapping.unmap(piece);
                balance.expect_held(4);
            }
            mapping.unmap(block + 2 * PAGE..2 * block + PAGE);
        });
        grandchild.link.receive();
        mapping.unmap(0..4 * block);
        link.send(0);
        link.receive();
        grandchild.link.send(0);
        grandchild.succeed();
    });
    child.link.receive();
    mapping.check_range(0..3 * block, 1, 0);
    mapping.unmap(0..4 * block);
    assert_eq!(count(), 4);
    balance.expect_held(4);
    child.link.send(0);
    child.succeed();
    balance.expect_held(0);
}

#[test]
fn a_handle_holds_what_every_mapping_has_left() {
    let balance = Balance::new();
    let node = Node::open();
    let block = node.info().unwrap().block_bytes;
    let buffer = node.alloc(request(2 * block)).unwrap();
    let mut first = node.map_buffer(&buffer).unwrap();
    let mut second = node.map_buffer(&buffer).unwrap();
    first.fill(4);
    // The second mapping over the first one's tail, of the same buffer.
    second.move_into(0..block, &mut first, block).unwrap();
    first.check_range(block..2 * block, 4, 0);
    let addresses = [first.addr(), first.addr() + block];
    let lowest = addresses.into_iter().min();
    assert_eq!(user_of(&node, buffer.phys_addr).ok(), lowest);
    drop((first, second));
    balance.expect_held(2);
    node.map_buffer(&buffer).unwrap().check(4);
    node.free(buffer.handle).unwrap();
    balance.expect_held(0);
}
