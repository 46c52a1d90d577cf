// SPDX-License-Identifier: GPL-2.0-or-later

//! The accelerator as a program sees it: registers, ring, status words.

use super::*;
use crate::memory::tests::Ram;
use crate::policy::Policy;
use crate::report::Kind;

const BASE: u64 = 0;
const REGION: u64 = 0x1_0000;
const RING: u64 = REGION;
const A: u64 = REGION + 0x1000;
const B: u64 = REGION + 0x2000;
const OUT: u64 = REGION + 0x3000;

struct Bench {
    model: Model<Ram>,
    accelerator: Accelerator,
}

impl Bench {
    fn new() -> Self {
        Self::with("never")
    }

    fn with(policy: &str) -> Self {
        let policy: Policy = policy.parse().unwrap();
        let ram = Ram::new(0, 0x2_0000);
        let mut bench = Self {
            model: Model::new(ram, REGION..REGION + 0x8000, policy),
            accelerator: Accelerator::new(BASE),
        };
        bench.accelerator.show(&mut bench.model.memory);
        bench
    }

    fn store(&mut self, offset: u64, value: u32) {
        self.accelerator
            .store(&mut self.model, Place::default(), offset, value);
    }

    fn load(&self, offset: u64) -> u32 {
        self.model.memory.read_u32(BASE + offset)
    }

    /// Puts bytes where the device sees them.
    fn put(&mut self, address: u64, bytes: &[u8]) {
        let master = Master {
            start: Place::default(),
            barriers: self.model.barriers(),
            coherent: true,
        };
        self.model.master_write(&master, address, bytes);
    }

    fn put_descriptor(&mut self, index: u64, words: &[(u64, u32)]) {
        let at = RING + index * DESCRIPTOR_BYTES;
        self.put(at, &[0; 64]);
        for (offset, word) in words {
            self.put(at + offset, &word.to_le_bytes());
        }
    }

    fn status(&self, index: u64) -> u32 {
        let mut bytes = [0; 4];
        let at = RING + index * DESCRIPTOR_BYTES + STATUS_WORD;
        self.model.peek(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn seen(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.model.peek(address, &mut bytes);
        bytes
    }

    fn open_ring(&mut self, count: u32) {
        let low = u32::try_from(RING).unwrap();
        for (offset, value) in [(RING_LOW, low), (RING_HIGH, 0), (RING_COUNT, count)] {
            self.store(offset, value);
        }
        self.store(CONTROL, CONTROL_ENABLE);
    }

    fn run(&mut self) {
        for _ in 0..10_000 {
            self.accelerator.tick(&mut self.model);
        }
    }
}

fn low(address: u64) -> u32 {
    u32::try_from(address).unwrap()
}

fn copy(from: u64, to: u64, len: u32) -> [(u64, u32); 4] {
    [(0, 1), (0x08, low(from)), (0x20, low(to)), (0x28, len)]
}

#[test]
fn it_tells_what_it_is() {
    let bench = Bench::new();
    assert_eq!(bench.load(ID), 0x4143_4346);
    assert_eq!(bench.load(VERSION), 0x0001_0000);
    assert_eq!(bench.load(STATUS), 0);
}

#[test]
fn what_the_cpu_writes_to_read_only_registers_does_not_stay() {
    let mut bench = Bench::new();
    bench.put(BASE + ID, &[0; 4]);
    bench.store(ID, 0);
    assert_eq!(bench.load(ID), 0x4143_4346);
}

#[test]
fn descriptors_run_in_order_and_report() {
    let mut bench = Bench::new();
    bench.put(A, &[7; 256]);
    bench.put_descriptor(0, &copy(A, B, 256));
    bench.put_descriptor(1, &copy(B, OUT, 100));
    bench.open_ring(4);
    bench.store(TAIL, 2);
    assert_eq!(bench.load(STATUS), STATUS_BUSY);
    assert_eq!(bench.status(0), 0);
    bench.run();
    assert_eq!(bench.load(STATUS), 0);
    assert_eq!((bench.load(HEAD), bench.load(COMPLETED)), (2, 2));
    assert_eq!((bench.status(0), bench.status(1)), (DONE, DONE));
    assert_eq!(bench.seen(OUT, 100), [7; 100]);
    // Two descriptors, 256 and 100 bytes; as much written, with two status words.
    assert_eq!(bench.load(READ_BYTES), 2 * 64 + 356);
    assert_eq!(bench.load(WRITTEN_BYTES), 2 * 4 + 356);
}

#[test]
fn it_takes_its_time() {
    let mut bench = Bench::new();
    bench.put_descriptor(0, &copy(A, B, 16));
    bench.open_ring(2);
    bench.store(TAIL, 1);
    for _ in 0..DELAY {
        bench.accelerator.tick(&mut bench.model);
        assert_eq!(bench.load(STATUS), STATUS_BUSY);
    }
    bench.accelerator.tick(&mut bench.model);
    assert_eq!((bench.load(STATUS), bench.status(0)), (0, DONE));
}

#[test]
fn the_ring_wraps() {
    let mut bench = Bench::new();
    bench.put(A, &[1; 16]);
    bench.open_ring(2);
    for round in 0..5 {
        bench.put_descriptor(round % 2, &copy(A, OUT + round * 16, 16));
        bench.store(TAIL, low((round + 1) % 2));
        bench.run();
        assert_eq!(bench.load(COMPLETED), low(round + 1));
    }
    assert_eq!(bench.seen(OUT, 80), [1; 80]);
}

#[test]
fn a_bad_descriptor_stops_it_until_reset() {
    let mut bench = Bench::new();
    bench.put_descriptor(0, &copy(A, B + 8, 16));
    bench.put_descriptor(1, &copy(A, B, 16));
    bench.open_ring(4);
    bench.store(TAIL, 2);
    bench.run();
    assert_eq!(bench.load(STATUS), STATUS_ERROR);
    assert_eq!(bench.load(ERROR), Refusal::Alignment as u32);
    assert_eq!(bench.load(HEAD), 0);
    assert_eq!((bench.status(0), bench.status(1)), (0x8000_0002, 0));

    bench.store(CONTROL, CONTROL_RESET);
    assert_eq!((bench.load(STATUS), bench.load(RING_COUNT)), (0, 0));
    bench.put_descriptor(0, &copy(A, B, 16));
    bench.open_ring(4);
    bench.store(TAIL, 1);
    bench.run();
    assert_eq!(bench.status(0), DONE);
}

#[test]
fn addresses_outside_of_the_ddr_are_refused() {
    let mut bench = Bench::new();
    bench.put_descriptor(0, &copy(A, 0x4000_0000, 16));
    bench.open_ring(4);
    bench.store(TAIL, 1);
    bench.run();
    assert_eq!(bench.status(0), 0x8000_0003);
}

#[test]
fn its_own_registers_are_not_memory() {
    let mut bench = Bench::new();
    bench.put_descriptor(0, &copy(A, BASE, 16));
    bench.open_ring(4);
    bench.store(TAIL, 1);
    bench.run();
    assert_eq!(bench.status(0), 0x8000_0003);
}

#[test]
fn a_ring_that_cannot_be_is_an_error() {
    for (offset, value) in [(RING_COUNT, 3), (RING_LOW, 0x1_0020), (RING_COUNT, 8192)] {
        let mut bench = Bench::new();
        bench.store(RING_LOW, low(RING));
        bench.store(RING_COUNT, 4);
        bench.store(offset, value);
        bench.store(CONTROL, CONTROL_ENABLE);
        bench.store(TAIL, 1);
        bench.run();
        assert_eq!(bench.load(ERROR), Refusal::Ring as u32, "{offset:#x}");
    }
}

#[test]
fn fill_repeats_a_word() {
    let mut bench = Bench::new();
    let words = [(0, 2), (0x20, low(OUT)), (0x28, 10), (0x2c, 0x0403_0201)];
    bench.put_descriptor(0, &words);
    bench.open_ring(2);
    bench.store(TAIL, 1);
    bench.run();
    assert_eq!(bench.seen(OUT, 10), [1, 2, 3, 4, 1, 2, 3, 4, 1, 2]);
}

#[test]
fn a_layer_reads_and_writes_each_operand_once() {
    let mut bench = Bench::new();
    bench.put(A, &[1; 4 * 4 * 2]);
    bench.put(B, &[1; 3 * 9 * 2]);
    let bias = A + 0x800;
    for (number, value) in [10_i32, -100, 0].into_iter().enumerate() {
        bench.put(bias + number as u64 * 4, &value.to_le_bytes());
    }
    let words = [
        (0, 4),
        (4, 1),
        (0x08, low(A)),
        (0x10, low(B)),
        (0x18, low(bias)),
        (0x20, low(OUT)),
        (0x28, 4),
        (0x2c, 4),
        (0x30, 2),
        (0x34, 3),
    ];
    bench.put_descriptor(0, &words);
    bench.open_ring(2);
    bench.store(TAIL, 1);
    bench.run();
    let result = bench.seen(OUT, 4 * 4 * 3);
    // A corner has 4 points of 2 values in its window, the middle 9.
    assert_eq!(result[..3], [18, 0, 8]);
    assert_eq!(result[(4 + 1) * 3..][..3], [28, 0, 18]);
    assert_eq!(bench.load(READ_BYTES), 64 + 32 + 54 + 12);
    assert_eq!(bench.load(WRITTEN_BYTES), 48 + 4);
}

#[test]
fn a_descriptor_that_is_not_cleaned_is_reported() {
    let mut bench = Bench::new();
    bench.open_ring(2);
    for (offset, word) in copy(A, B, 16) {
        bench.model.memory.write(RING + offset, &word.to_le_bytes());
    }
    let access = crate::model::Access {
        place: Place::default(),
        kernel: false,
        attribute: crate::walk::Attribute::Cacheable,
    };
    bench.model.store(&access, RING, 64);
    bench.store(TAIL, 1);
    bench.run();
    // It saw what the DDR held instead, which is no descriptor.
    assert_eq!(bench.load(ERROR), Refusal::Operation as u32);
    let kinds = bench.model.reports.list().iter().map(|report| report.kind);
    let expected = [Kind::MissingClean, Kind::LostToEviction];
    assert_eq!(kinds.collect::<Vec<_>>(), expected);
}

/// Stores as a program does: the DDR has it only after [`clean`].
fn store_cached(bench: &mut Bench, address: u64, bytes: &[u8]) {
    bench.model.memory.write(address, bytes);
    bench.model.store(&ACCESS, address, bytes.len() as u64);
}

fn store_descriptor(bench: &mut Bench, words: &[(u64, u32)]) {
    store_cached(bench, RING, &[0; 64]);
    for (offset, word) in words {
        store_cached(bench, RING + offset, &word.to_le_bytes());
    }
}

fn clean(bench: &mut Bench, address: u64) {
    bench
        .model
        .maintain(crate::model::Maintenance::CleanInvalidate, &ACCESS, address);
    bench.model.barrier();
}

const ACCESS: crate::model::Access = crate::model::Access {
    place: Place {
        pc: 8,
        link: 0,
        process: 0,
        master: 0,
    },
    kernel: false,
    attribute: crate::walk::Attribute::Cacheable,
};

fn kinds(bench: &Bench) -> Vec<Kind> {
    let reports = bench.model.reports.list().iter();
    reports.map(|report| report.kind).collect()
}

#[test]
fn a_descriptor_cleaned_after_the_doorbell_is_too_late() {
    let mut bench = Bench::new();
    bench.open_ring(2);
    store_descriptor(&mut bench, &copy(A, B, 16));
    bench.store(TAIL, 1);
    clean(&mut bench, RING);
    bench.run();
    assert_eq!(bench.load(ERROR), Refusal::Operation as u32);
    assert_eq!(kinds(&bench), [Kind::MissingClean, Kind::LostToEviction]);
}

#[test]
fn an_operand_cleaned_after_the_doorbell_is_too_late() {
    let mut bench = Bench::new();
    bench.put(A, &[1; 16]);
    bench.put_descriptor(0, &copy(A, B, 16));
    bench.open_ring(2);
    store_cached(&mut bench, A, &[2; 16]);
    bench.store(TAIL, 1);
    clean(&mut bench, A);
    bench.run();
    assert_eq!(bench.seen(B, 16), [1; 16]);
    assert_eq!(kinds(&bench), [Kind::MissingClean]);
}

#[test]
fn an_operand_changed_and_cleaned_after_the_doorbell_is_reported() {
    let mut bench = Bench::new();
    bench.put(A, &[1; 16]);
    bench.put_descriptor(0, &copy(A, B, 16));
    bench.open_ring(2);
    bench.store(TAIL, 1);
    store_cached(&mut bench, A, &[2; 16]);
    clean(&mut bench, A);
    bench.run();
    assert_eq!(bench.seen(B, 16), [1; 16]);
    assert_eq!(kinds(&bench), [Kind::MissingClean]);
}

#[test]
fn a_result_cleaned_after_the_doorbell_is_too_late() {
    let mut bench = Bench::new();
    bench.put(A, &[1; 16]);
    bench.put_descriptor(0, &copy(A, B, 16));
    bench.open_ring(2);
    store_cached(&mut bench, B, &[2; 16]);
    bench.store(TAIL, 1);
    clean(&mut bench, B);
    bench.run();
    assert_eq!(kinds(&bench), [Kind::LostToEviction]);
}

#[test]
fn where_lines_are_evicted_a_late_maintenance_spoils_the_result() {
    let mut bench = Bench::with("evict:1");
    bench.put(A, &[1; 16]);
    bench.put_descriptor(0, &copy(A, B, 16));
    bench.put_descriptor(1, &copy(A, OUT, 16));
    bench.open_ring(4);
    store_cached(&mut bench, B, &[2; 16]);
    bench.store(TAIL, 2);
    clean(&mut bench, B);
    store_cached(&mut bench, A, &[3; 16]);
    bench.run();
    // One line was evicted over a result, the other under the eyes of the accelerator.
    assert_eq!(bench.seen(B, 16), [2; 16]);
    assert_eq!(bench.seen(OUT, 16), [3; 16]);
    assert_eq!(kinds(&bench), [Kind::LostToEviction, Kind::MissingClean]);
}

#[test]
fn maintenance_before_the_doorbell_is_in_time() {
    let mut bench = Bench::new();
    bench.open_ring(2);
    store_descriptor(&mut bench, &copy(A, B, 16));
    store_cached(&mut bench, A, &[2; 16]);
    store_cached(&mut bench, B, &[3; 16]);
    for address in [RING, A, B] {
        clean(&mut bench, address);
    }
    bench.store(TAIL, 1);
    bench.run();
    assert_eq!((bench.status(0), bench.seen(B, 16)), (DONE, vec![2; 16]));
    assert_eq!(kinds(&bench), []);
}

#[test]
fn maintenance_that_no_barrier_waited_for_is_reported_at_the_doorbell() {
    let mut bench = Bench::new();
    bench.put_descriptor(0, &copy(A, B, 16));
    bench.open_ring(2);
    store_cached(&mut bench, A, &[2; 16]);
    bench
        .model
        .maintain(crate::model::Maintenance::Clean, &ACCESS, A);
    bench.store(TAIL, 1);
    bench.model.barrier();
    bench.run();
    assert_eq!(kinds(&bench), [Kind::MissingBarrier]);
    // The clean had not arrived.
    assert_ne!(bench.seen(B, 16), [2; 16]);
}

#[test]
fn a_doorbell_takes_the_new_descriptors_alone() {
    let mut bench = Bench::new();
    bench.put(A, &[1; 64]);
    bench.put_descriptor(0, &copy(A, OUT, 16));
    bench.open_ring(4);
    bench.store(TAIL, 1);
    // Descriptor 0 is the accelerator's now.
    bench.put_descriptor(0, &copy(A, OUT, 32));
    bench.put_descriptor(1, &copy(A, OUT + 0x100, 16));
    bench.store(TAIL, 2);
    bench.run();
    assert_eq!(bench.load(COMPLETED), 2);
    assert_eq!(bench.load(WRITTEN_BYTES), 16 + 16 + 2 * 4);
}

#[test]
fn a_tail_that_goes_back_drops_what_is_behind_it() {
    let mut bench = Bench::new();
    bench.put_descriptor(0, &copy(A, OUT, 16));
    bench.put_descriptor(1, &copy(A, OUT, 16));
    bench.open_ring(4);
    bench.store(TAIL, 2);
    bench.store(TAIL, 1);
    bench.run();
    assert_eq!((bench.load(HEAD), bench.load(COMPLETED)), (1, 1));
}

#[test]
fn a_ring_that_leaves_the_ddr_is_an_error() {
    let mut bench = Bench::new();
    for (offset, value) in [(RING_LOW, 0x1_ff80), (RING_COUNT, 4)] {
        bench.store(offset, value);
    }
    bench.store(CONTROL, CONTROL_ENABLE);
    bench.store(TAIL, 1);
    assert_eq!(bench.load(ERROR), Refusal::Ring as u32);
}

#[test]
fn a_finished_descriptor_interrupts_until_it_is_acknowledged() {
    let mut bench = Bench::new();
    bench.put_descriptor(0, &copy(A, B, 16));
    bench.open_ring(2);
    bench.store(INTERRUPT_ENABLE, INTERRUPT_DONE);
    bench.store(TAIL, 1);
    assert!(!bench.accelerator.interrupts());
    bench.run();
    assert_eq!(bench.load(INTERRUPT_STATUS), INTERRUPT_DONE);
    assert!(bench.accelerator.interrupts());
    // What is not 1 stays.
    bench.store(INTERRUPT_STATUS, INTERRUPT_ERROR);
    assert!(bench.accelerator.interrupts());
    bench.store(INTERRUPT_STATUS, INTERRUPT_DONE);
    assert!(!bench.accelerator.interrupts());
    assert_eq!(bench.load(INTERRUPT_STATUS), 0);
}

#[test]
fn an_error_interrupts_too() {
    let mut bench = Bench::new();
    bench.put_descriptor(0, &copy(A, B + 8, 16));
    bench.open_ring(2);
    bench.store(INTERRUPT_ENABLE, INTERRUPT_ERROR);
    bench.store(TAIL, 1);
    bench.run();
    assert_eq!(bench.load(INTERRUPT_STATUS), INTERRUPT_ERROR);
    assert!(bench.accelerator.interrupts());
    bench.store(CONTROL, CONTROL_RESET);
    assert!(!bench.accelerator.interrupts());
    assert_eq!(bench.load(INTERRUPT_ENABLE), 0);
}

#[test]
fn what_is_not_enabled_shows_and_does_not_interrupt() {
    let mut bench = Bench::new();
    bench.put_descriptor(0, &copy(A, B, 16));
    bench.open_ring(2);
    bench.store(TAIL, 1);
    bench.run();
    assert_eq!(bench.load(INTERRUPT_STATUS), INTERRUPT_DONE);
    assert!(!bench.accelerator.interrupts());
    bench.store(INTERRUPT_ENABLE, !0);
    assert_eq!(
        bench.load(INTERRUPT_ENABLE),
        INTERRUPT_DONE | INTERRUPT_ERROR
    );
    assert!(bench.accelerator.interrupts());
}
