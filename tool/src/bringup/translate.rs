// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fpgamem translate`: where the buffers of a running process are, for the CPU and for the FPGA.

use super::process::{self, Mapped};
use crate::cli::Global;
use crate::failure::Failure;
use crate::units::{parse_address, size};
use crate::{output, Verdict};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;

/// Options of `translate`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The process [default: the only one that has buffers]
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Translate an address of the process instead of listing its buffers
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, conflicts_with = "phys")]
    user: Option<u64>,
    /// Translate a physical address instead
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    phys: Option<u64>,
}

/// What was found; addresses and sizes in bytes.
#[derive(Debug, Serialize)]
struct Report {
    pid: u32,
    mappings: Vec<Mapped>,
}

/// Runs the command.
pub(crate) fn run(global: &Global, options: &Options) -> Result<Verdict, Failure> {
    let (pid, mut mappings) = process::buffers(global, options.pid)?;
    let asked = options.user.or(options.phys);
    if let Some(addr) = asked {
        let rests = mappings.iter().filter_map(|mapped| match options.user {
            Some(_) => rest(mapped, addr.checked_sub(mapped.user_addr)?),
            None => rest(mapped, addr.checked_sub(mapped.phys_addr)?),
        });
        mappings = rests.collect();
        if mappings.is_empty() {
            let what = format!("process {pid} has no buffer at {addr:#x}");
            return Err(Failure::new(
                what,
                format!("see fpgamem translate --pid {pid}"),
            ));
        }
    }
    if global.json {
        output::json(&Report { pid, mappings })?;
    } else {
        output::text_line(text(pid, &mappings).trim_end())?;
    }
    Ok(Verdict::Good)
}

/// What of a mapping lies from an offset on.
fn rest(mapped: &Mapped, offset: u64) -> Option<Mapped> {
    let bytes = mapped
        .bytes
        .checked_sub(offset)
        .filter(|bytes| *bytes != 0)?;
    Some(Mapped {
        user_addr: mapped.user_addr + offset,
        phys_addr: mapped.phys_addr + offset,
        device_addr: mapped.device_addr + offset,
        bytes,
    })
}

fn text(pid: u32, mappings: &[Mapped]) -> String {
    let mut text =
        format!("process {pid}\nuser address      physical address  for the FPGA      bytes\n");
    for mapped in mappings {
        let _ = writeln!(
            text,
            "{:#016x}  {:#016x}  {:#016x}  {} ({})",
            mapped.user_addr,
            mapped.phys_addr,
            mapped.device_addr,
            mapped.bytes,
            size(mapped.bytes)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_what_lies_behind_it() {
        let mapped = Mapped {
            user_addr: 100,
            phys_addr: 200,
            device_addr: 300,
            bytes: 10,
        };
        let expected = Mapped {
            user_addr: 103,
            phys_addr: 203,
            device_addr: 303,
            bytes: 7,
        };
        assert_eq!(rest(&mapped, 3), Some(expected));
        assert_eq!(rest(&mapped, 10), None);
    }
}
