// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's allocations fail while the module is loaded: it is loaded wholly, with or without its
//! devices, or not at all. Runs on the debug kernel, which can inject faults.
//!
//! `FPGAMEM_LOADING_PLACES` sets at how many places, evenly spread.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::cgroup::Cgroup;
use fpgamem_tests::driver::{self, Reload};
use fpgamem_tests::faults::Faults;
use fpgamem_tests::{note, Balance, Errno, Node, PAGE};
use std::path::Path;

/// Fails if anything of the module is there.
fn nothing_is_left() {
    assert!(!driver::is_loaded(), "the module is loaded");
    assert!(!driver::node_exists(), "a node is left");
    for path in [
        driver::SYSFS,
        "/sys/module/fpgamem",
        "/sys/kernel/debug/fpgamem",
        "/dev/fpgadrv0",
        "/dev/fpgamem1",
    ] {
        assert!(!Path::new(path).exists(), "{path} is left");
    }
}

#[test]
fn a_module_that_cannot_be_loaded_leaves_nothing() {
    let _balance = Balance::new();
    let _reload = Reload;
    let region = Node::open().info().unwrap();
    let wanted = std::env::var("FPGAMEM_LOADING_PLACES").map_or(10, |text| {
        text.parse().expect("FPGAMEM_LOADING_PLACES is a number")
    });
    let (faults, module) = (Faults::new(), driver::module_file());
    driver::unload().unwrap();
    nothing_is_left();
    let places = faults.places_of(|| driver::load_file(&module));
    driver::unload().unwrap();
    let (mut refused, mut loaded) = (0, 0);
    let wanted = u32::min(wanted, places);
    for step in 0..wanted {
        let place = 1 + places * step / wanted;
        let (result, injected) = faults.at_place(place, || driver::load_file(&module));
        match result {
            Ok(()) => {
                loaded += 1;
                driver::unload().unwrap();
            }
            Err(errno) => {
                assert!(injected, "{errno} without a fault");
                assert!(
                    [Errno::ENOMEM, Errno::EFAULT].contains(&errno),
                    "{errno} at place {place}"
                );
                refused += 1;
            }
        }
        nothing_is_left();
    }
    note(&format!(
        "{places} places, {refused} times refused, {loaded} times loaded"
    ));
    assert!(refused >= 1, "no fault prevented anything");
    driver::load().unwrap();
    let node = Node::open();
    let info = node.info().unwrap();
    assert_eq!(info.free_bytes, info.region_bytes);
    assert_eq!(info.region_bytes, region.region_bytes);
    node.map(PAGE).unwrap().check_zero(0..PAGE);
    let cgroup = Cgroup::new("after-loading", info.phys_addr);
    assert_eq!(cgroup.capacity(), info.region_bytes);
}
