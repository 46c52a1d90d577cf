// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the library computes itself: places in an arena, and translations.
//!
//! The device is the emulated one, which has the driver's block map in the process.

use criterion::{BenchmarkId, Criterion};
use fpgamem::{Arena, Device};
use std::hint::black_box;

/// Buffers of an arena that live beside the one that is measured.
const LIVE: [usize; 3] = [0, 1000, 10_000];
/// Other mappings of the process.
const MAPPINGS: [usize; 3] = [0, 100, 2000];
const SMALL: usize = 1000;

fn device() -> Device {
    Device::emulated().open().expect("memory for a region")
}

/// The life of a small buffer of an arena.
fn arena(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("arena-life");
    for live in LIVE {
        let arena = Arena::new(&device());
        let others: Vec<_> = (0..=live).map(|_| arena.alloc(SMALL)).collect();
        group.bench_function(BenchmarkId::from_parameter(live), |bencher| {
            bencher.iter(|| drop(arena.alloc(black_box(SMALL))));
        });
        drop(others);
    }
    group.finish();
}

/// The physical address of a mere address, among the mappings of a process.
fn translate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("any-to-phys");
    for live in MAPPINGS {
        let device = device();
        let buffers: Result<Vec<_>, _> = (0..=live).map(|_| device.alloc(SMALL)).collect();
        let buffers = buffers.expect("room in the region");
        let address: *const u8 = &buffers[live / 2][SMALL / 2];
        group.bench_function(BenchmarkId::from_parameter(live), |bencher| {
            bencher.iter(|| device.phys_of(black_box(address)));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    arena(&mut criterion);
    translate(&mut criterion);
    criterion.final_summary();
}
