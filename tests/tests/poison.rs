// SPDX-License-Identifier: MIT OR Apache-2.0

//! A driver with debug assertions notices what is written to free memory. Free memory can be written
//! by a bus master alone; here it is the DMA engine.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{Range, OWNER_DEVICE};
use fpgamem_tests::debugfs::Stats;
use fpgamem_tests::kernel_log::KernelLog;
use fpgamem_tests::zdma::Zdma;
use fpgamem_tests::{eventually, Balance, Mapping, Node};
use std::io::Write;

/// Bytes in a block of the pool without quarantine.
const BLOCK: u64 = 256 << 10;

/// Whether the driver poisons free blocks: kernels with kmemleak are those with debug assertions.
fn is_watched() -> bool {
    std::path::Path::new("/sys/kernel/debug/kmemleak").exists()
}

/// A buffer of whole blocks, and its device address.
fn buffer(node: &Node, blocks: u64) -> (Mapping, u64) {
    let mapping = node.map(blocks * BLOCK).expect("there is room");
    let answer = node.user_to_phys(mapping.addr()).expect("it is ours");
    (mapping, answer.device_addr)
}

/// Lets the DMA engine write ones to a cache line at `target`.
fn write_by_device(node: &Node, target: u64) {
    let (source, from) = buffer(node, 1);
    source.fill(1);
    let range = Range {
        addr: source.addr(),
        len: BLOCK,
        ..Default::default()
    };
    node.flush(range).expect("the range is good");
    Zdma::open().copy(from, target, 64);
}

/// Tells whoever reads the log that damage at that address is meant.
fn announce(address: u64) {
    let mut log = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/kmsg")
        .expect("root may write to the log");
    // One write is one line of the log.
    let line = format!("fpgamem-tests: will damage {address:#x}");
    log.write_all(line.as_bytes())
        .expect("the log takes a line");
}

/// What the driver says of damage.
fn reports(log: &mut KernelLog) -> Vec<String> {
    let mut lines = log.driver_lines();
    lines.retain(|line| line.contains("free memory") || line.contains("buffer before it"));
    lines
}

/// Checks that the driver has said of damage at that address, and of nothing else, who had it last.
fn check_the_only_report(lines: &[String], damaged: u64, pid: u32) {
    let [line] = lines else {
        panic!("one line is expected: {lines:?}");
    };
    let start = format!("fpgamem: BUG: free memory at {damaged:#x} was written, first byte 0x");
    assert!(line.starts_with(&start), "{line}");
    let end = format!("; process {pid} had it last");
    assert!(line.ends_with(&end), "{line}");
}

/// Tries again while `report` has nothing to report: at the very moment of the damage the block may have been
/// scrubbed.
fn reported(report: impl FnMut() -> Vec<String>) -> Vec<String> {
    let mut reports = std::iter::repeat_with(report).take(10);
    reports.find(|lines| !lines.is_empty()).unwrap_or_default()
}

#[test]
fn a_write_after_free_is_named_by_the_time_the_block_is_allocated_again() {
    let _balance = Balance::new();
    let node = Node::open_hasty();
    let mut damaged = 0;
    let lines = reported(|| {
        let (mapping, start) = buffer(&node, 3);
        drop(mapping);
        damaged = start + 2 * BLOCK + 0x100;
        announce(damaged);
        let mut log = KernelLog::from_now();
        // The source takes the first block, so the last is free still, and no buffer is before it.
        write_by_device(&node, damaged);
        let (_again, at) = buffer(&node, 4);
        assert!((at..at + 4 * BLOCK).contains(&damaged));
        reports(&mut log)
    });
    if !is_watched() {
        assert_eq!(lines, [""; 0]);
        return;
    }
    check_the_only_report(&lines, damaged, std::process::id());
}

#[test]
fn a_write_to_a_block_that_was_scrubbed_is_named_too() {
    let _balance = Balance::new();
    let node = Node::open_hasty();
    let (mapping, start) = buffer(&node, 2);
    let pid = std::process::id();
    drop(mapping);
    eventually("the block is scrubbed", || {
        Stats::read_hasty().blocks_dirty == 0
    });
    let damaged = start + BLOCK;
    announce(damaged);
    let mut log = KernelLog::from_now();
    write_by_device(&node, damaged);
    let (_again, at) = buffer(&node, 4);
    assert!((at..at + 4 * BLOCK).contains(&damaged));
    let lines = reports(&mut log);
    if !is_watched() {
        // Nor is it cleared once more.
        assert_eq!(lines, [""; 0]);
        return;
    }
    check_the_only_report(&lines, damaged, pid);
}

#[test]
fn a_write_past_the_end_names_the_buffer_before_it() {
    let _balance = Balance::new();
    let node = Node::open_hasty();
    let (both, start) = buffer(&node, 2);
    drop(both);
    let (first, at) = buffer(&node, 1);
    assert_eq!(at, start);
    let damaged = start + BLOCK;
    announce(damaged);
    let lines = reported(|| {
        let mut log = KernelLog::from_now();
        // Its source is the block behind the damaged one: that one is taken meanwhile.
        let gap = buffer(&node, 1);
        let (source, from) = buffer(&node, 1);
        source.fill(1);
        let range = Range {
            addr: source.addr(),
            len: BLOCK,
            ..Default::default()
        };
        node.flush(range).unwrap();
        assert_eq!(gap.1, damaged);
        drop(gap);
        Zdma::open().copy(from, damaged, 64);
        let _again = buffer(&node, 1);
        let lines = reports(&mut log);
        // What is freed last is allocated first: the damaged block.
        drop(source);
        lines
    });
    let pid = std::process::id();
    if is_watched() {
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(
            lines[1],
            format!("fpgamem: the buffer before it, [{start:#x}, {damaged:#x}), belongs to process {pid}")
        );
    } else {
        assert_eq!(lines, [""; 0]);
    }
    drop(first);
}

#[test]
fn a_write_during_the_quarantine_is_no_damage() {
    let node = Node::open();
    let _balance = Balance::new();
    let (mapping, start) = buffer(&node, 1);
    node.set_owner_at(mapping.addr(), OWNER_DEVICE).unwrap();
    drop(mapping);
    let mut log = KernelLog::from_now();
    write_by_device(&node, start);
    node.quiet().unwrap();
    let (_again, at) = buffer(&node, 1);
    assert_eq!(at, start);
    assert_eq!(reports(&mut log), [""; 0]);
}
