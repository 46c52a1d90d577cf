// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fpgamem alloc`: holds a buffer, so that an accelerator can be tried by hand.

use super::holder;
use crate::cli::Global;
use crate::failure::Failure;
use crate::units::{parse_size, size};
use crate::{output, Verdict};
use clap::Args;
use fpgamem::{AllocOptions, Buffer, Coherency, Direction, Error};
use serde::Serialize;

/// Options of `alloc`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long the buffer is, as 4096, 16K or 1M
    #[arg(value_parser = parse_size)]
    bytes: u64,
    /// Alignment of the physical address
    #[arg(long, value_name = "BYTES", value_parser = parse_size, default_value = "0")]
    align: u64,
    /// Not cached: the CPU's writes are gathered and go to memory
    #[arg(long)]
    write_combine: bool,
    /// For a port that snoops the caches, whatever the pool's node says
    #[arg(long, conflicts_with = "non_coherent")]
    coherent: bool,
    /// For a port that does not snoop, whatever the pool's node says
    #[arg(long)]
    non_coherent: bool,
    /// Say where it is and end, which frees it
    #[arg(long)]
    once: bool,
}

/// Where the buffer is; addresses and sizes in bytes.
#[derive(Debug, Serialize)]
struct Report {
    pid: u32,
    phys_addr: u64,
    device_addr: u64,
    bytes: usize,
    /// What it takes in the pool.
    block_bytes: usize,
    write_combine: bool,
    coherent: bool,
}

/// Runs the command.
pub(crate) fn run(global: &Global, options: &Options) -> Result<Verdict, Failure> {
    let device = global.open()?;
    let port = match (options.coherent, options.non_coherent) {
        (true, _) => Coherency::Coherent,
        (_, true) => Coherency::NonCoherent,
        _ => Coherency::Default,
    };
    let how = AllocOptions::new();
    let how = how
        .align(options.align)
        .write_combine(options.write_combine)
        .coherency(port);
    let len = usize::try_from(options.bytes).unwrap_or(usize::MAX);
    let buffer = device.alloc_with(len, how)?;
    // Handing it over changes nothing of this.
    let where_it_is = Report::of(&buffer);
    if options.once {
        return report(global, &where_it_is);
    }
    // The accelerator may write to it at any time; should this process be killed, the driver keeps the
    // memory back for a while.
    let buffer = buffer
        .into_device(Direction::Bidirectional)
        .map_err(Error::from)?;
    let listener = holder::listen()?;
    report(global, &where_it_is)?;
    holder::serve(&listener, &buffer)?;
    Ok(Verdict::Good)
}

fn report(global: &Global, report: &Report) -> Result<Verdict, Failure> {
    if global.json {
        output::json(report)?;
    } else {
        output::text_line(&report.text())?;
    }
    Ok(Verdict::Good)
}

impl Report {
    fn of(buffer: &Buffer) -> Self {
        Self {
            pid: std::process::id(),
            phys_addr: buffer.phys_addr().as_u64(),
            device_addr: buffer.device_addr().as_u64(),
            bytes: buffer.len(),
            block_bytes: buffer.capacity(),
            write_combine: buffer.is_write_combine(),
            coherent: buffer.is_coherent(),
        }
    }

    fn text(&self) -> String {
        format!(
            "process {}: {} at physical address {:#x}, for the FPGA {:#x}, takes {}\n\
             It is held until this process ends (Ctrl-C); fill, dump and sync work on it.",
            self.pid,
            size(self.bytes as u64),
            self.phys_addr,
            self.device_addr,
            size(self.block_bytes as u64)
        )
    }
}
