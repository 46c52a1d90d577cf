// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver's block map beside crates that do the same, on the same operations.
//!
//! Of a stream the time is that of one operation, be it an allocation or a free; of a life it is that of
//! both. Regions are so large that nobody runs out of room: places are not compared here.

mod allocators;
mod streams;

use allocators::{Allocator, Bins, Bitmap, BlockMapOfDriver, Buddies, Ranges};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use fpgamem_examples::placement::{Lengths, Workload};
use std::hint::black_box;
use std::time::{Duration, Instant};
use streams::{fill_with_holes, Stream};

/// Blocks of a region of 1 GiB, and of one of 32 GiB.
const USUAL: u32 = 65_536;
const LARGE: u32 = 2_097_152;
/// Blocks of a life.
const COUNT: u32 = 4;
/// Free blocks at the end, enough for the longest run rounded up.
const ROOM: u32 = 16;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let networks = Workload::networks().expect("the traces are whole");
    let random = Workload::random("random", Lengths::Even);
    for workload in networks.iter().chain([&random]) {
        let stream = Stream::of(workload);
        let mut group = criterion.benchmark_group(format!("block-map-{}", workload.name));
        replay::<BlockMapOfDriver>(&mut group, &stream);
        replay::<Bitmap>(&mut group, &stream);
        replay::<Buddies>(&mut group, &stream);
        replay::<Bins>(&mut group, &stream);
        replay::<Ranges>(&mut group, &stream);
    }
    // Every second block is free; and then three of four, so that each hole is one too short.
    for (name, nr_blocks, keep_each) in [
        ("empty", USUAL, None),
        ("checkerboard", USUAL, Some(2)),
        ("short-holes", USUAL, Some(COUNT)),
        ("short-holes-32-gib", LARGE, Some(COUNT)),
    ] {
        // What was freed last fits again, or never does.
        for (kind, counts) in [("life", [COUNT; 2]), ("lives", [COUNT, COUNT + 1])] {
            let mut group = criterion.benchmark_group(format!("block-map-{kind}-{name}"));
            let region = (nr_blocks, keep_each);
            life::<BlockMapOfDriver>(&mut group, region, counts);
            life::<Bitmap>(&mut group, region, counts);
            life::<Buddies>(&mut group, region, counts);
            life::<Bins>(&mut group, region, counts);
            // To free half a million holes takes it minutes.
            if nr_blocks == USUAL {
                life::<Ranges>(&mut group, region, counts);
            }
        }
    }
    criterion.final_summary();
}

/// All allocations and frees of a workload, again and again.
fn replay<A: Allocator>(group: &mut BenchmarkGroup<'_, WallTime>, stream: &Stream) {
    let mut allocator = A::new(USUAL);
    group.bench_function(A::NAME, |bencher| {
        bencher.iter_custom(|turns| {
            let begin = Instant::now();
            for _ in 0..turns {
                stream.replay(&mut allocator);
            }
            begin.elapsed() / stream.nr_operations()
        });
    });
}

/// Lives of runs of two lengths in turn, in a region that is empty, or full but for holes and for room at
/// its end.
fn life<A: Allocator>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    (nr_blocks, keep_each): (u32, Option<u32>),
    counts: [u32; 2],
) {
    let mut allocator = A::new(nr_blocks);
    if let Some(nth) = keep_each {
        fill_with_holes(&mut allocator, nr_blocks, nth, ROOM);
    }
    let mut counts = counts.into_iter().cycle();
    group.bench_function(A::NAME, |bencher| {
        bencher.iter(|| {
            let count = counts.next().unwrap_or(COUNT);
            let run = allocator.alloc(black_box(count)).expect("room at the end");
            allocator.free(run);
        });
    });
}
