// SPDX-License-Identifier: MIT OR Apache-2.0

//! Long buffers are mapped by huge pages, and what is left of one after a split is still there.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc};
use fpgamem_tests::page_faults::faults_in;
use fpgamem_tests::{
    in_child, request, Balance, MapFlags, Mapping, MmapAdvise, Node, ProtFlags, PAGE, READ_WRITE,
};
use nix::sys::prctl;
use std::ops::Range;

const HUGE: u64 = 2 << 20;
const SEED: u64 = 5;

/// Writes to each page, once on other memory first, and counts the faults.
fn faults_of_writing(mapping: &Mapping, range: Range<u64>) -> i64 {
    let write = |mapping: &Mapping, range: Range<u64>| {
        for at in range.step_by(usize::try_from(PAGE).expect("the size of a page")) {
            mapping.store(at, 0);
        }
    };
    write(&Mapping::anonymous(PAGE, READ_WRITE), 0..PAGE);
    faults_in(|| write(mapping, range.clone()))
}

/// Bytes of page tables that map single pages.
fn table_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a file of proc");
    let line = status.lines().find(|line| line.starts_with("VmPTE:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    1024 * number.unwrap_or_else(|| panic!("no VmPTE in {status}"))
}

/// Whether huge pages are on for this process.
fn are_on() -> bool {
    !prctl::get_thp_disable().expect("the kernel knows the call")
}

#[test]
fn a_long_buffer_is_aligned_in_both_address_spaces() {
    let _balance = Balance::new();
    let node = Node::open();
    let _odd = node.map(PAGE).unwrap();
    for len in [HUGE, HUGE + PAGE, 5 * HUGE] {
        let mapping = node.map(len).unwrap();
        let phys = node.user_to_phys(mapping.addr()).unwrap().phys_addr;
        assert_eq!((mapping.addr() % HUGE, phys % HUGE), (0, 0), "{len}");
    }
}

#[test]
fn a_long_buffer_takes_the_lowest_place_where_none_is_aligned() {
    let _balance = Balance::new();
    let node = Node::open();
    // A block at every second huge page leaves none of the rest with an aligned place for three MiB.
    let mut aligned = request(PAGE);
    aligned.align = 2 * HUGE;
    let blocks: Vec<_> = std::iter::from_fn(|| node.alloc(aligned).ok()).collect();
    assert!(blocks.len() > 10);
    let long = node
        .alloc(request(3 << 20))
        .expect("an aligned place is not the only one");
    assert_eq!(long.phys_addr % HUGE, blocks[0].alloc_bytes);
    let mapping = node.map_buffer(&long).unwrap();
    assert_eq!(mapping.load(mapping.len() - 8), 0);
}

#[test]
fn a_long_buffer_leaves_no_gap_where_the_pool_fills_up() {
    let _balance = Balance::new();
    let node = Node::open();
    let quarter = node.info().unwrap().region_bytes / 4;
    let first = node.alloc(request(PAGE)).unwrap();
    let long = node.alloc(request(quarter)).unwrap();
    assert_eq!(long.phys_addr, first.phys_addr + first.alloc_bytes);
}

#[test]
fn sixty_four_mib_need_no_table_of_pages_and_one_fault() {
    assert!(are_on());
    let _balance = Balance::new();
    let node = Node::open();
    let len = 64 << 20;
    let before = table_bytes();
    let mapping = node.map(len).unwrap();
    // One for each GiB that the mapping is in.
    let faults = faults_of_writing(&mapping, 0..len);
    assert!((1..=2).contains(&faults), "{faults} faults");
    // 16384 entries of 8 bytes would be 131072.
    let tables = table_bytes() - before;
    assert!(tables <= 2 * PAGE, "{tables} bytes of tables");
}

#[test]
fn reading_first_costs_no_fault_of_writing_later() {
    let _balance = Balance::new();
    let mapping = Node::open().map(8 * HUGE).unwrap();
    mapping.check_zero(0..8 * HUGE);
    assert_eq!(faults_of_writing(&mapping, 0..8 * HUGE), 0);
}

#[test]
fn write_combine_memory_has_huge_pages_too() {
    let _balance = Balance::new();
    let node = Node::open();
    let flags = abi::ALLOC_WRITE_COMBINE;
    let buffer = node
        .alloc(Alloc {
            flags,
            ..request(8 * HUGE)
        })
        .unwrap();
    let before = table_bytes();
    let mapping = node.map_buffer(&buffer).unwrap();
    mapping.fill(SEED);
    mapping.check(SEED);
    assert!(table_bytes() - before <= 2 * PAGE);
}

#[test]
fn head_and_tail_are_there_at_once() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(3 * HUGE)).unwrap();
    // Where a part is mapped, its first page is not aligned.
    let (past, len) = (5 * PAGE, 2 * HUGE);
    let offset = buffer.mmap_offset + past;
    let flags = MapFlags::MAP_SHARED;
    let part = node.map_with(len, READ_WRITE, flags, offset).unwrap();
    assert_eq!(part.addr() % HUGE, past);
    let head = HUGE - past;
    assert_eq!(faults_of_writing(&part, 0..head), 0);
    assert_eq!(faults_of_writing(&part, head + HUGE..len), 0);
    assert_eq!(faults_of_writing(&part, head..head + HUGE), 1);
    let whole = node.map_buffer(&buffer).unwrap();
    whole.fill(SEED);
    part.check_range(0..len, SEED, past);
}

#[test]
fn what_is_left_after_a_partial_munmap_is_there() {
    let _balance = Balance::new();
    let mut mapping = Node::open().map(4 * HUGE).unwrap();
    mapping.fill(SEED);
    let hole = HUGE + 3 * PAGE..HUGE + 4 * PAGE;
    mapping.unmap(hole.clone());
    mapping.check_range(0..hole.start, SEED, 0);
    mapping.check_range(hole.end..4 * HUGE, SEED, hole.end);
    // Both ends of what was one huge page have been read by now.
    assert_eq!(faults_of_writing(&mapping, 0..hole.start), 0);
    assert_eq!(faults_of_writing(&mapping, hole.end..4 * HUGE), 0);
}

#[test]
fn what_is_mapped_in_place_of_an_end_is_not_the_buffer() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(2 * HUGE)).unwrap();
    let whole = node.map_buffer(&buffer).unwrap();
    whole.fill(SEED);
    let mut mapping = node.map_buffer(&buffer).unwrap();
    let end = HUGE + 3 * PAGE..2 * HUGE;
    mapping.unmap(end.clone());
    mapping.plug(end.clone());
    mapping.protect(end.clone(), READ_WRITE).unwrap();
    // The first use of what is left must not enter a huge page over its end.
    mapping.check_range(0..end.start, SEED, 0);
    mapping.check_zero(end.clone());
    mapping.set(end, 1);
    whole.check(SEED);
}

#[test]
fn what_is_left_after_a_split_costs_a_fault_for_each_end() {
    let _balance = Balance::new();
    let mut mapping = Node::open().map(4 * HUGE).unwrap();
    mapping.fill(SEED);
    mapping.unmap(HUGE + 3 * PAGE..HUGE + 4 * PAGE);
    assert_eq!(faults_of_writing(&mapping, HUGE..HUGE + 3 * PAGE), 1);
    assert_eq!(faults_of_writing(&mapping, HUGE + 4 * PAGE..2 * HUGE), 1);
}

#[test]
fn a_part_that_becomes_read_only_is_there() {
    let _balance = Balance::new();
    let mapping = Node::open().map(4 * HUGE).unwrap();
    mapping.fill(SEED);
    let part = HUGE + 8 * PAGE..HUGE + 16 * PAGE;
    mapping.protect(part.clone(), ProtFlags::PROT_READ).unwrap();
    mapping.check(SEED);
    let rest = [0..part.start, part.end..4 * HUGE];
    for range in rest {
        assert_eq!(faults_of_writing(&mapping, range), 0);
    }
    mapping.protect(part.clone(), READ_WRITE).unwrap();
    assert_eq!(faults_of_writing(&mapping, part), 0);
}

#[test]
fn all_of_it_read_only_and_back_costs_no_fault() {
    let _balance = Balance::new();
    let mapping = Node::open().map(4 * HUGE).unwrap();
    mapping.fill(SEED);
    let all = 0..4 * HUGE;
    mapping.protect(all.clone(), ProtFlags::PROT_READ).unwrap();
    mapping.check(SEED);
    mapping.protect(all.clone(), READ_WRITE).unwrap();
    assert_eq!(faults_of_writing(&mapping, all), 0);
}

#[test]
fn what_was_mapped_read_only_can_be_written_later() {
    let _balance = Balance::new();
    let (node, len) = (Node::open(), 4 * HUGE);
    let mapping = node
        .map_with(len, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, 0)
        .unwrap();
    // All of it: what lies in another GiB than the first page has a fault of its own.
    mapping.check_zero(0..len);
    mapping.protect(0..len, READ_WRITE).unwrap();
    assert_eq!(faults_of_writing(&mapping, 0..len), 0);
}

#[test]
fn a_part_that_moves_to_an_odd_place_is_there() {
    let _balance = Balance::new();
    let mut mapping = Node::open().map(4 * HUGE).unwrap();
    mapping.fill(SEED);
    let range = HUGE - 3 * PAGE..3 * HUGE + 5 * PAGE;
    let part = mapping.take(range.clone(), 7 * PAGE).unwrap();
    part.check_range(0..part.len(), SEED, range.start);
    mapping.check_range(0..range.start, SEED, 0);
    mapping.check_range(range.end..4 * HUGE, SEED, range.end);
    let node = Node::open();
    let phys = |at: u64| node.user_to_phys(at).unwrap().phys_addr;
    let start = phys(mapping.addr());
    assert_eq!(phys(part.addr() + HUGE), start + range.start + HUGE);
    assert_eq!(faults_of_writing(&part, 0..part.len()), 0);
}

#[test]
fn a_part_that_moves_before_its_first_use_is_there() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(4 * HUGE)).unwrap();
    let mut mapping = node.map_buffer(&buffer).unwrap();
    node.map_buffer(&buffer).unwrap().fill(SEED);
    let part = mapping.take(HUGE..3 * HUGE, PAGE).unwrap();
    part.check_range(0..2 * HUGE, SEED, HUGE);
    mapping.check_range(0..HUGE, SEED, 0);
    mapping.check_range(3 * HUGE..4 * HUGE, SEED, 3 * HUGE);
}

#[test]
fn a_child_has_what_its_parent_has() {
    let _balance = Balance::new();
    let mut mapping = Node::open().map(4 * HUGE).unwrap();
    mapping.fill(SEED);
    mapping.unmap(HUGE..HUGE + PAGE);
    in_child(|| {
        mapping.check_range(0..HUGE, SEED, 0);
        mapping.check_range(HUGE + PAGE..4 * HUGE, SEED, HUGE + PAGE);
        mapping.store(3 * HUGE, 77);
    });
    assert_eq!(mapping.load(3 * HUGE), 77);
    in_child(|| {
        let untouched = Node::open().map(2 * HUGE).unwrap();
        untouched.fill(1);
        untouched.check(1);
    });
}

#[test]
fn a_child_can_be_the_first_to_use_it() {
    let _balance = Balance::new();
    let mapping = Node::open().map(4 * HUGE).unwrap();
    in_child(|| mapping.fill(SEED));
    mapping.check(SEED);
}

#[test]
fn without_huge_pages_there_are_small_ones() {
    let _balance = Balance::new();
    in_child(|| {
        prctl::set_thp_disable(true).unwrap();
        let before = table_bytes();
        let mapping = Node::open().map(4 * HUGE).unwrap();
        // A fault enters all pages of a table.
        assert_eq!(faults_of_writing(&mapping, 0..4 * HUGE), 4);
        mapping.fill(SEED);
        mapping.check(SEED);
        assert!(table_bytes() - before >= 4 * PAGE);
        // What has small pages keeps them.
        prctl::set_thp_disable(false).unwrap();
        mapping.check(SEED);
        assert_eq!(faults_of_writing(&mapping, 0..4 * HUGE), 0);
    });
}

#[test]
fn advice_against_huge_pages_is_followed() {
    let _balance = Balance::new();
    let before = table_bytes();
    let mapping = Node::open().map(4 * HUGE).unwrap();
    mapping.advise(MmapAdvise::MADV_NOHUGEPAGE).unwrap();
    mapping.fill(SEED);
    mapping.check(SEED);
    assert!(table_bytes() - before >= 4 * PAGE);
}

/// Threads meet at the first use of the same pages, some with huge pages and some without.
#[test]
fn many_threads_first_use_it_at_once() {
    let _balance = Balance::new();
    let node = Node::open();
    in_child(|| {
        for round in 0..40 {
            let mapping = node.map(2 * HUGE).unwrap();
            let places = [0, 8, PAGE, HUGE];
            mapping.store_from_threads(&places, round, || {
                prctl::set_thp_disable(round % 2 == 0).unwrap();
            });
            for place in places {
                assert_eq!(mapping.load(place), round);
            }
        }
    });
}

/// Turns of a loop, in which any fault is over.
const LONGEST_DELAY: u32 = 1 << 20;

/// A thread that has huge pages enters all of a table's, while another goes for the last of them, which by then
/// are off.
#[test]
fn a_page_is_not_entered_where_a_huge_one_is_being_entered() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(16 * HUGE)).unwrap();
    let last = buffer.alloc_bytes - HUGE;
    in_child(|| {
        let mut delay = 1_000;
        for round in 0..400 {
            let mapping = node.map_buffer(&buffer).unwrap();
            prctl::set_thp_disable(false).unwrap();
            let mut faults = 0;
            mapping.store_from_threads(&[0], round, || {
                // Until the other one is somewhere between its choice of huge pages and the last of them.
                for _ in 0..delay {
                    std::hint::spin_loop();
                }
                prctl::set_thp_disable(true).unwrap();
                faults = faults_in(|| mapping.store(last, round));
            });
            // A little later each time, until that is after the last.
            delay = match faults {
                0 => delay * 3 / 4,
                _ => (delay + delay / 16 + 1).min(LONGEST_DELAY),
            };
            assert_eq!((mapping.load(0), mapping.load(last)), (round, round));
        }
    });
}
