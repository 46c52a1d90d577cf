// SPDX-License-Identifier: MIT OR Apache-2.0

//! A network that takes 97 % of the region at its peak, in a region of 512 MiB.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_examples::network::Detector;
use fpgamem_tests::paddle::{expect_whole_region, Family, FAMILIES};
use fpgamem_tests::replay::{self, expect_right};
use fpgamem_tests::{Balance, Node, Stats};

/// Where the trace is put.
const TRACE: &str = "/tmp/yolov3-608.trace";
/// Blocks at its peak.
const PEAK: u64 = 31_778;

/// The operation after which nothing more is allocated.
fn last_allocation() -> usize {
    let text = std::fs::read_to_string(TRACE).expect("it is prepared");
    let lines: Vec<_> = text.lines().collect();
    let last = lines.iter().rposition(|line| line.starts_with('A'));
    last.expect("it allocates") + 1
}

/// Writes the trace, and remembers what the pool holds.
fn prepare() -> Balance {
    let balance = Balance::of_an_empty_pool();
    assert_eq!(Stats::read().blocks, 32_768, "the region has 512 MiB");
    std::fs::write(TRACE, Detector::YOLOV3_608.trace()).expect("there is room for files");
    balance
}

#[test]
fn it_replays_without_a_failure_and_leaves_nothing() {
    let balance = prepare();
    let failures = Stats::read().failures;
    for (family, options) in [
        (Family::A, [].as_slice()),
        (Family::B, &["--skip-fill-check"]),
    ] {
        let client = replay::start(family, TRACE, options);
        let report = expect_right(client, TRACE, true);
        assert!(
            report.contains(&format!("\"peak_blocks\":{PEAK},")),
            "{report}"
        );
        balance.expect_held(0);
    }
    assert_eq!(Stats::read().failures, failures);
    expect_whole_region();
}

#[test]
fn it_replays_after_one_that_was_killed_when_it_had_all() {
    let balance = prepare();
    let operation = last_allocation().to_string();
    for family in FAMILIES {
        let options = ["--skip-fill-check", "--stop-at", &operation];
        let held = replay::kill_when_stopped(replay::start(family, TRACE, &options));
        assert!(held > 30_000, "{held} blocks");
        balance.expect_held(0);
        // What is in quarantine would be in the way of a network that needs nearly all.
        Node::open().quiet().expect("root may say so");
        let next = replay::start(family, TRACE, &["--skip-fill-check"]);
        expect_right(next, TRACE, true);
    }
    expect_whole_region();
}
