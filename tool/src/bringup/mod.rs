// SPDX-License-Identifier: MIT OR Apache-2.0

//! First steps with an accelerator: `alloc` holds a buffer, `fill`, `dump`, `sync` and `translate` work
//! on the buffers of a running process, which may be that one.

pub(crate) mod alloc;
pub(crate) mod contents;
mod holder;
mod pattern;
mod process;
pub(crate) mod sync;
pub(crate) mod translate;

use crate::cli::Global;
use crate::failure::Failure;
use crate::units::{parse_address, parse_size};
use clap::Args;
use process::Mapped;

/// Which bytes of which buffer.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The process that has the buffer [default: the only one that has any]
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// A physical address in the buffer [default: the process has one buffer only]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    phys: Option<u64>,
    /// First byte, from the start of the buffer
    #[arg(long, value_name = "BYTES", value_parser = parse_size, default_value = "0")]
    offset: u64,
    /// How many bytes
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    bytes: Option<u64>,
}

/// Bytes of a process's buffer.
struct Found {
    pid: u32,
    buffer: Mapped,
    /// First byte, from the start of the buffer.
    offset: u64,
    bytes: u64,
}

impl Place {
    /// Finds the bytes; where it is not said how many, `most` or the rest of the buffer.
    fn find(&self, global: &Global, most: u64) -> Result<Found, Failure> {
        let (pid, buffers) = process::buffers(global, self.pid)?;
        let buffer = self.choose(pid, buffers)?;
        let rest = buffer
            .bytes
            .checked_sub(self.offset)
            .filter(|rest| *rest != 0);
        let bytes = rest.map(|rest| self.bytes.unwrap_or(most.min(rest)));
        match (rest, bytes) {
            (Some(rest), Some(bytes)) if (1..=rest).contains(&bytes) => Ok(Found {
                pid,
                buffer,
                offset: self.offset,
                bytes,
            }),
            _ => {
                let what = format!("the range leaves the buffer of {} bytes", buffer.bytes);
                Err(Failure::new(what, "give a smaller --offset or --bytes"))
            }
        }
    }

    fn choose(&self, pid: u32, buffers: Vec<Mapped>) -> Result<Mapped, Failure> {
        if let Some(phys) = self.phys {
            let has = |buffer: &Mapped| (buffer.phys_addr..buffer.phys_end()).contains(&phys);
            return buffers.into_iter().find(has).ok_or_else(|| {
                let what = format!("process {pid} has no buffer at {phys:#x}");
                Failure::new(what, format!("see fpgamem translate --pid {pid}"))
            });
        }
        match <[Mapped; 1]>::try_from(buffers) {
            Ok([buffer]) => Ok(buffer),
            Err(buffers) => {
                let addrs = buffers
                    .iter()
                    .map(|buffer| format!("{:#x}", buffer.phys_addr));
                let addrs: Vec<_> = addrs.take(8).collect();
                let what = format!("process {pid} has {} buffers", buffers.len());
                Err(Failure::new(
                    what,
                    format!("choose one by --phys, such as {}", addrs.join(", ")),
                ))
            }
        }
    }
}
