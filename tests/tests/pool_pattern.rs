// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every page of the whole pool is its owner's alone, to the CPU and to a bus master.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{Alloc, Range};
use fpgamem_tests::pattern::Random;
use fpgamem_tests::zdma::Zdma;
use fpgamem_tests::{request, Balance, Child, Errno, Exit, Link, Mapping, Node, PAGE};
use nix::sys::signal::Signal;

/// Processes that share the pool out among them.
const OWNERS: u64 = 4;
/// Bytes that the bus master copies at a time.
const WINDOW: u64 = 4 << 20;

/// The memory of a buffer, and whose it is.
#[derive(Clone, Copy, Debug)]
struct Piece {
    phys_addr: u64,
    bytes: u64,
    owner: u64,
}

/// What the first and the last word of a page hold.
fn stamp(owner: u64, phys_page: u64) -> u64 {
    owner << 56 | phys_page
}

/// Where stamps stand in `bytes` bytes.
fn stamps(bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    let pages = (0..bytes / PAGE).map(|page| page * PAGE);
    pages.flat_map(|page| [(page, page), (page + PAGE - 8, page)])
}

/// Takes buffers of any size until not one block is left, in competition with others.
fn take_all(node: &Node, random: &mut Random) -> Vec<(Mapping, u64)> {
    let mut taken = Vec::new();
    let mut most = 4 << 20;
    while most >= PAGE {
        match node.map((1 + random.below(most / PAGE)) * PAGE) {
            Ok(mapping) => {
                let answer = node.user_to_phys(mapping.addr()).expect("it is ours");
                taken.push((mapping, answer.phys_addr));
            }
            Err(error) => {
                assert_eq!(error, Errno::ENOMEM);
                most /= 2;
            }
        }
    }
    taken
}

/// An owner: takes what it can get, stamps it, and checks it whenever it is asked to.
fn own(link: &mut Link, owner: u64) {
    let node = Node::open();
    let block = node.info().expect("INFO succeeds").block_bytes;
    let taken = take_all(&node, &mut Random::new(owner));
    // What is rounded up to a block is the owner's, too, though it is not mapped.
    link.send(taken.len() as u64);
    for (mapping, phys_addr) in &taken {
        mapping.check_zero(0..PAGE);
        for (offset, page) in stamps(mapping.len()) {
            mapping.store(offset, stamp(owner, phys_addr + page));
        }
        link.send(*phys_addr);
        link.send(mapping.len());
        link.send(mapping.len().next_multiple_of(block));
    }
    loop {
        link.receive();
        for (mapping, phys_addr) in &taken {
            for (offset, page) in stamps(mapping.len()) {
                assert_eq!(mapping.load(offset), stamp(owner, phys_addr + page));
            }
        }
        link.send(0);
    }
}

/// Looks at physical memory through the bus master.
struct Eyes {
    zdma: Zdma,
    node: Node,
    window: Alloc,
    seen: Mapping,
}

impl Eyes {
    fn new() -> Self {
        let node = Node::open();
        let window = node.alloc(request(WINDOW)).expect("the pool is empty");
        let seen = node.map_buffer(&window).expect("the offset is good");
        Self {
            zdma: Zdma::open(),
            node,
            window,
            seen,
        }
    }

    /// Lets `look` see memory in parts: where a part begins, how long it is, and a copy.
    fn look_at(&self, phys_addr: u64, bytes: u64, look: impl Fn(u64, u64, &Mapping)) {
        for start in (0..bytes.div_ceil(WINDOW)).map(|part| part * WINDOW) {
            let len = WINDOW.min(bytes - start);
            let whole = Range {
                handle: self.window.handle,
                len,
                ..Default::default()
            };
            self.node.invalidate(whole).expect("the range is good");
            let (from, to) = (phys_addr + start, self.window.device_addr);
            self.zdma
                .copy(from, to, u32::try_from(len).expect("the window is small"));
            self.node.invalidate(whole).expect("the range is good");
            look(from, len, &self.seen);
        }
    }

    fn check(&self, piece: &Piece) {
        self.look_at(piece.phys_addr, piece.bytes, |from, len, seen| {
            for (offset, page) in stamps(len) {
                let found = seen.load(offset);
                assert_eq!(found, stamp(piece.owner, from + page), "{piece:x?}");
            }
        });
    }
}

#[test]
fn each_page_of_the_pool_is_its_owners_to_the_cpu_and_to_a_master() {
    let _balance = Balance::of_an_empty_pool();
    let eyes = Eyes::new();
    let info = eyes.node.info().unwrap();
    let mut owners: Vec<_> = (1..=OWNERS)
        .map(|owner| Child::start(|link| own(link, owner)))
        .collect();
    let (mut pieces, mut held) = (Vec::new(), WINDOW);
    for (owner, child) in (1..).zip(&mut owners) {
        for _ in 0..child.link.receive() {
            let phys_addr = child.link.receive();
            let bytes = child.link.receive();
            held += child.link.receive();
            pieces.push(Piece {
                phys_addr,
                bytes,
                owner,
            });
        }
    }
    assert_eq!(held, info.region_bytes, "the owners have all of the pool");
    let ask = |owners: &mut [Child]| {
        for child in owners {
            child.link.send(0);
            child.link.receive();
        }
    };
    ask(&mut owners);
    pieces.iter().for_each(|piece| eyes.check(piece));

    // Two of them die; what they had is the next owner's, and has nothing of theirs.
    for child in owners.drain(..2) {
        assert_eq!(child.kill(), Exit::Signal(Signal::SIGKILL));
    }
    eyes.node.quiet().unwrap();
    let next = take_all(&eyes.node, &mut Random::new(0));
    for (mapping, phys_addr) in &next {
        eyes.look_at(*phys_addr, mapping.len(), |_, len, seen| {
            seen.check_zero(0..len);
        });
    }
    assert_eq!(eyes.node.info().unwrap().free_bytes, 0);
    for (mapping, _) in &next {
        mapping.check_zero(0..mapping.len());
    }
    ask(&mut owners);
    let alive = |piece: &&Piece| piece.owner > 2;
    pieces
        .iter()
        .filter(alive)
        .for_each(|piece| eyes.check(piece));
}
