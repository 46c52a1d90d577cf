// SPDX-License-Identifier: MIT OR Apache-2.0

//! The recorded runs of two networks by clients of Paddle's nodes, one after the other, at once, and
//! killed. After each the whole region can be had.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::paddle::{expect_whole_region, Family, FAMILIES};
use fpgamem_tests::replay::{expect_right, kill_when_stopped, start};
use fpgamem_tests::{Balance, Stats};

const MOBILENET: &str = "/data/mobilenetv1.trace";
const RESNET: &str = "/data/resnet50.trace";

/// Blocks of a region in which all clients of a test with ResNet50 in it find room at once.
const LARGE: u64 = 32_768;

/// The trace of a test's larger clients.
fn larger_trace() -> &'static str {
    if Stats::read().blocks >= LARGE {
        RESNET
    } else {
        MOBILENET
    }
}

#[test]
fn both_networks_replay_in_both_families() {
    let balance = Balance::of_an_empty_pool();
    for trace in [MOBILENET, RESNET] {
        for family in FAMILIES {
            expect_right(start(family, trace, &[]), trace, true);
            balance.expect_held(0);
        }
    }
    expect_whole_region();
}

#[test]
fn four_clients_replay_at_once() {
    let _balance = Balance::of_an_empty_pool();
    let larger = larger_trace();
    let clients = [
        (Family::A, larger),
        (Family::B, larger),
        (Family::A, MOBILENET),
        (Family::B, MOBILENET),
    ];
    let running = clients.map(|(family, trace)| (start(family, trace, &[]), trace));
    for (client, trace) in running {
        expect_right(client, trace, false);
    }
    expect_whole_region();
}

#[test]
fn a_client_killed_at_work_leaves_nothing_and_disturbs_nobody() {
    let balance = Balance::of_an_empty_pool();
    for family in FAMILIES {
        for operation in ["400", "900", "1500"] {
            let killed = start(family, MOBILENET, &["--stop-at", operation]);
            let other = (operation == "900").then(|| start(family, MOBILENET, &[]));
            let held = kill_when_stopped(killed);
            assert!(held > 100, "it was at work");
            if let Some(other) = other {
                expect_right(other, MOBILENET, false);
            }
            balance.expect_held(0);
        }
    }
    expect_whole_region();
}
