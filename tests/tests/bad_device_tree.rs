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

/// A bad node: its device, what binding it ends with, and what the driver says.
type Bad = (&'static str, Errno, &'static str);

/// Every bad node.
const BAD: [Bad; 17] = [
    (
        "bad-block-size-above-limit",
        Errno::EINVAL,
        "fpgamem,block-size 4194304 is no power of two from 4096 to 2097152 (-22)",
    ),
    (
        "bad-block-size-below-page",
        Errno::EINVAL,
        "fpgamem,block-size 2048 is no power of two from 4096 to 2097152 (-22)",
    ),
    (
        "bad-block-size-no-power-of-two",
        Errno::EINVAL,
        "fpgamem,block-size 12288 is no power of two from 4096 to 2097152 (-22)",
    ),
    (
        "bad-no-memory-region",
        Errno::EINVAL,
        "memory-region names no available child of /reserved-memory (-22: error -19)",
    ),
    (
        "bad-not-reserved-memory",
        Errno::EINVAL,
        "memory-region names no available child of /reserved-memory (-22: error -22)",
    ),
    (
        "bad-paddle-column",
        Errno::EINVAL,
        "fpgamem,paddle-column 0 is not from 1 to 4294967295 (-22)",
    ),
    (
        "bad-paddle-device-type",
        Errno::EINVAL,
        "fpgamem,paddle-device-type 65536 is not from 1 to 65535 (-22)",
    ),
    (
        "fd520010.bad-registers-base",
        Errno::EINVAL,
        "registers [0xfd520010, 0xfd520110) do not begin at a page boundary or lie in memory (-22)",
    ),
    (
        "10000000.bad-registers-memory",
        Errno::EINVAL,
        "registers [0x10000000, 0x10001000) do not begin at a page boundary or lie in memory (-22)",
    ),
    (
        "bad-region-base",
        Errno::EINVAL,
        "region [0x49001000, 0x49101000) does not begin and end at multiples of the block size 16384 (-22)",
    ),
    (
        "bad-region-disabled",
        Errno::EINVAL,
        "memory-region names no available child of /reserved-memory (-22: error -19)",
    ),
    (
        "bad-region-huge",
        Errno::EINVAL,
        "region of 35184372088832 bytes is too large (-22)",
    ),
    (
        "bad-region-in-use",
        Errno::EBUSY,
        "region [0x40000000, 0x41000000) is in use by another pool (-16)",
    ),
    (
        "bad-region-kernel",
        Errno::EINVAL,
        "region [0x200000, 0x400000) overlaps memory that the kernel uses (-22)",
    ),
    (
        "bad-region-mapped",
        Errno::EINVAL,
        "region [0x41000000, 0x41100000) lacks the no-map property (-22)",
    ),
    (
        "bad-region-size",
        Errno::EINVAL,
        "region [0x4a000000, 0x4a101000) does not begin and end at multiples of the block size 16384 (-22)",
    ),
    (
        "bad-region-unreachable",
        Errno::ENOMEM,
        "cannot map region [0x10000000000000, 0x10000000100000) (-12)",
    ),
];

/// Names in a folder that have `part` in them.
fn names(folder: impl AsRef<Path>, part: &str) -> BTreeSet<String> {
    let entries = read_dir(folder).expect("the folder exists").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(part)).collect()
}

/// A message of the driver about a device, as the kernel logs it.
fn logged(device: &str, message: &str) -> String {
    format!("fpgamem {device}: {message}")
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
    let table = BAD.map(|(name, ..)| name.to_owned()).into();
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
    for (device, ..) in BAD {
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
    for (device, _, message) in BAD {
        assert_eq!(mine(device), [logged(device, message)]);
    }
    assert_eq!(mine(GOOD).len(), 1);
    assert_eq!(lines, [""; 0], "other lines");
}

#[test]
fn each_refusal_is_one_line_and_the_right_error() {
    let _balance = Balance::new();
    for (device, errno, message) in BAD {
        assert_eq!(lines_of_refusal(device, errno), [logged(device, message)]);
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
    for (device, errno, _) in BAD {
        lines_of_refusal(device, errno);
    }
    let before = (iomem(), vmalloc());
    for _ in 0..20 {
        for (device, errno, _) in BAD {
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
    let message = "blocks of [0x40000000, 0x41000000) are still held or quarantined with another \
                   block size or extent (-16)";
    let device = "bad-region-in-use";
    let lines = lines_of_refusal(device, Errno::EBUSY);
    assert_eq!(lines, [logged(device, message)]);
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
