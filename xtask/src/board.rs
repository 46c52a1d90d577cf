// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device tree of the emulated board.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use anyhow::{bail, Context, Result};

use crate::process::capture;

/// Compiles a device tree.
pub(crate) fn compile(dts: &Path, dtb: &Path) -> Result<()> {
    let mut dtc = Command::new("dtc");
    dtc.args(["-q", "-I", "dts", "-O", "dtb"]);
    if let Some(dir) = dts.parent() {
        dtc.arg("-i").arg(dir);
    }
    capture(dtc.arg("-o").arg(dtb).arg(dts))?;
    Ok(())
}

/// The processors that QEMU's machine can have.
const PROCESSORS: u32 = 4;

/// Removes the nodes of processors that the machine is started without.
///
/// Linux waits for each one that is described, and reports those that do not come.
pub(crate) fn keep_processors(dtb: &Path, count: u32) -> Result<()> {
    let present = capture(Command::new("fdtget").arg("-l").arg(dtb).arg("/cpus"))?;
    for number in count..PROCESSORS {
        let name = format!("cpu@{number}");
        if present.split_whitespace().any(|node| node == name) {
            capture(
                Command::new("fdtput")
                    .arg("-r")
                    .arg(dtb)
                    .arg(format!("/cpus/{name}")),
            )?;
        }
    }
    Ok(())
}

/// A region that a device tree reserves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Region {
    node: String,
    /// The cells of the address.
    start: [String; 2],
    /// Physical addresses.
    pub(crate) addresses: Range<u64>,
}

/// Applies an overlay to a compiled device tree.
pub(crate) fn apply(overlay: &Path, dtb: &Path) -> Result<()> {
    let compiled = dtb.with_extension("dtbo");
    let mut dtc = Command::new("dtc");
    dtc.args(["-q", "-I", "dts", "-O", "dtb", "-o"]);
    capture(dtc.args([&compiled, overlay]))?;
    let merged = dtb.with_extension("merged");
    let mut fdtoverlay = Command::new("fdtoverlay");
    capture(
        fdtoverlay
            .arg("-i")
            .arg(dtb)
            .arg("-o")
            .args([&merged, &compiled]),
    )?;
    fs::rename(&merged, dtb)?;
    fs::remove_file(&compiled)?;
    Ok(())
}

/// The largest region that a device tree reserves.
pub(crate) fn region(dtb: &Path) -> Result<Region> {
    let list = capture(
        Command::new("fdtget")
            .arg("-l")
            .arg(dtb)
            .arg("/reserved-memory"),
    )?;
    let regions = list.split_whitespace().map(|child| read_region(dtb, child));
    let regions = regions.collect::<Result<Vec<_>>>()?;
    let bytes = |region: &Region| region.addresses.end - region.addresses.start;
    regions
        .into_iter()
        .max_by_key(bytes)
        .with_context(|| format!("{} reserves no region", dtb.display()))
}

/// Reads a node of `/reserved-memory`.
fn read_region(dtb: &Path, child: &str) -> Result<Region> {
    let node = format!("/reserved-memory/{child}");
    let reg = capture(
        Command::new("fdtget")
            .args(["-t", "x"])
            .arg(dtb)
            .args([&node, "reg"]),
    )?;
    let cells: Vec<&str> = reg.split_whitespace().collect();
    let [high, low, size_high, size_low] = cells[..] else {
        bail!("{node} has a reg of {} cells; 4 are expected", cells.len());
    };
    let number = |high: &str, low: &str| {
        u64::from_str_radix(&format!("{high}{low:0>8}"), 16).context("a cell is no number")
    };
    let start = number(high, low)?;
    let end = start + number(size_high, size_low)?;
    Ok(Region {
        start: [high.to_owned(), low.to_owned()],
        addresses: start..end,
        node,
    })
}

/// Changes the size of the largest reserved region in a compiled device tree.
pub(crate) fn set_region_bytes(dtb: &Path, bytes: u64) -> Result<()> {
    let Region { node, start, .. } = region(dtb)?;
    let size = [
        format!("{:x}", bytes >> 32),
        format!("{:x}", bytes & 0xffff_ffff),
    ];
    capture(
        Command::new("fdtput")
            .args(["-t", "x"])
            .arg(dtb)
            .args([&node, "reg"])
            .args(start)
            .args(size),
    )
    .context("cannot change the region's size")?;
    Ok(())
}
