// SPDX-License-Identifier: MIT OR Apache-2.0

//! Arenas on an emulated device.

use super::*;
use crate::{DeviceAddr, DeviceBuffer, Direction, FpgaMemory, Policy};

const BLOCK: usize = if cfg!(miri) { 4096 } else { 16384 };
/// Two blocks.
const CHUNK: usize = 2 * BLOCK;

fn device() -> Device {
    let options = Device::emulated().region_bytes(16 * BLOCK as u64);
    options.block_bytes(BLOCK as u64).open().unwrap()
}

fn arena(device: &Device) -> Arena {
    let options = ArenaOptions::new().chunk_bytes(CHUNK).largest_piece(BLOCK);
    Arena::with_options(device, options)
}

fn take_back(buffer: DeviceBuffer) -> Buffer {
    // SAFETY: No device runs.
    unsafe { buffer.into_cpu() }.unwrap()
}

#[test]
fn small_buffers_share_a_chunk_and_no_line() {
    let device = device();
    let arena = arena(&device);
    let mut buffers: Vec<_> = [1, 64, 65, 272, 100]
        .map(|len| arena.alloc(len).unwrap())
        .into();
    let usage = arena.usage();
    assert_eq!((usage.buffers, usage.bytes), (5, 502));
    assert_eq!((usage.held_bytes, usage.mappings), (CHUNK, 1));
    assert_eq!(usage.allocations, 1);
    let mut lines = std::collections::BTreeSet::new();
    for (seed, buffer) in (1..).zip(&mut buffers) {
        assert!(buffer.phys_addr().is_aligned_to(64));
        assert_eq!(buffer.capacity(), buffer.len().div_ceil(64) * 64);
        let first = buffer.phys_addr().as_u64() / 64;
        for line in first..first + (buffer.capacity() / 64) as u64 {
            assert!(lines.insert(line), "line {line} is shared");
        }
        assert!(buffer.iter().all(|byte| *byte == 0));
        buffer.fill(seed);
    }
    for (seed, buffer) in (1..).zip(&buffers) {
        assert!(buffer.iter().all(|byte| *byte == seed));
        let there = device.phys_of(&buffer[0]).unwrap();
        assert_eq!(there.device_addr, buffer.device_addr());
    }
}

#[test]
fn long_buffers_are_allocations_of_their_own() {
    let device = device();
    let arena = arena(&device);
    let long = arena.alloc(BLOCK + 1).unwrap();
    assert_eq!(long.capacity(), 2 * BLOCK);
    assert_eq!(arena.usage().held_bytes, 2 * BLOCK);
    let short = arena.alloc(BLOCK).unwrap();
    assert_eq!(arena.usage().held_bytes, 2 * BLOCK + CHUNK);
    drop(long);
    assert_eq!(arena.usage().held_bytes, CHUNK);
    drop(short);
    let usage = arena.usage();
    assert_eq!((usage.buffers, usage.bytes, usage.mappings), (0, 0, 1));
}

#[test]
fn one_empty_chunk_is_kept_and_the_next_goes_back() {
    let device = device();
    let arena = arena(&device);
    let held = || arena.usage().held_bytes / CHUNK;
    // Two fill a chunk.
    let mut buffers: Vec<_> = (0..6).map(|_| arena.alloc(BLOCK).unwrap()).collect();
    assert_eq!(held(), 3);
    buffers.truncate(4);
    assert_eq!(held(), 3);
    buffers.truncate(2);
    assert_eq!(held(), 2);
    buffers.clear();
    assert_eq!(held(), 1);
    let again = arena.alloc(BLOCK).unwrap();
    assert_eq!((held(), arena.usage().allocations), (1, 3));
    drop(again);
    arena.trim();
    assert_eq!(
        arena.usage(),
        ArenaUsage {
            allocations: 3,
            ..Default::default()
        }
    );
    assert_eq!(device.info().unwrap().nr_buffers, 0);
}

#[test]
fn a_piece_outlives_its_arena() {
    let device = device();
    let mut piece = arena(&device).alloc(100).unwrap();
    piece.fill(7);
    assert!(piece.iter().all(|byte| *byte == 7));
    drop(piece);
    assert_eq!(device.info().unwrap().nr_buffers, 0);
}

#[test]
fn a_piece_that_was_used_before_comes_back_clean_and_zero() {
    let device = device();
    let arena = arena(&device);
    let mut first = arena.alloc(100).unwrap();
    first.fill(7);
    let place = first.device_addr();
    drop(first);
    let again = arena.alloc(65).unwrap();
    assert_eq!(again.device_addr(), place);
    assert_eq!(again[..], [0; 65]);
    // In memory too: a device that reads it sees zeroes, and what it writes is not overwritten.
    let mut model = |memory: &mut FpgaMemory<'_>| {
        let mut bytes = [1; 128];
        memory.read(place, &mut bytes)?;
        assert_eq!(bytes, [0; 128]);
        memory.write(place, &[9; 65])
    };
    device.emulator().unwrap().run(&mut model).unwrap();
    let mut again = again;
    again.sync_for_cpu(..).unwrap();
    assert_eq!(again[..], [9; 65]);
}

#[test]
fn a_piece_that_was_never_used_costs_no_maintenance() {
    let device = device();
    let arena = arena(&device);
    let first = arena.alloc(100).unwrap();
    let second = arena.alloc(100).unwrap();
    let counts = || device.emulator().unwrap().counts().cleaned;
    assert_eq!(counts(), 0);
    drop((first, second));
    let _again = arena.alloc(100).unwrap();
    assert_eq!(counts(), 2);
}

#[test]
fn pieces_change_hands_each_for_itself() {
    let options = Device::emulated().policy(Policy::Evict(1));
    let device = options.open().unwrap();
    let arena = Arena::new(&device);
    let mut from = arena.alloc(100).unwrap();
    let mut mine = arena.alloc(100).unwrap();
    let mut to = arena.alloc(100).unwrap();
    from.fill(7);
    to.fill(1);
    let from = from.into_device(Direction::ToDevice).unwrap();
    let to = to.into_device(Direction::FromDevice).unwrap();
    let (source, result) = (from.device_addr(), to.device_addr());
    let mut model = |memory: &mut FpgaMemory<'_>| {
        let mut bytes = [0; 100];
        memory.read(source, &mut bytes)?;
        memory.write(result, &bytes)
    };
    mine.fill(3);
    device.emulator().unwrap().run(&mut model).unwrap();
    let (from, to) = (take_back(from), take_back(to));
    assert_eq!((&from[..], &to[..]), (&[7; 100][..], &[7; 100][..]));
    assert_eq!(mine[..], [3; 100]);
}

#[test]
fn a_piece_that_the_device_keeps_is_never_given_away() {
    let device = device();
    let arena = arena(&device);
    let kept = arena.alloc(BLOCK).unwrap();
    let place = kept.device_addr();
    drop(kept.into_device(Direction::FromDevice).unwrap());
    let abandoned = device.abandoned();
    assert_eq!((abandoned.buffers, abandoned.bytes), (1, BLOCK as u64));
    // Its chunk has room for another one, and only one.
    let (next, last) = (arena.alloc(BLOCK).unwrap(), arena.alloc(BLOCK).unwrap());
    assert_eq!(
        next.device_addr(),
        DeviceAddr::new(place.as_u64() + BLOCK as u64)
    );
    assert_ne!(last.device_addr(), place);
    assert_eq!(arena.usage().allocations, 2);
    drop((next, last));
    arena.trim();
    assert_eq!(arena.usage().held_bytes, CHUNK);
    drop(arena);
    // Nor is it after the end of the arena.
    let rest: Vec<_> = std::iter::from_fn(|| device.alloc(BLOCK).ok()).collect();
    assert_eq!(rest.len(), 14);
}

#[test]
fn parts_of_a_piece_give_it_back_together() {
    let device = device();
    let arena = arena(&device);
    let (a, b) = arena.alloc(256).unwrap().split_at(64).unwrap();
    let other = arena.alloc(256).unwrap();
    assert_eq!(arena.usage().buffers, 2);
    assert_eq!(b.phys_addr().checked_add(192), Some(other.phys_addr()));
    // Neighbours in the chunk, and not parts of one buffer.
    let failed = b.join(other).unwrap_err();
    assert!(matches!(failed.error, Error::NotAdjacent { .. }));
    let (b, other) = *failed.buffer;
    let whole = a.join(b).unwrap();
    assert_eq!((whole.len(), arena.usage().buffers), (256, 2));
    let (a, b) = whole.split_at(128).unwrap();
    drop(a);
    assert_eq!(arena.usage().buffers, 2);
    drop(b);
    assert_eq!(arena.usage().buffers, 1);
    drop(other);
    assert_eq!(arena.usage().buffers, 0);
}

#[test]
fn without_room_for_a_chunk_a_small_buffer_is_one_of_its_own() {
    let device = device();
    let arena = arena(&device);
    let rest: Vec<_> = (0..15).map(|_| device.alloc(BLOCK).unwrap()).collect();
    let small = arena.alloc(100).unwrap();
    assert_eq!((small.capacity(), arena.usage().held_bytes), (BLOCK, BLOCK));
    let error = arena.alloc(100).unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { requested: 100, .. }));
    assert_eq!(arena.usage().buffers, 1);
    drop(rest);
}

#[test]
fn an_empty_chunk_gives_way_to_a_long_buffer() {
    let device = device();
    let arena = arena(&device);
    drop(arena.alloc(1).unwrap());
    assert_eq!(arena.usage().held_bytes, CHUNK);
    let all = arena.alloc(16 * BLOCK).unwrap();
    assert_eq!(arena.usage().held_bytes, all.capacity());
}

#[test]
fn impossible_lengths_are_those_of_the_device() {
    let arena = arena(&device());
    for len in [0, 16 * BLOCK + 1] {
        let error = arena.alloc(len).unwrap_err();
        assert!(matches!(error, Error::InvalidLength { requested, .. } if requested == len as u64));
    }
    assert_eq!(arena.usage().buffers, 0);
}

#[test]
fn random_lives_do_not_overlap() {
    let device = Device::emulated().region_bytes(8 << 20).open().unwrap();
    let options = ArenaOptions::new().chunk_bytes(128 << 10);
    let arena = Arena::with_options(&device, options.largest_piece(64 << 10));
    let mut live: Vec<(u8, Buffer)> = Vec::new();
    let mut state = 1_u64;
    let mut chance = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from((state >> 33) % below).unwrap()
    };
    for round in 0..if cfg!(miri) { 50 } else { 5000 } {
        if live.len() < 100 && chance(2) == 0 {
            let magnitude = 4 + chance(13);
            let len = 1 + chance(1 << magnitude);
            let mut buffer = arena.alloc(len).unwrap();
            assert!(buffer.iter().all(|byte| *byte == 0), "round {round}");
            let seed = u8::try_from(1 + chance(255)).unwrap();
            buffer.fill(seed);
            live.push((seed, buffer));
        } else if !live.is_empty() {
            let (seed, buffer) = live.swap_remove(chance(live.len() as u64));
            assert!(buffer.iter().all(|byte| *byte == seed), "round {round}");
        }
        let usage = arena.usage();
        let bytes: usize = live.iter().map(|(_, buffer)| buffer.len()).sum();
        assert_eq!((usage.buffers, usage.bytes), (live.len(), bytes));
    }
    live.clear();
    arena.trim();
    assert_eq!(arena.usage().held_bytes, 0);
    assert_eq!(device.info().unwrap().free_bytes, 8 << 20);
}

#[test]
fn threads_share_an_arena() {
    let device = device();
    let arena = arena(&device);
    let work = |seed: u8| {
        let mut kept = Vec::new();
        for round in 0..if cfg!(miri) { 5 } else { 200 } {
            let len = usize::from(seed) * 37 + round % 7 * 64;
            let mut buffer = arena.alloc(len).unwrap();
            assert!(buffer.iter().all(|byte| *byte == 0));
            buffer.fill(seed);
            kept.push(buffer);
            if kept.len() > 4 {
                let first = kept.remove(0);
                assert!(first.iter().all(|byte| *byte == seed));
            }
        }
    };
    std::thread::scope(|scope| {
        for seed in 1..5 {
            scope.spawn(move || work(seed));
        }
    });
    assert_eq!(arena.usage().buffers, 0);
}

/// An arena that keeps what is freed, up to so many bytes.
fn reusing(device: &Device, bytes: usize) -> Arena {
    let options = ArenaOptions::new().chunk_bytes(CHUNK).largest_piece(BLOCK);
    Arena::with_options(device, options.reuse_bytes(bytes))
}

#[test]
fn a_freed_buffer_is_reused_as_it_is_by_the_next_of_its_capacity() {
    let device = device();
    let arena = reusing(&device, usize::MAX);
    for len in [100, BLOCK + 1] {
        let mut first = arena.alloc(len).unwrap();
        assert!(first.iter().all(|byte| *byte == 0));
        first.fill(7);
        let (place, capacity) = (first.device_addr(), first.capacity());
        drop(first);
        let held = arena.usage();
        let other = arena.alloc(capacity + 1).unwrap();
        assert_ne!(other.device_addr(), place);
        drop(other);
        let again = arena.alloc(capacity).unwrap();
        assert_eq!((again.device_addr(), again.len()), (place, capacity));
        assert!(again[..len].iter().all(|byte| *byte == 7));
        assert_eq!(arena.usage().buffers, held.buffers + 1);
        assert_eq!(arena.usage().bytes, held.bytes + capacity);
    }
}

#[test]
fn a_reused_buffer_is_handed_over_as_any_other() {
    let device = Device::emulated().policy(Policy::Evict(1)).open().unwrap();
    let arena = reusing(&device, 1 << 20);
    for seed in 1..5 {
        let mut buffer = arena.alloc(300).unwrap();
        // Dirty lines of the buffer before must not be written over what the device writes.
        buffer.fill(0xee);
        drop(buffer);
        let result = arena.alloc(300).unwrap();
        let result = result.into_device(Direction::FromDevice).unwrap();
        let place = result.device_addr();
        let mut model = |memory: &mut FpgaMemory<'_>| memory.write(place, &[seed; 300]);
        device.emulator().unwrap().run(&mut model).unwrap();
        assert_eq!(take_back(result)[..], [seed; 300]);
    }
    assert_eq!(arena.usage().allocations, 1);
}

#[test]
fn the_oldest_go_where_more_would_be_kept_than_may_be() {
    let device = device();
    let arena = reusing(&device, 5 * BLOCK);
    let of = |nr_blocks: usize| arena.alloc(nr_blocks * BLOCK).unwrap();
    let buffers = [of(2), of(3), of(4)];
    let held = || arena.usage().held_bytes / BLOCK;
    drop(buffers);
    // Two and three, and then four in place of both.
    assert_eq!(held(), 4);
    let four = of(4);
    assert_eq!((held(), arena.usage().allocations), (4, 3));
    // More than may be kept at all.
    drop((four, of(6)));
    assert_eq!(held(), 4);
    arena.trim();
    assert_eq!(arena.usage().held_bytes, 0);
    assert_eq!(device.info().unwrap().nr_buffers, 0);
}

#[test]
fn no_more_than_32_are_kept() {
    let device = device();
    let arena = reusing(&device, usize::MAX);
    let buffers: Vec<_> = (0..40).map(|_| arena.alloc(64).unwrap()).collect();
    let places: Vec<_> = buffers.iter().map(Buffer::device_addr).collect();
    drop(buffers);
    let again: Vec<_> = (0..32).map(|_| arena.alloc(64).unwrap()).collect();
    let again: Vec<_> = again.iter().rev().map(Buffer::device_addr).collect();
    assert_eq!(again, places[8..]);
}

#[test]
fn what_is_kept_gives_way() {
    let device = device();
    let arena = reusing(&device, usize::MAX);
    drop((
        arena.alloc(8 * BLOCK).unwrap(),
        arena.alloc(8 * BLOCK).unwrap(),
    ));
    assert_eq!(arena.usage().held_bytes, 16 * BLOCK);
    let all = arena.alloc(16 * BLOCK).unwrap();
    assert_eq!(arena.usage().held_bytes, all.capacity());
}

#[test]
fn an_arena_ends_with_what_it_has_kept() {
    let device = device();
    let arena = reusing(&device, usize::MAX);
    let last = arena.alloc(100).unwrap();
    drop((arena.alloc(100).unwrap(), arena.alloc(2 * BLOCK).unwrap()));
    assert_eq!(device.info().unwrap().nr_buffers, 2);
    drop(arena);
    drop(last);
    assert_eq!(device.info().unwrap().nr_buffers, 0);
}

#[test]
fn what_the_device_has_is_not_reused() {
    let device = device();
    let arena = reusing(&device, usize::MAX);
    let (mine, its) = arena.alloc(256).unwrap().split_at(64).unwrap();
    let place = mine.device_addr();
    drop(its.into_device(Direction::FromDevice).unwrap());
    drop(mine);
    assert_ne!(arena.alloc(256).unwrap().device_addr(), place);
    let (a, b) = arena.alloc(256).unwrap().split_at(64).unwrap();
    let place = a.device_addr();
    drop(a);
    assert_ne!(arena.alloc(256).unwrap().device_addr(), place);
    drop(b);
    assert_eq!(arena.alloc(256).unwrap().device_addr(), place);
}
