// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every reserved bit, every unknown flag and every bit of a command's number is refused, alone, in
//! an argument that is good otherwise, and nothing is done.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::abi::{
    self, Alloc, Buffer, Free, PhysToUser, Range, SetOwner, Sync, UserToPhys,
};
use fpgamem_tests::{request, Balance, Errno, Mapping, Node, Stats, PAGE, READ_WRITE};
use std::mem::offset_of;

/// Bits of a word of 32 bits that must be zero: where it is, and which.
type Word = (usize, u32);

/// All bits of `count` words from `offset` on.
fn all(offset: usize, count: usize) -> Vec<Word> {
    (0..count).map(|word| (offset + 4 * word, !0)).collect()
}

/// Memory for an argument, with some fields set.
fn argument(fields: &[(usize, u64)]) -> Mapping {
    let memory = Mapping::anonymous(PAGE, READ_WRITE);
    for &(offset, value) in fields {
        memory.store(offset as u64, value);
    }
    memory
}

fn bytes(memory: &Mapping) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    memory.read(0, &mut bytes);
    bytes
}

/// Calls with one wrong bit of `memory` after the other; `argument` of the node's call stands in
/// another place where the bits belong to what it points to.
fn refuse(node: &Node, command: u32, argument: &Mapping, memory: &Mapping, words: &[Word]) {
    // So that no quarantine of an earlier test ends meanwhile.
    node.quiet().expect("root may say so");
    let mut tried = 0;
    for &(offset, mask) in words {
        for bit in (0..32).filter(|bit| mask >> bit & 1 == 1) {
            let (offset, good) = (offset as u64, bytes(memory));
            let word = memory.load(offset);
            memory.store(offset, word ^ 1 << bit);
            let (before, passed) = (Stats::read_but_scrubbing(), bytes(memory));
            let result = node.command_at(command, argument, 0);
            let what = || format!("{command:#x}, bit {bit} of the word at {offset}");
            assert_eq!(result, Err(Errno::EINVAL), "{}", what());
            assert_eq!(Stats::read_but_scrubbing(), before, "{}", what());
            assert_eq!(bytes(memory), passed, "{}", what());
            memory.store(offset, word);
            assert_eq!(bytes(memory), good, "{}", what());
            tried += 1;
        }
    }
    let bits: u32 = words.iter().map(|(_, mask)| mask.count_ones()).sum();
    assert_eq!(tried, bits);
}

/// The same where the bits are in the argument itself; it is good once they are zero.
fn refuse_in_argument(node: &Node, command: u32, memory: &Mapping, words: &[Word]) {
    refuse(node, command, memory, memory, words);
    let good = node.command_at(command, memory, 0);
    assert_eq!(good, Ok(()), "{command:#x} with a good argument");
}

#[test]
fn alloc() {
    let _balance = Balance::new();
    let node = Node::open();
    let memory = argument(&[(offset_of!(Alloc, len), PAGE)]);
    let known = abi::ALLOC_WRITE_COMBINE | abi::ALLOC_COHERENT | abi::ALLOC_NONCOHERENT;
    let mut words = all(offset_of!(Alloc, reserved), 3);
    words.push((offset_of!(Alloc, flags), !known));
    refuse_in_argument(&node, abi::IOC_ALLOC, &memory, &words);
    assert_eq!(node.fdinfo("fpgamem-handles"), 1);
}

#[test]
fn free_and_query() {
    let _balance = Balance::new();
    let node = Node::open();
    let handle = u64::from(node.alloc(request(PAGE)).unwrap().handle);
    let memory = argument(&[(offset_of!(Buffer, handle), handle)]);
    let words = all(offset_of!(Buffer, reserved), 3);
    refuse_in_argument(&node, abi::IOC_QUERY, &memory, &words);
    let memory = argument(&[(offset_of!(Free, handle), handle)]);
    let words = all(offset_of!(Free, reserved), 1);
    refuse_in_argument(&node, abi::IOC_FREE, &memory, &words);
}

#[test]
fn translation() {
    let _balance = Balance::new();
    let node = Node::open();
    let mapping = node.map(PAGE).unwrap();
    let memory = argument(&[(offset_of!(UserToPhys, user_addr), mapping.addr())]);
    let words = all(offset_of!(UserToPhys, reserved), 2);
    refuse_in_argument(&node, abi::IOC_USER_TO_PHYS, &memory, &words);
    let phys_addr = memory.load(offset_of!(UserToPhys, phys_addr) as u64);
    let memory = argument(&[(offset_of!(PhysToUser, phys_addr), phys_addr)]);
    let words = all(offset_of!(PhysToUser, reserved), 2);
    refuse_in_argument(&node, abi::IOC_PHYS_TO_USER, &memory, &words);
}

#[test]
fn maintenance() {
    let _balance = Balance::new();
    let node = Node::open();
    let mapping = node.map(PAGE).unwrap();
    let range = argument(&[
        (offset_of!(Range, addr), mapping.addr()),
        (offset_of!(Range, len), PAGE),
    ]);
    let words = all(offset_of!(Range, reserved), 1);
    for command in [abi::IOC_FLUSH, abi::IOC_INVALIDATE] {
        refuse_in_argument(&node, command, &range, &words);
    }
    let op = offset_of!(Sync, op);
    let sync = argument(&[
        (offset_of!(Sync, ranges), range.addr()),
        (offset_of!(Sync, count), 1),
        (op, u64::from(abi::SYNC_FLUSH)),
    ]);
    // Bit 0 makes the operation 0; bit 1 makes it both.
    let mut words = all(offset_of!(Sync, reserved), 2);
    words.push((op, !0));
    refuse_in_argument(&node, abi::IOC_SYNC, &sync, &words);
    let words = all(offset_of!(Range, reserved), 1);
    refuse(&node, abi::IOC_SYNC, &sync, &range, &words);
}

#[test]
fn set_owner() {
    let _balance = Balance::new();
    let node = Node::open();
    let handle = u64::from(node.alloc(request(PAGE)).unwrap().handle);
    // The other owner is a good value.
    let owner = (offset_of!(SetOwner, owner), !abi::OWNER_DEVICE);
    let mut words = all(offset_of!(SetOwner, reserved), 2);
    words.push(owner);
    let memory = argument(&[(offset_of!(SetOwner, handle), handle)]);
    refuse_in_argument(&node, abi::IOC_SET_OWNER, &memory, &words);
    // With a handle an address is not taken, bit by bit.
    let words = all(offset_of!(SetOwner, addr), 2);
    refuse_in_argument(&node, abi::IOC_SET_OWNER, &memory, &words);
}

#[test]
fn other_command_numbers_are_unknown() {
    let _balance = Balance::new();
    let node = Node::open();
    let known = [
        abi::IOC_INFO,
        abi::IOC_ALLOC,
        abi::IOC_FREE,
        abi::IOC_QUERY,
        abi::IOC_USER_TO_PHYS,
        abi::IOC_PHYS_TO_USER,
        abi::IOC_FLUSH,
        abi::IOC_INVALIDATE,
        abi::IOC_SYNC,
        abi::IOC_SET_OWNER,
        abi::IOC_QUIET,
        paddle::B_FLUSH,
        paddle::B_INVALIDATE,
        paddle::B_VM_TO_PHYS,
    ];
    // As large as any command's number can say.
    let memory = Mapping::anonymous(8 * PAGE, READ_WRITE);
    let before = Stats::read_but_scrubbing();
    for command in known {
        for other in (0..32).map(|bit| command ^ 1 << bit) {
            if !known.contains(&other) {
                let result = node.command_at(other, &memory, 0);
                assert_eq!(result, Err(Errno::ENOTTY), "{other:#x}");
            }
        }
    }
    assert_eq!(Stats::read_but_scrubbing(), before);
    memory.check_zero(0..8 * PAGE);
}

#[test]
fn an_argument_needs_no_alignment() {
    let _balance = Balance::new();
    let node = Node::open();
    let mapping = node.map(PAGE).unwrap();
    let memory = Mapping::anonymous(2 * PAGE, READ_WRITE);
    for start in (1..8).chain(PAGE - 23..PAGE) {
        memory.set(0..2 * PAGE, 0);
        memory.store(start, mapping.addr() + start);
        node.command_at(abi::IOC_USER_TO_PHYS, &memory, start)
            .unwrap();
        let field = start + offset_of!(UserToPhys, contiguous_bytes) as u64;
        assert_eq!(memory.load(field), PAGE - start);
        memory.set(0..2 * PAGE, 0);
        memory.store(start + offset_of!(Range, addr) as u64, mapping.addr());
        memory.store(start + offset_of!(Range, len) as u64, 64);
        node.command_at(abi::IOC_FLUSH, &memory, start).unwrap();
    }
}
