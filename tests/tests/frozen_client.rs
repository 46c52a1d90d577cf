// SPDX-License-Identifier: MIT OR Apache-2.0

//! A client as it was built for ABI 1: every number below is written out, and none may ever change, for
//! such programs are in the field. A driver that breaks this test has another ABI number.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::{Balance, Errno, MapFlags, Mapping, Node, READ_WRITE};

const INFO: u32 = 0x80f8_ba00;
const ALLOC: u32 = 0xc048_ba01;
const FREE: u32 = 0x4008_ba02;
const QUERY: u32 = 0xc038_ba03;
const USER_TO_PHYS: u32 = 0xc030_ba04;
const PHYS_TO_USER: u32 = 0xc020_ba05;
const FLUSH: u32 = 0x4018_ba06;
const INVALIDATE: u32 = 0x4018_ba07;
const SYNC: u32 = 0x4018_ba08;
const SET_OWNER: u32 = 0x4018_ba09;
const QUIET: u32 = 0x0000_ba0a;

const BLOCK: u64 = 16384;

/// The argument of a call, of which every byte is written and read by its offset.
struct Argument(Mapping);

impl Argument {
    /// All 0.
    fn new() -> Self {
        Self(Mapping::anonymous(4096, READ_WRITE))
    }

    fn with(self, offset: u64, bytes: &[u8]) -> Self {
        self.0.write(offset, bytes);
        self
    }

    fn u32(&self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.0.read(offset, &mut bytes);
        u32::from_ne_bytes(bytes)
    }

    fn u64(&self, offset: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read(offset, &mut bytes);
        u64::from_ne_bytes(bytes)
    }

    fn call(self, node: &Node, command: u32) -> Result<Self, Errno> {
        node.command_at(command, &self.0, 0)?;
        Ok(self)
    }
}

/// Allocates `len` bytes, and gives the answer.
fn alloc(node: &Node, len: u64) -> Argument {
    let request = Argument::new().with(0, &len.to_ne_bytes());
    request.call(node, ALLOC).expect("there is room")
}

/// Maps what an allocation answered.
fn map(node: &Node, answer: &Argument) -> Mapping {
    let (bytes, offset) = (answer.u64(24), answer.u64(48));
    node.map_with(bytes, READ_WRITE, MapFlags::MAP_SHARED, offset)
        .expect("the buffer can be mapped")
}

/// An argument that is a range by user address.
fn range(addr: u64, len: u64) -> Argument {
    let argument = Argument::new().with(0, &addr.to_ne_bytes());
    argument.with(8, &len.to_ne_bytes())
}

#[test]
fn the_pool_is_described_as_ever() {
    let node = Node::open();
    let current = node.info().unwrap();
    let info = Argument::new().call(&node, INFO).unwrap();
    assert_eq!(info.u32(0), 1, "the ABI number");
    assert_eq!(info.u64(8) & 0b1111, 0b1111, "the features of ABI 1");
    assert_eq!(
        (info.u64(16), info.u64(24)),
        (current.phys_addr, current.device_addr)
    );
    assert_eq!((info.u64(32), info.u64(40)), (current.region_bytes, BLOCK));
    assert_eq!((info.u64(48), info.u32(56)), (current.free_bytes, 0));
    assert_eq!(info.u32(60), 64, "bytes of a cache line");
    assert_eq!(info.u64(64), current.largest_free_bytes[0]);
    assert_eq!(info.u64(64 + 18 * 8), current.largest_free_bytes[18]);
    assert_eq!(info.u32(224), current.quarantine_ms);
}

#[test]
fn a_buffer_lives_and_dies_as_ever() {
    let balance = Balance::new();
    let node = Node::open();
    let answer = alloc(&node, BLOCK + 1);
    let (handle, phys) = (answer.u32(20), answer.u64(32));
    assert_eq!(answer.u64(24), 2 * BLOCK);
    assert_eq!(answer.u64(40), phys, "the device's address");
    assert!(answer.u64(48) >= 1 << 40, "the offset for mmap");
    let mapping = map(&node, &answer);
    mapping.fill(1);
    mapping.check(1);

    let query = Argument::new().with(0, &handle.to_ne_bytes());
    let query = query.call(&node, QUERY).unwrap();
    assert_eq!((query.u64(8), query.u64(16)), (2 * BLOCK, phys));
    assert_eq!((query.u64(24), query.u64(32)), (phys, answer.u64(48)));

    let inside = (mapping.addr() + 100).to_ne_bytes();
    let to_phys = Argument::new().with(0, &inside);
    let to_phys = to_phys.call(&node, USER_TO_PHYS).unwrap();
    assert_eq!((to_phys.u64(8), to_phys.u64(16)), (phys + 100, phys + 100));
    assert_eq!(to_phys.u64(24), 2 * BLOCK - 100);
    let to_user = Argument::new().with(0, &(phys + 100).to_ne_bytes());
    let to_user = to_user.call(&node, PHYS_TO_USER).unwrap();
    assert_eq!(to_user.u64(8), mapping.addr() + 100);

    let free = Argument::new().with(0, &handle.to_ne_bytes());
    free.call(&node, FREE).unwrap();
    balance.expect_held(2);
    drop(mapping);
    balance.expect_held(0);
}

#[test]
fn caches_are_maintained_as_ever() {
    let _balance = Balance::new();
    let node = Node::open();
    let mapping = map(&node, &alloc(&node, BLOCK));
    let (addr, len) = (mapping.addr(), mapping.len());
    range(addr, len).call(&node, FLUSH).unwrap();
    range(addr, len).call(&node, INVALIDATE).unwrap();
    let ranges = range(addr, 64).with(24, &(addr + 64).to_ne_bytes());
    let ranges = ranges.with(32, &64_u64.to_ne_bytes());
    for op in [1_u32, 2] {
        let sync = Argument::new().with(0, &ranges.0.addr().to_ne_bytes());
        let sync = sync.with(8, &2_u32.to_ne_bytes());
        sync.with(12, &op.to_ne_bytes()).call(&node, SYNC).unwrap();
    }
    let beyond = range(addr + len, 64).call(&node, FLUSH);
    assert_eq!(beyond.err(), Some(Errno::EFAULT));
}

#[test]
fn owners_are_told_as_ever() {
    let _balance = Balance::new();
    let node = Node::open();
    let mapping = map(&node, &alloc(&node, BLOCK));
    for owner in [1_u32, 0] {
        let argument = Argument::new().with(0, &mapping.addr().to_ne_bytes());
        let argument = argument.with(12, &owner.to_ne_bytes());
        argument.call(&node, SET_OWNER).unwrap();
    }
    Argument::new().call(&node, QUIET).unwrap();
}
