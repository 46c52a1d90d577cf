// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fpgamem sync`: maintains the caches of a buffer that `fpgamem alloc` holds.

use super::{holder, Place};
use crate::cli::Global;
use crate::failure::Failure;
use crate::{output, Verdict};
use clap::{Args, ValueEnum};
use serde::Serialize;

/// Options of `sync`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Who will access it next
    #[arg(value_name = "WHOM")]
    whom: Whom,
    #[command(flatten)]
    place: Place,
}

/// Who will access the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Whom {
    /// The FPGA reads what the CPU wrote: cleans.
    Device,
    /// The CPU reads what the FPGA wrote, or the FPGA will write: cleans and invalidates.
    Cpu,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Report {
    pid: u32,
    phys_addr: u64,
    bytes: u64,
    #[serde(rename = "for")]
    whom: Whom,
}

/// Runs the command.
pub(crate) fn run(global: &Global, options: &Options) -> Result<Verdict, Failure> {
    let found = options.place.find(global, u64::MAX)?;
    let range = found.offset..found.offset + found.bytes;
    holder::ask(found.pid, options.whom == Whom::Device, range)?;
    let report = Report {
        pid: found.pid,
        phys_addr: found.buffer.phys_addr + found.offset,
        bytes: found.bytes,
        whom: options.whom,
    };
    if global.json {
        output::json(&report)?;
    } else {
        let done = match report.whom {
            Whom::Device => "cleaned",
            Whom::Cpu => "cleaned and invalidated",
        };
        let Report {
            pid,
            phys_addr,
            bytes,
            ..
        } = report;
        output::text_line(&format!(
            "process {pid}: {done} {bytes} bytes at {phys_addr:#x}"
        ))?;
    }
    Ok(Verdict::Good)
}
