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
