// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sends a file through the ZDMA, frame after frame, on a board or without one.
//!
//! Exits with 0 where all frames are right, 1 where one is not, 2 where something failed.

use clap::{Parser, ValueEnum};
use fpgamem::{Device, Policy};
use fpgamem_examples::exit_code;
use fpgamem_examples::stream::{send, Sync};
use fpgamem_examples::zdma::Zdma;
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Send a file through the ZDMA, frame after frame, in buffers that stay the device's.
///
/// Exits with 0 if all frames are right, 1 if one is not, 2 if something failed.
#[derive(Parser)]
struct Arguments {
    /// The file; without it, this program itself
    file: Option<PathBuf>,
    /// Bytes of a frame
    #[arg(long, value_name = "BYTES", default_value = "4000")]
    frame: NonZeroUsize,
    /// Run without a board, on caches that do nothing unasked, that evict, or that prefetch
    #[arg(long, value_name = "POLICY")]
    emulated: Option<Emulated>,
    /// Take the buffers from a node of u-dma-buf, like /dev/udmabuf0, instead of the driver
    #[arg(long, value_name = "NODE", conflicts_with = "emulated")]
    u_dma_buf: Option<PathBuf>,
    /// Where what evicts or prefetches starts from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Leave a sync out: on a board, and without one, frames must come out wrong
    #[arg(long, value_name = "SYNC")]
    forget: Option<Forget>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Emulated {
    Never,
    Evict,
    Prefetch,
}

#[derive(Clone, Copy, ValueEnum)]
enum Forget {
    Input,
    Cleared,
    Output,
}

fn main() -> ExitCode {
    exit_code("stream", run(&Arguments::parse()))
}

/// Says whether all frames are right.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let path = arguments.file.clone();
    let path = path.map_or_else(std::env::current_exe, Ok)?;
    let contents = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let frame_bytes = arguments.frame.get();
    let frames = contents.chunks(frame_bytes);
    let count = frames.len();
    let forget = arguments.forget.map(|forget| match forget {
        Forget::Input => Sync::Input,
        Forget::Cleared => Sync::Cleared,
        Forget::Output => Sync::Output,
    });
    let seed = arguments.seed;
    let (device, wrong) = match arguments.emulated {
        Some(emulated) => {
            let policy = match emulated {
                Emulated::Never => Policy::Never,
                Emulated::Evict => Policy::Evict(seed),
                Emulated::Prefetch => Policy::Prefetch(seed),
            };
            let device = Device::emulated().policy(policy).open()?;
            let mut zdma = Zdma::emulated(&device);
            let wrong = send(&device, &mut zdma, frames, frame_bytes, forget)?;
            (device, wrong)
        }
        None => {
            let node = arguments.u_dma_buf.as_ref();
            let device = node.map_or_else(Device::open, Device::open_u_dma_buf)?;
            let mut zdma = Zdma::open()?;
            let wrong = send(&device, &mut zdma, frames, frame_bytes, forget)?;
            (device, wrong)
        }
    };
    println!(
        "{}: {count} frames of {} on {}, {} came out wrong",
        path.display(),
        frame_bytes,
        device.path().display(),
        wrong.len()
    );
    Ok(wrong.is_empty())
}
