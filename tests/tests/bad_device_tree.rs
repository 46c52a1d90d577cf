// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pool nodes that are wrong: the driver refuses each with one clear line and leaves nothing behind.
//!
//! For a boot of its own, with `dts/test-bad-nodes.dts`.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::kernel_log::KernelLog;
use fpgamem_tests::{driver, request, Balance, Errno, Node, PAGE};
use std::collections::BTreeSet;
use std::fs::read_dir;
use std::path::Path;

const DEVICES: &str = "/sys/bus/platform/devices";

/// The device of the good node.
const GOOD: &str = "good-pool";

/// Every bad node and what binding it ends with.
const BAD: [(&str, Errno); 10] = [
    ("bad-block-size-above-limit", Errno::EINVAL),
    ("bad-block-size-below-page", Errno::EINVAL),
    ("bad-block-size-no-power-of-two", Errno::EINVAL),
    ("bad-no-memory-region", Errno::EINVAL),
    ("bad-not-reserved-memory", Errno::EINVAL),
    ("bad-region-base", Errno::EINVAL),
    ("bad-region-disabled", Errno::EINVAL),
    ("bad-region-in-use", Errno::EBUSY),
    ("bad-region-mapped", Errno::EINVAL),
    ("bad-region-size", Errno::EINVAL),
];

/// Names in a folder that start with `prefix`.
fn names(folder: impl AsRef<Path>, prefix: &str) -> BTreeSet<String> {
    let entries = read_dir(folder).expect("the folder exists").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// Tries to bind a bad device again, and returns the driver's lines about it.
fn lines_of_refusal(device: &str, errno: Errno) -> Vec<String> {
    let mut log = KernelLog::from_now();
    let error = driver::bind(device).expect_err("the driver refuses the node");
    assert_eq!(error.raw_os_error(), Some(errno as i32), "{device}");
    // The driver core adds a line of its own.
    let lines = log.driver_lines().into_iter();
    lines
        .filter(|line| !line.contains("probe with driver"))
        .collect()
}

#[test]
fn the_table_has_every_bad_node_of_the_board() {
    let table = BAD.map(|(name, _)| name.to_owned()).into();
    assert_eq!(names(DEVICES, "bad-"), table);
}

#[test]
fn the_good_pool_works() {
    let _balance = Balance::new();
    assert_eq!(driver::device_name(), GOOD);
    let node = Node::open();
    assert_eq!(node.info().unwrap().region_bytes, 16 << 20);
    let mapping = node.map(5 * PAGE).unwrap();
    mapping.fill(1);
    mapping.check(1);
}

#[test]
fn no_bad_node_is_bound() {
    for (device, _) in BAD {
        assert_eq!(driver::driver_of(device), None, "{device}");
    }
    assert_eq!(driver::driver_of(GOOD).as_deref(), Some("fpgamem"));
}

#[test]
fn the_good_node_is_the_only_one_with_a_device_file() {
    let only: BTreeSet<_> = ["fpgamem0".to_owned()].into();
    assert_eq!(names("/dev", "fpgamem"), only);
    assert_eq!(names("/sys/class/misc", "fpgamem"), only);
    assert_eq!(names("/sys/kernel/debug/fpgamem", ""), only);
}

#[test]
fn loading_the_module_adds_one_line_for_each_node() {
    let _balance = Balance::new();
    let _reload = driver::Reload;
    driver::unload().unwrap();
    let mut log = KernelLog::from_now();
    driver::load().unwrap();
    let mut lines = log.driver_lines();
    lines.retain(|line| !line.contains("probe with driver"));
    let mut mine = |device: &str| -> Vec<String> {
        lines
            .extract_if(.., |line| line.contains(&format!(" {device}: ")))
            .collect()
    };
    for (device, errno) in BAD {
        let mine = mine(device);
        assert_eq!(mine.len(), 1, "{device}: {mine:#?}");
        assert!(mine[0].contains(&format!("-{}", errno as i32)), "{mine:#?}");
    }
    assert_eq!(mine(GOOD).len(), 1);
    assert_eq!(lines, [""; 0], "other lines");
}

#[test]
fn each_refusal_is_one_line_and_the_right_error() {
    let _balance = Balance::new();
    for (device, errno) in BAD {
        let lines = lines_of_refusal(device, errno);
        assert_eq!(lines.len(), 1, "{device}: {lines:#?}");
        assert!(
            lines[0].contains(&format!("-{}", errno as i32)),
            "{lines:#?}"
        );
    }
}

#[test]
fn refusals_leave_nothing_behind() {
    let _balance = Balance::new();
    let iomem = || std::fs::read_to_string("/proc/iomem").expect("the kernel has /proc");
    let vmalloc = || {
        let text = std::fs::read_to_string("/proc/vmallocinfo").unwrap_or_default();
        text.lines()
            .filter(|line| line.contains("memremap"))
            .count()
    };
    // Once before, for what only the first attempt allocates.
    for (device, errno) in BAD {
        lines_of_refusal(device, errno);
    }
    let before = (iomem(), vmalloc());
    for _ in 0..20 {
        for (device, errno) in BAD {
            lines_of_refusal(device, errno);
        }
    }
    assert_eq!((iomem(), vmalloc()), before);
    Node::open().map(PAGE).unwrap().fill(1);
}

#[test]
fn a_region_that_its_pool_gave_up_can_be_taken_by_another_node() {
    let _balance = Balance::new();
    driver::unbind(GOOD).unwrap();
    driver::bind("bad-region-in-use").unwrap();
    let node = Node::open();
    node.alloc(request(1)).unwrap();
    let error = driver::bind(GOOD).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EBUSY as i32));
    drop(node);
    driver::unbind("bad-region-in-use").unwrap();
    driver::bind(GOOD).unwrap();
}

#[test]
fn a_region_held_in_blocks_of_another_size_is_busy_until_they_return() {
    let _balance = Balance::new();
    let mapping = Node::open().map(PAGE).unwrap();
    mapping.fill(1);
    driver::unbind(GOOD).unwrap();
    let lines = lines_of_refusal("bad-region-in-use", Errno::EBUSY);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    mapping.check(1);
    drop(mapping);
    driver::bind("bad-region-in-use").unwrap();
    assert_eq!(Node::open().info().unwrap().block_bytes, 4096);
    driver::unbind("bad-region-in-use").unwrap();
    driver::bind(GOOD).unwrap();
}

#[test]
fn a_node_without_registers_maps_none() {
    let node = Node::open_path("/dev/fpgadrv0");
    let at = fpgamem_shared::paddle_abi::REGISTERS;
    let (protection, flags) = (
        fpgamem_tests::READ_WRITE,
        fpgamem_tests::MapFlags::MAP_SHARED,
    );
    let result = node.map_with(PAGE, protection, flags, at);
    assert_eq!(result.unwrap_err(), Errno::ENXIO);
}
