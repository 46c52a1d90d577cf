// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measures the life of a buffer, from allocation to free, beside the kernel's heaps, and what is done with it.
//!
//! One JSON object a line. Under QEMU with `-icount shift=0` the clock counts guest instructions; anywhere
//! else the numbers are nanoseconds. They are as read: what reading the clock costs is a line of its own.

#![deny(unsafe_code)]

mod caches;
mod clock;
mod drivers;
mod lives;
mod pool;
mod processes;
// System calls.
#[allow(unsafe_code)]
mod raw;
mod sample;
mod syscalls;
mod traces;
mod u_dma_buf;

use clap::{Parser, Subcommand};
use drivers::{heaps, open, Driver};
use fpgamem_examples::exit_code;
use pool::Stats;
use sample::{at_once, keep, least, measure};
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use syscalls::Traced;

const SIZES: [usize; 7] = [
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    8 << 20,
    64 << 20,
];

/// Measure what buffers of the driver and of the library cost, and those of the kernel's dma-buf heaps.
///
/// Prints one JSON object a line. "instructions" is what the clock says: guest instructions under QEMU with
/// -icount shift=0, nanoseconds elsewhere. Each figure is the least of eight runs.
#[derive(Parser)]
struct Arguments {
    /// The fpgamem node
    #[arg(long, default_value = "/dev/fpgamem0")]
    device: PathBuf,
    /// The folder with the traces that are replayed
    #[arg(long, default_value = "/data")]
    traces: PathBuf,
    /// What to measure; without it, own and then heaps
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// The driver and the library of this project
    Own,
    /// The kernel's dma-buf heaps
    Heaps {
        /// The heap in /dev/dma_heap that is contiguous, if it has an unusual name
        #[arg(long)]
        heap: Option<String>,
    },
    /// The buffer of a node of u-dma-buf 5.x
    UDmaBuf {
        /// The node
        node: PathBuf,
    },
    /// The driver's buffers in one process and in several at the same time
    Processes {
        /// How many; each needs a processor
        #[arg(long, default_value_t = 4)]
        count: u32,
    },
    /// Lives of the driver's buffers, for a plugin of QEMU that counts for how long a lock is held
    Locks,
    /// A child of another part: does something, traced by its parent
    #[command(hide = true)]
    Traced {
        what: Traced,
        bytes: usize,
        turns: u32,
    },
    /// A child of the part `processes`
    #[command(hide = true)]
    Process {
        number: usize,
        bytes: usize,
        lives: u32,
    },
}

fn main() -> ExitCode {
    exit_code("bench", run(&Arguments::parse()).map(|()| true))
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let result = measure_part(arguments);
    sample::print_all();
    result
}

fn measure_part(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let path = &arguments.device;
    match &arguments.part {
        None => {
            own(path, &arguments.traces)?;
            others(path, None)
        }
        Some(Part::Own) => own(path, &arguments.traces),
        Some(Part::Heaps { heap }) => others(path, heap.as_deref()),
        Some(Part::UDmaBuf { node }) => u_dma_buf::compare(node),
        Some(Part::Processes { count }) => processes::compare(path, *count),
        Some(Part::Locks) => lives::for_locks(path),
        Some(Part::Traced { what, bytes, turns }) => syscalls::child(*what, path, *bytes, *turns),
        Some(Part::Process {
            number,
            bytes,
            lives,
        }) => processes::child(path, *number, *bytes, *lives),
    }
}

/// Everything about the driver and the library.
fn own(path: &Path, traces: &Path) -> Result<(), Box<dyn Error>> {
    let device = open(path)?;
    let stats = Stats::of(path);
    let driver = Driver::Fpgamem(device.try_clone()?);
    yardsticks(&device)?;
    lives::sizes(&driver, path, &stats)?;
    lives::background(&driver, &device, &stats)?;
    lives::crowds(&driver, &stats)?;
    caches::sync(&device, path, &stats)?;
    caches::translate(&device, path)?;
    drop(driver);
    let device = fpgamem::Device::open_path(path)?;
    lives::library(&device, path, &stats)?;
    caches::library_sync(&device, path)?;
    caches::library_translate(&device, path)?;
    traces::replay_all(traces, &device, &stats)
}

/// What is part of every figure, and the shortest calls of the kernel.
fn yardsticks(device: &File) -> Result<(), Box<dyn Error>> {
    let samples = least(at_once, || {
        let getppid = || {
            nix::unistd::getppid();
            Ok(())
        };
        Ok([
            measure("read", || Ok(()))?.1,
            measure("getppid", getppid)?.1,
            measure("ioctl", || raw::nothing(device))?.1,
        ])
    })?;
    keep("clock", "none", 0, 0, samples);
    Ok(())
}

/// The kernel's heaps.
fn others(path: &Path, heap: Option<&str>) -> Result<(), Box<dyn Error>> {
    let stats = Stats::of(path);
    for driver in heaps(heap)? {
        lives::sizes(&driver, path, &stats)?;
    }
    Ok(())
}
