// SPDX-License-Identifier: MIT OR Apache-2.0

//! The pools of the device tree, and what the boot loader has made of their regions.

use super::tree::Node;
use super::Finding;
use crate::system::System;
use crate::units::size;
use fpgamem::Info;
use std::ops::Range;

/// What a pool's node is compatible to.
pub(super) const COMPATIBLE: &str = "fpgamem,memory-pool";

const CHECK: &str = "device tree";
const BOOT: &str = "boot loader";
const DEFAULT_BLOCK_BYTES: u32 = 16384;
const DTSI: &str = "include dts/fpgamem.dtsi in the board's device tree and boot with that";

/// A pool whose node is as it should be.
#[derive(Debug)]
pub(super) struct Pool {
    region: Range<u64>,
    block_bytes: u32,
    coherent: bool,
}

/// Compares the nodes with what the driver says of its pool: another device tree may have been built
/// than the board has booted with.
pub(super) fn compare(pools: &[Pool], info: &Info) -> Option<Finding> {
    let start = info.phys_addr.as_u64();
    let is_it = |pool: &Pool| {
        let bytes = pool.region.end - pool.region.start;
        let tree = (
            pool.region.start,
            bytes,
            u64::from(pool.block_bytes),
            pool.coherent,
        );
        tree == (start, info.region_bytes, info.block_bytes, info.coherent)
    };
    if pools.iter().any(is_it) {
        return None;
    }
    let text = "no pool of the device tree has the driver's region, block size and port";
    let mend = "unbind and bind the device, or boot again";
    Some(Finding::bad(CHECK, text, mend))
}

pub(super) fn examine(system: &System, findings: &mut Vec<Finding>) -> Vec<Pool> {
    let Some(root) = Node::root(system) else {
        let text = "this system has none";
        findings.push(Finding::bad(
            CHECK,
            text,
            "run it on the board; fpgamem needs a device tree",
        ));
        return Vec::new();
    };
    if let Some(model) = root.string("model") {
        findings.push(Finding::good("board", model));
    }
    let nodes = root.all(&|node| node.is_compatible(COMPATIBLE));
    if nodes.is_empty() {
        let text = format!("has no node that is compatible to {COMPATIBLE}");
        findings.push(Finding::bad(CHECK, text, DTSI));
    }
    let mut pools = Vec::new();
    for node in nodes {
        match pool(&root, node) {
            Ok(pool) => {
                let range = text_of(&pool.region);
                let bytes = size(pool.region.end - pool.region.start);
                let text = format!("{}: region {range}, {bytes}, no-map", node.name);
                findings.push(Finding::good(CHECK, text));
                findings.push(port(&pool));
                findings.extend(boot_loader(system, &root, &pool.region));
                pools.push(pool);
            }
            Err((problem, mend)) => {
                findings.push(Finding::bad(
                    CHECK,
                    format!("{}: {problem}", node.name),
                    mend,
                ));
            }
        }
    }
    pools
}

/// What is wrong with a node, and the way out.
type Problem = (String, &'static str);

fn pool(root: &Node, node: &Node) -> Result<Pool, Problem> {
    let problem = |text: &str, mend| Err((text.to_owned(), mend));
    if !node.is_enabled() {
        return problem(
            "is disabled",
            "remove its property status, or make it \"okay\"",
        );
    }
    let Some(phandle) = node.cell("memory-region") else {
        return problem("has no memory-region of one phandle", DTSI);
    };
    let Some(parent) = root.child("reserved-memory") else {
        return problem("there is no /reserved-memory", DTSI);
    };
    let named = |child: &&Node| child.cell("phandle") == Some(phandle);
    let Some(region) = parent.children.iter().find(named) else {
        let mend = "let memory-region name a child of /reserved-memory";
        return problem("its memory-region is no child of /reserved-memory", mend);
    };
    let name = &region.name;
    if !region.is_enabled() {
        return Err((format!("{name} is disabled"), "remove its property status"));
    }
    let [range] = &parent.ranges_of(region)[..] else {
        return Err((
            format!("{name} has no reg of one range"),
            "give the region a static address and size by reg, in the cells of its parent",
        ));
    };
    if !region.has("no-map") {
        let mend = "add no-map: it keeps the kernel's own cached mapping away from the region";
        return Err((format!("{name} lacks no-map"), mend));
    }
    for property in ["reusable", "compatible"] {
        if region.has(property) {
            return Err((
                format!("{name} has {property}: something else may take the region"),
                "remove the property; the region must belong to the pool alone",
            ));
        }
    }
    let block_bytes = node
        .cell("fpgamem,block-size")
        .unwrap_or(DEFAULT_BLOCK_BYTES);
    if !block_bytes.is_power_of_two() || !(4096..=2 << 20).contains(&block_bytes) {
        let mend = "give a power of two from 4096 to 2097152";
        return Err((format!("fpgamem,block-size is {block_bytes}"), mend));
    }
    let unit = u64::from(block_bytes);
    if range.start % unit != 0 || range.end % unit != 0 || range.is_empty() {
        let text = format!(
            "{} does not begin and end at blocks of {block_bytes}",
            text_of(range)
        );
        return Err((text, "align the region to its block size"));
    }
    let others = parent.children.iter().filter(|other| other.name != *name);
    for other in others {
        if parent
            .ranges_of(other)
            .iter()
            .any(|theirs| overlap(theirs, range))
        {
            let text = format!("{} overlaps {}", text_of(range), other.name);
            return Err((text, "move or shorten one of the reserved regions"));
        }
    }
    Ok(Pool {
        region: range.clone(),
        block_bytes,
        coherent: node.has("dma-coherent"),
    })
}

fn port(pool: &Pool) -> Finding {
    let (text, mend) = if pool.coherent {
        (
            "dma-coherent is set: no sync maintains caches",
            "right only if the FPGA uses HPC or ACP with coherent accesses alone; with an HP port \
             data will be stale",
        )
    } else {
        (
            "dma-coherent is not set: syncs maintain caches",
            "right for HP ports; for HPC or ACP with coherent accesses it costs time and harms \
             nothing",
        )
    };
    Finding::note("port", text, mend)
}

/// What the boot loader has left in the region or around it.
fn boot_loader(system: &System, root: &Node, region: &Range<u64>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let memory = root.memory();
    if memory.is_empty() {
        let text = "has left no memory node";
        findings.push(Finding::unknown(BOOT, text, "look at bdinfo in U-Boot"));
    } else if !memory
        .iter()
        .any(|bank| bank.start <= region.start && region.end <= bank.end)
    {
        let banks: Vec<_> = memory.iter().map(text_of).collect();
        let text = format!(
            "knows no DDR in all of the region; its DDR is {}",
            banks.join(", ")
        );
        findings.push(Finding::bad(
            BOOT,
            text,
            "move the region into DDR, or make it smaller",
        ));
    }
    let chosen = root.child("chosen");
    let number = |name| chosen.and_then(|chosen| chosen.number(name));
    if let (Some(start), Some(end)) = (number("linux,initrd-start"), number("linux,initrd-end")) {
        if overlap(&(start..end), region) {
            let text = format!(
                "has put the initial file system into the region, {}",
                text_of(&(start..end))
            );
            let mend = "set initrd_high in U-Boot's environment to the region's first address";
            findings.push(Finding::bad(BOOT, text, mend));
        }
    }
    for range in reserved_by_blob(&system.bytes("/sys/firmware/fdt").unwrap_or_default()) {
        if overlap(&range, region) {
            let text = format!("has reserved {} in the region for itself", text_of(&range));
            let mend =
                "set fdt_high and initrd_high in U-Boot's environment to the region's first \
                        address";
            findings.push(Finding::bad(BOOT, text, mend));
        }
    }
    findings.push(ram(system, region));
    if findings
        .iter()
        .all(|finding| finding.status == super::Status::Good)
    {
        let version = chosen.and_then(|chosen| chosen.string("u-boot,version"));
        let version = version.map_or(String::new(), |version| format!(" (U-Boot {version})"));
        findings.push(Finding::good(
            BOOT,
            format!("has left the region alone{version}"),
        ));
    }
    findings
}

/// Whether the kernel uses the region as its own memory.
fn ram(system: &System, region: &Range<u64>) -> Finding {
    let text = system.text("/proc/iomem").unwrap_or_default();
    let line = |line: &str| {
        let (range, name) = line.split_once(" : ")?;
        let (start, last) = range.trim().split_once('-')?;
        let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
        Some((
            hexadecimal(start)?..hexadecimal(last)?.checked_add(1)?,
            name.to_owned(),
        ))
    };
    let ranges: Vec<_> = text.lines().filter_map(line).collect();
    // Without privileges all addresses are 0.
    if ranges.iter().all(|(range, _)| range.end <= 1) {
        let text = "what the kernel uses is not to be seen";
        return Finding::unknown(BOOT, text, "run it as root, which may read /proc/iomem");
    }
    let used = ranges
        .iter()
        .find(|(range, name)| name == "System RAM" && overlap(range, region));
    match used {
        Some((range, _)) => Finding::bad(
            BOOT,
            format!("the kernel uses {} of the region as its own memory", text_of(range)),
            "the reservation failed or came too late: see the kernel log for \"reserved mem\", and \
             boot with the device tree that has it",
        ),
        None => Finding::good(BOOT, "the kernel keeps out of the region"),
    }
}

/// The reservations in the header of the device tree blob.
fn reserved_by_blob(blob: &[u8]) -> Vec<Range<u64>> {
    let word = |at: usize| {
        blob.get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map(u32::from_be_bytes)
    };
    if word(0) != Some(0xd00d_feed) {
        return Vec::new();
    }
    let start = word(16).map_or(usize::MAX, |offset| offset as usize);
    let entries = blob.get(start..).unwrap_or_default().chunks_exact(16);
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    entries
        .map(|entry| (number(&entry[..8]), number(&entry[8..])))
        .take_while(|(_, bytes)| *bytes != 0)
        .map(|(start, bytes)| start..start.saturating_add(bytes))
        .collect()
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

fn text_of(range: &Range<u64>) -> String {
    format!("[{:#x}, {:#x})", range.start, range.end)
}
