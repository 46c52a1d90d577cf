// SPDX-License-Identifier: GPL-2.0-or-later

//! Situations: what a program and a device do to a line, who sees what, and what is reported.

use crate::master::Master;
use crate::memory::tests::Ram;
use crate::memory::Memory;
use crate::model::{Access, Maintenance, Model};
use crate::policy::Policy;
use crate::report::{Kind, Place};
use crate::walk::Attribute;

const REGION: u64 = 0x1_0000;
const BYTES: usize = 0x4000;
/// A line in the middle of the region.
const A: u64 = REGION + 0x1040;

const POLICIES: [&str; 3] = ["never", "evict:3", "prefetch:3"];

struct Board(Model<Ram>);

impl Board {
    fn new(policy: &str) -> Self {
        let policy: Policy = policy.parse().unwrap();
        let ram = Ram::new(REGION - 0x1000, BYTES + 0x2000);
        let end = REGION + BYTES as u64;
        Self(Model::new(ram, REGION..end, policy))
    }

    fn access(pc: u64, kernel: bool, attribute: Attribute) -> Access {
        let place = Place {
            pc,
            ..Place::default()
        };
        Access {
            place,
            kernel,
            attribute,
        }
    }

    fn user(pc: u64) -> Access {
        Self::access(pc, false, Attribute::Cacheable)
    }

    fn store(&mut self, access: &Access, address: u64, bytes: &[u8]) {
        self.0.memory.write(address, bytes);
        self.0.store(access, address, bytes.len() as u64);
    }

    fn load(&mut self, access: &Access, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.memory.read(address, &mut bytes);
        self.0.load(access, address, len as u64);
        bytes
    }

    /// A program fills the line A.
    fn write(&mut self, value: u8) {
        self.store(&Self::user(1), A, &[value; 64]);
    }

    fn read(&mut self) -> Vec<u8> {
        self.load(&Self::user(2), A, 64)
    }

    fn maintain(&mut self, operation: Maintenance, address: u64) {
        self.0.maintain(operation, &Self::user(3), address);
        self.0.barrier();
    }

    fn clean(&mut self) {
        self.maintain(Maintenance::Clean, A);
    }

    fn invalidate(&mut self) {
        self.maintain(Maintenance::CleanInvalidate, A);
    }

    fn master(&self, coherent: bool) -> Master {
        let start = Place {
            pc: 4,
            master: 1,
            ..Place::default()
        };
        Master {
            start,
            barriers: self.0.barriers(),
            coherent,
        }
    }

    fn device_reads(&mut self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let master = self.master(false);
        self.0.master_read(&master, address, &mut bytes);
        bytes
    }

    /// As QEMU's devices do it: first into the file, then the model is told.
    fn device_writes(&mut self, address: u64, bytes: &[u8]) {
        self.0.memory.write(address, bytes);
        self.0.undo_write(address, bytes.len() as u64);
        let master = self.master(false);
        self.0.master_write(&master, address, bytes);
    }

    fn kinds(&self) -> Vec<Kind> {
        assert_eq!(self.0.first_wrong_line(), None, "the file is out of step");
        self.0.reports.list().iter().map(|r| r.kind).collect()
    }
}

#[test]
fn a_right_hand_over_to_the_device_is_right_under_every_policy() {
    for policy in POLICIES {
        let mut board = Board::new(policy);
        for value in 0..100 {
            board.write(value);
            board.clean();
            assert_eq!(board.device_reads(A, 64), [value; 64], "{policy}");
        }
        assert_eq!(board.kinds(), [], "{policy}");
    }
}

#[test]
fn a_right_hand_over_from_the_device_is_right_under_every_policy() {
    for policy in POLICIES {
        let mut board = Board::new(policy);
        for value in 0..100 {
            board.write(!value);
            board.invalidate();
            board.device_writes(A, &[value; 64]);
            board.invalidate();
            assert_eq!(board.read(), [value; 64], "{policy}");
        }
        assert_eq!(board.kinds(), [], "{policy}");
    }
}

#[test]
fn without_cleaning_the_device_reads_what_was_there_before() {
    let mut board = Board::new("never");
    board.write(1);
    board.clean();
    board.write(2);
    assert_eq!(board.device_reads(A, 64), [1; 64]);
    assert_eq!(board.kinds(), [Kind::MissingClean]);
    let report = &board.0.reports.list()[0];
    assert_eq!((report.at.pc, report.cause.unwrap().pc), (4, 1));
    assert_eq!(report.lines, vec![A..A + 64]);
}

#[test]
fn a_missing_clean_is_reported_even_where_eviction_hides_it() {
    let mut board = Board::new("evict:1");
    board.write(1);
    board.0.evict(A);
    assert_eq!(board.device_reads(A, 64), [1; 64]);
    assert_eq!(board.kinds(), [Kind::MissingClean]);
}

#[test]
fn without_invalidation_the_cpu_reads_old_bytes() {
    let mut board = Board::new("never");
    board.write(1);
    board.clean();
    board.device_writes(A, &[2; 64]);
    assert_eq!(board.read(), [1; 64]);
    assert_eq!(board.kinds(), [Kind::MissingInvalidate]);
    let report = &board.0.reports.list()[0];
    assert_eq!((report.at.pc, report.cause.unwrap().pc), (2, 4));
}

#[test]
fn an_invalidation_before_the_device_alone_is_not_enough() {
    for (policy, seen) in [("never", 2), ("prefetch:1", 1)] {
        let mut board = Board::new(policy);
        board.write(1);
        board.invalidate();
        board.device_writes(A, &[2; 64]);
        assert_eq!(board.read(), [seen; 64], "{policy}");
        assert_eq!(board.kinds(), [Kind::MissingInvalidate], "{policy}");
    }
}

#[test]
fn a_dirty_line_overwrites_what_the_device_wrote() {
    for policy in POLICIES {
        let mut board = Board::new(policy);
        board.write(1);
        board.device_writes(A, &[2; 64]);
        board.invalidate();
        assert_eq!(board.read(), [1; 64], "{policy}");
        assert_eq!(board.kinds(), [Kind::LostToEviction], "{policy}");
    }
}

#[test]
fn cleaning_does_not_bring_the_devices_result() {
    let mut board = Board::new("never");
    board.write(1);
    board.clean();
    board.device_writes(A, &[2; 64]);
    board.clean();
    assert_eq!(board.read(), [1; 64]);
    assert_eq!(board.kinds(), [Kind::MissingInvalidate]);
}

#[test]
fn a_line_beyond_the_maintained_range_is_reported_alone() {
    let mut board = Board::new("never");
    board.store(&Board::user(1), A, &[1; 128]);
    board.clean();
    board.device_reads(A, 128);
    assert_eq!(board.kinds(), [Kind::MissingClean]);
    assert_eq!(board.0.reports.list()[0].lines, vec![A + 64..A + 128]);
}

#[test]
fn bytes_that_the_device_does_not_read_need_no_cleaning() {
    let mut board = Board::new("never");
    board.write(1);
    board.clean();
    board.store(&Board::user(1), A + 32, &[2; 32]);
    assert_eq!(board.device_reads(A, 32), [1; 32]);
    assert_eq!(board.kinds(), []);
}

#[test]
fn a_neighbour_in_the_line_that_the_device_writes_is_lost() {
    let mut board = Board::new("never");
    board.write(1);
    board.clean();
    board.store(&Board::user(1), A + 32, &[2; 32]);
    board.device_writes(A, &[3; 32]);
    assert_eq!(board.kinds(), [Kind::LostToEviction]);
}

#[test]
fn bytes_that_the_device_did_not_write_need_no_invalidation() {
    let mut board = Board::new("never");
    board.write(1);
    board.clean();
    board.device_writes(A, &[2; 32]);
    assert_eq!(board.load(&Board::user(2), A + 32, 32), [1; 32]);
    assert_eq!(board.kinds(), []);
}

#[test]
fn overwriting_a_whole_result_needs_no_invalidation() {
    for policy in POLICIES {
        let mut board = Board::new(policy);
        board.write(0);
        board.clean();
        for value in 1..50 {
            board.device_writes(A, &[!value; 64]);
            for half in [0, 32] {
                board.store(&Board::user(1), A + half, &[value; 32]);
            }
            board.clean();
            assert_eq!(board.device_reads(A, 64), [value; 64], "{policy}");
        }
        assert_eq!(board.kinds(), [], "{policy}");
    }
}

#[test]
fn a_store_into_a_stale_line_writes_old_bytes_back() {
    let mut board = Board::new("never");
    board.write(1);
    board.clean();
    board.device_writes(A, &[2; 64]);
    board.store(&Board::user(5), A, &[3; 4]);
    board.clean();
    assert_eq!(board.kinds(), [Kind::StaleWriteBack]);
    assert_eq!(board.0.reports.list()[0].cause.unwrap().pc, 5);
    assert_eq!(board.device_reads(A + 4, 60), [1; 60]);
}

#[test]
fn an_evicted_store_into_a_stale_line_shows_when_the_device_reads() {
    let mut board = Board::new("evict:1");
    board.write(1);
    board.clean();
    // Whether the line is still cached now is up to the policy; the report is not.
    board.device_writes(A, &[2; 64]);
    board.store(&Board::user(5), A, &[3; 4]);
    board.device_reads(A + 4, 60);
    assert_eq!(board.kinds(), [Kind::StaleWriteBack]);
}

#[test]
fn invalidation_without_cleaning_drops_stores() {
    let mut board = Board::new("never");
    board.write(1);
    board.clean();
    board.write(2);
    board.maintain(Maintenance::Invalidate, A);
    assert_eq!(board.read(), [1; 64]);
    assert_eq!(board.kinds(), [Kind::DiscardedStores]);
}

/// The kernel clears the page of A through its own mapping.
fn clear_page(board: &mut Board, lines_cleaned: u64, operation: Maintenance) {
    let kernel = Board::access(10, true, Attribute::Cacheable);
    let page = A / 4096 * 4096;
    for line in 0..64 {
        board.0.zero_line(&kernel, page + line * 64);
        board.0.memory.write(page + line * 64, &[0; 64]);
    }
    for line in 0..lines_cleaned {
        board.0.maintain(operation, &kernel, page + line * 64);
    }
    board.0.barrier();
}

#[test]
fn cleared_memory_whose_zeroes_are_in_ddr_is_fine() {
    for policy in POLICIES {
        let mut board = Board::new(policy);
        clear_page(&mut board, 64, Maintenance::Clean);
        assert_eq!(board.read(), [0; 64]);
        assert_eq!(board.device_reads(A, 64), [0; 64]);
        assert_eq!(board.kinds(), [], "{policy}");
    }
}

#[test]
fn cleared_memory_is_reported_when_a_process_first_reaches_its_page() {
    let mut board = Board::new("never");
    clear_page(&mut board, 63, Maintenance::Clean);
    board.read();
    assert_eq!(board.kinds(), [Kind::UncleanZeroes]);
    let last = A / 4096 * 4096 + 63 * 64;
    assert_eq!(board.0.reports.list()[0].lines, vec![last..last + 64]);
}

#[test]
fn maintenance_by_the_process_counts_as_reaching_memory() {
    let mut board = Board::new("never");
    clear_page(&mut board, 0, Maintenance::Clean);
    board.clean();
    assert_eq!(board.kinds(), [Kind::UncleanZeroes]);
}

#[test]
fn what_the_kernel_stores_later_is_not_clearing() {
    let mut board = Board::new("never");
    clear_page(&mut board, 64, Maintenance::Clean);
    board.read();
    let kernel = Board::access(10, true, Attribute::Cacheable);
    board.store(&kernel, A, &[7; 64]);
    assert_eq!(board.read(), [7; 64]);
    assert_eq!(board.kinds(), []);
}

#[test]
fn what_the_kernel_stores_to_part_of_a_line_is_not_clearing_either() {
    let mut board = Board::new("never");
    clear_page(&mut board, 64, Maintenance::Clean);
    let kernel = Board::access(10, true, Attribute::Cacheable);
    board.store(&kernel, A + 5, &[7; 3]);
    assert_eq!(board.read()[4..9], [0, 7, 7, 7, 0]);
    assert_eq!(board.kinds(), []);
}

#[test]
fn a_device_that_reads_uncleaned_zeroes_sees_what_the_ddr_held() {
    let mut board = Board::new("never");
    clear_page(&mut board, 0, Maintenance::Clean);
    assert_eq!(board.device_reads(A, 64), [0xa5; 64]);
    assert_eq!(board.kinds(), [Kind::MissingClean]);
}

#[test]
fn a_write_combine_buffer_needs_no_maintenance() {
    let past = Board::access(20, false, Attribute::NonCacheable);
    for policy in POLICIES {
        let mut board = Board::new(policy);
        clear_page(&mut board, 64, Maintenance::CleanInvalidate);
        for value in 1..50 {
            board.store(&past, A, &[value; 64]);
            board.0.ordering_barrier();
            assert_eq!(board.device_reads(A, 64), [value; 64]);
            board.device_writes(A, &[!value; 64]);
            assert_eq!(board.load(&past, A, 64), [!value; 64]);
        }
        // The driver drops what its alias may have fetched before the next owner clears.
        let kernel = Board::access(10, true, Attribute::Cacheable);
        for line in 0..64 {
            let line = A / 4096 * 4096 + line * 64;
            board
                .0
                .maintain(Maintenance::CleanInvalidate, &kernel, line);
        }
        clear_page(&mut board, 64, Maintenance::Clean);
        assert_eq!(board.read(), [0; 64]);
        assert_eq!(board.kinds(), [], "{policy}");
    }
}

#[test]
fn a_write_combine_buffer_over_cached_lines_is_reported() {
    let past = Board::access(20, false, Attribute::NonCacheable);
    let mut board = Board::new("never");
    clear_page(&mut board, 64, Maintenance::Clean);
    board.store(&past, A, &[1; 64]);
    assert_eq!(board.kinds(), [Kind::MixedAttributes]);
    let report = &board.0.reports.list()[0];
    assert_eq!((report.at.pc, report.cause.unwrap().pc), (20, 10));
}

#[test]
fn a_dirty_line_under_a_write_combine_buffer_overwrites_it() {
    let past = Board::access(20, false, Attribute::NonCacheable);
    let mut board = Board::new("never");
    board.write(1);
    board.store(&past, A, &[2; 64]);
    board.0.barrier();
    assert_eq!(board.device_reads(A, 64), [2; 64]);
    board.0.evict(A);
    assert_eq!(board.device_reads(A, 64), [1; 64]);
    assert_eq!(board.load(&past, A, 64), [1; 64]);
    assert!(board.kinds().contains(&Kind::MixedAttributes));
}

#[test]
fn clearing_a_former_write_combine_buffer_without_invalidation_is_reported() {
    let past = Board::access(20, false, Attribute::NonCacheable);
    let mut board = Board::new("never");
    clear_page(&mut board, 64, Maintenance::CleanInvalidate);
    board.load(&past, A, 8);
    clear_page(&mut board, 64, Maintenance::Clean);
    assert_eq!(board.kinds(), [Kind::MixedAttributes]);
}

#[test]
fn a_coherent_port_sees_the_cache_and_updates_it() {
    for policy in POLICIES {
        let mut board = Board::new(policy);
        board.write(1);
        board.0.ordering_barrier();
        let master = board.master(true);
        let mut seen = [0; 64];
        board.0.master_read(&master, A, &mut seen);
        assert_eq!(seen, [1; 64], "{policy}");
        board.0.master_write(&master, A, &[2; 32]);
        let expected = [[2; 32], [1; 32]].concat();
        assert_eq!(board.read(), expected, "{policy}");
        assert_eq!(board.kinds(), [], "{policy}");
    }
}

#[test]
fn maintenance_without_a_barrier_may_come_too_late() {
    let mut board = Board::new("never");
    board.write(1);
    board.clean();
    board.write(2);
    board.0.maintain(Maintenance::Clean, &Board::user(3), A);
    assert_eq!(board.device_reads(A, 64), [1; 64]);
    assert_eq!(board.kinds(), [Kind::MissingBarrier]);
    board.0.barrier();
    assert_eq!(board.device_reads(A, 64), [2; 64]);
    assert_eq!(board.0.reports.list()[0].count, 1);
}

#[test]
fn stores_past_the_cache_need_a_barrier_too() {
    let past = Board::access(20, false, Attribute::NonCacheable);
    let mut board = Board::new("never");
    board.store(&past, A, &[1; 64]);
    board.0.ordering_barrier();
    board.store(&past, A + 8, &[2; 8]);
    assert_eq!(board.device_reads(A, 64), [1; 64]);
    assert_eq!(board.kinds(), [Kind::MissingBarrier]);
    assert_eq!(board.0.reports.list()[0].cause.unwrap().pc, 20);
    board.0.ordering_barrier();
    assert_eq!(board.device_reads(A + 8, 8), [2; 8]);
}

#[test]
fn stores_for_a_coherent_port_need_a_barrier() {
    let mut board = Board::new("never");
    board.write(1);
    let master = board.master(true);
    board.0.master_read(&master, A, &mut [0; 64]);
    assert_eq!(board.kinds(), [Kind::MissingBarrier]);
}

#[test]
fn transfers_across_the_end_of_the_region_move_every_byte() {
    let mut board = Board::new("never");
    let end = REGION + BYTES as u64;
    for at in [REGION - 96, end - 32] {
        board.device_writes(at, &[9; 128]);
        assert_eq!(board.device_reads(at, 128), [9; 128]);
    }
    board.device_writes(REGION - 0x800, &[8; 64]);
    board.device_writes(end + 0x800, &[8; 64]);
    assert_eq!(board.device_reads(end + 0x800, 64), [8; 64]);
    assert_eq!(board.kinds(), []);
}

#[test]
fn maintenance_that_does_nothing_is_counted() {
    let mut board = Board::new("never");
    board.write(1);
    board.clean();
    board.clean();
    board.invalidate();
    board.invalidate();
    let counts = board.0.counts;
    assert_eq!((counts.lines_cleaned, counts.redundant_cleans), (2, 1));
    let invalidates = (counts.lines_clean_invalidated, counts.redundant_invalidates);
    assert_eq!(invalidates, (2, 1));
    assert_eq!(counts.lines_written_back, 1);
}
