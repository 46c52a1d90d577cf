// SPDX-License-Identifier: MIT OR Apache-2.0

//! The arena of libfpgamem: small buffers that share allocations.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![deny(unsafe_code)]

use fpgamem::{Arena, Buffer, Device, DeviceBuffer, Direction, Error};
use fpgamem_tests::quarantine::{state_of, Ward};
use fpgamem_tests::steps::{self, Step};
use fpgamem_tests::zdma::Zdma;
use fpgamem_tests::{in_child, pattern, Balance};

const BLOCK: usize = 16384;
const LINE: u64 = 64;
/// Blocks of a chunk.
const CHUNK_BLOCKS: u64 = 32;

fn arena() -> Arena {
    Arena::new(&Device::open().expect("the device is there"))
}

/// Takes a buffer back that no device uses any more.
#[expect(
    unsafe_code,
    reason = "the ZDMA copies while `copy` runs and never else"
)]
fn take_back(buffer: DeviceBuffer) -> Buffer {
    // SAFETY: no device uses the buffer: `Zdma::copy` returns when the channel has finished.
    unsafe { buffer.into_cpu() }.expect("it is ours")
}

#[test]
fn a_thousand_small_buffers_take_one_chunk() {
    let balance = Balance::new();
    let arena = arena();
    let buffers: Vec<_> = (0..1000).map(|_| arena.alloc(272).unwrap()).collect();
    balance.expect_held(CHUNK_BLOCKS);
    assert_eq!(arena.usage().held_bytes, 32 * BLOCK);
    drop(buffers);
    balance.expect_held(CHUNK_BLOCKS);
    arena.trim();
    balance.expect_held(0);
}

#[test]
fn addresses_of_pieces_are_those_of_the_driver() {
    let _balance = Balance::new();
    let arena = arena();
    let buffers: Vec<_> = (0..10).map(|_| arena.alloc(100).unwrap()).collect();
    for buffer in &buffers {
        let there = arena.device().user_to_phys(&buffer[99]).unwrap().unwrap();
        assert_eq!(buffer.phys_of(99), Some(there.phys_addr));
        assert_eq!(buffer.device_addr_of(99), Some(there.device_addr));
        assert_eq!(arena.device().phys_of(&buffer[99]), Some(there));
    }
}

#[test]
fn a_master_copies_from_piece_to_piece() {
    let _balance = Balance::new();
    let arena = arena();
    let mut from = arena.alloc(1000).unwrap();
    let mut mine = arena.alloc(100).unwrap();
    // A piece that was used before has stores that nobody synced.
    let mut used = arena.alloc(1000).unwrap();
    used.fill(9);
    drop(used);
    let to = arena.alloc(1000).unwrap();
    pattern::fill(&mut from, 1, 0);
    let from = from.into_device(Direction::ToDevice).unwrap();
    let to = to.into_device(Direction::FromDevice).unwrap();
    mine.fill(3);
    let (source, target) = (from.device_addr().as_u64(), to.device_addr().as_u64());
    Zdma::open().copy(source, target, 1000);
    let (from, to) = (take_back(from), take_back(to));
    assert_eq!(from[..], to[..]);
    assert!(mine.iter().all(|byte| *byte == 3));
}

#[test]
fn a_piece_is_made_handed_over_and_freed_without_a_system_call() {
    let _balance = Balance::new();
    let (steps, mut child) = steps::of(
        |link| {
            let arena = arena();
            let first = arena.alloc(100).unwrap();
            link.send(std::ptr::from_ref(&first[0]) as u64);
            // The next one lies behind it.
            (arena, first)
        },
        |(arena, first)| {
            let piece = arena.alloc(100).unwrap();
            let piece = piece.into_device(Direction::FromDevice).unwrap();
            drop(take_back(piece));
            (arena, first)
        },
        drop,
    );
    let start = child.link.receive() + 2 * LINE;
    child.succeed();
    let lines = [start, start + LINE].map(Step::CleanInvalidate);
    let once = [&lines[..], &[Step::Barrier]].concat();
    assert_eq!(steps, once.repeat(2));
}

#[test]
fn the_chunk_is_the_devices_while_a_piece_is() {
    let ward = Ward::new();
    let arena = arena();
    let other = arena.alloc(100).unwrap();
    let piece = arena.alloc(100).unwrap();
    let chunk = other.phys_addr().as_u64();
    let piece = piece.into_device(Direction::ToDevice).unwrap();
    assert_eq!(state_of(chunk), "device");
    drop(take_back(piece));
    assert_eq!(state_of(chunk), "cpu");
    drop(other);
    assert_eq!(ward.quarantined(), 0);
}

#[test]
fn a_piece_that_the_device_keeps_keeps_its_chunk() {
    let balance = Balance::new();
    in_child(|| {
        let arena = arena();
        let piece = arena.alloc(100).unwrap();
        let place = piece.phys_addr();
        drop(piece.into_device(Direction::FromDevice).unwrap());
        let abandoned = arena.device().abandoned();
        assert_eq!((abandoned.buffers, abandoned.bytes), (1, 128));
        assert_ne!(arena.alloc(100).unwrap().phys_addr(), place);
        arena.trim();
        drop(arena);
        balance.expect_held(CHUNK_BLOCKS);
    });
    balance.expect_held(0);
}

#[test]
fn a_forked_child_has_no_arena_and_no_pieces() {
    let balance = Balance::new();
    let arena = arena();
    let mut piece = arena.alloc(100).unwrap();
    piece.fill(7);
    let mut inherited = Some((arena, piece));
    in_child(|| {
        let (arena, piece) = inherited.take().unwrap();
        let error = arena.alloc(100).unwrap_err();
        assert!(matches!(error, Error::Forked { .. }));
        let failed = piece.into_device(Direction::ToDevice).unwrap_err();
        assert!(matches!(failed.error, Error::Forked { .. }));
        drop(failed);
        arena.trim();
    });
    balance.expect_held(CHUNK_BLOCKS);
    let (arena, piece) = inherited.unwrap();
    assert!(piece.iter().all(|byte| *byte == 7));
    assert_eq!(arena.usage().buffers, 1);
}
