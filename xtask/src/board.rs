// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device tree of the emulated board.

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

/// Changes the size of the reserved region in a compiled device tree.
pub(crate) fn set_region_bytes(dtb: &Path, bytes: u64) -> Result<()> {
    let list = capture(
        Command::new("fdtget")
            .arg("-l")
            .arg(dtb)
            .arg("/reserved-memory"),
    )?;
    let children: Vec<&str> = list.split_whitespace().collect();
    let [child] = children[..] else {
        bail!(
            "{} reserves {} regions; one is expected",
            dtb.display(),
            children.len()
        );
    };
    let node = format!("/reserved-memory/{child}");
    let reg = capture(
        Command::new("fdtget")
            .args(["-t", "x"])
            .arg(dtb)
            .args([&node, "reg"]),
    )?;
    let cells: Vec<&str> = reg.split_whitespace().collect();
    let [high, low, _, _] = cells[..] else {
        bail!("{node} has a reg of {} cells; 4 are expected", cells.len());
    };
    let size = [
        format!("{:x}", bytes >> 32),
        format!("{:x}", bytes & 0xffff_ffff),
    ];
    capture(
        Command::new("fdtput")
            .args(["-t", "x"])
            .arg(dtb)
            .args([&node, "reg", high, low])
            .args(size),
    )
    .context("cannot change the region's size")?;
    Ok(())
}
