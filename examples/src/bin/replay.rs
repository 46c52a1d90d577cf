// SPDX-License-Identifier: MIT OR Apache-2.0

//! Replays an allocation trace on the driver, checks every byte of every buffer, and says what the
//! trace needed.
//!
//! Exits with 0 where all was right, 1 where a buffer was wrong or a block was lost, 2 where something
//! failed.

use clap::Parser;
use fpgamem::{Arena, Device, Info};
use fpgamem_examples::footprint::{smallest_region, Footprint};
use fpgamem_examples::paddle::{Client, Family};
use fpgamem_examples::replay::{replay, Options, Summary};
use fpgamem_examples::trace::Trace;
use fpgamem_examples::{exit_code, zdma::Zdma};
use nix::sys::signal::{raise, Signal};
use std::error::Error;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Replay an allocation trace, checking every byte of every buffer.
///
/// Each allocation of the trace is a buffer, filled with a pattern and checked when it is freed. Run it while nobody else uses the pool: blocks that others take or free look like lost ones.
///
/// Exits with 0 if all was right, 1 if a buffer was wrong or a block was lost, 2 if something failed.
#[derive(Parser)]
struct Arguments {
    /// The trace
    file: PathBuf,
    /// Have the ZDMA copy every N-th buffer before its free, and check the copy too
    #[arg(long, value_name = "N", conflicts_with = "skip_fill_check")]
    zdma_sample: Option<NonZeroUsize>,
    /// Allocate and sync as a client of Paddle's does: a is Paddle-Lite, b paddle-mobile
    #[arg(long, value_name = "FAMILY", conflicts_with = "zdma_sample")]
    paddle: Option<Family>,
    /// Neither fill nor check buffers
    #[arg(long)]
    skip_fill_check: bool,
    /// Let small buffers share allocations
    #[arg(long, conflicts_with = "paddle")]
    arena: bool,
    /// Stop the process (SIGSTOP) after operation OP, counted from 1; SIGCONT continues
    #[arg(long, value_name = "OP")]
    stop_at: Option<NonZeroUsize>,
    /// Say also what the trace would need with other block sizes
    #[arg(long, conflicts_with = "json")]
    region_report: bool,
    /// Print the summary as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Everything that the summary says.
struct Report {
    info: Info,
    footprint: Footprint,
    nr_overruns: usize,
    summary: Summary,
    region_bytes: u64,
    lost_blocks: i128,
}

fn main() -> ExitCode {
    exit_code("replay", run(&Arguments::parse()))
}

/// Says whether all was right.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let name = arguments.file.display().to_string();
    let text = std::fs::read_to_string(&arguments.file).map_err(|e| format!("{name}: {e}"))?;
    let trace = Trace::parse(&name, &text)?;
    let device = Device::open()?;
    let sample = match arguments.zdma_sample {
        Some(n) => Some((n, Zdma::open()?)),
        None => None,
    };
    let info = device.info()?;
    let block_bytes = usize::try_from(info.block_bytes)?;
    let paddle = match arguments.paddle {
        Some(family) => Some(Client::open(family, block_bytes).map_err(|error| {
            format!("the pool does not serve family {family:?} of Paddle's clients: {error}")
        })?),
        None => None,
    };
    let options = Options {
        contents: !arguments.skip_fill_check,
        sample,
        arena: arguments.arena.then(|| Arena::new(&device)),
        paddle,
    };

    let summary = replay(&device, &trace, options, |done| {
        if arguments.stop_at.is_some_and(|at| at.get() == done) {
            stop(done);
        }
    })?;
    // What a process that was killed before left in quarantine becomes free meanwhile.
    let not_in_use = |info: &Info| i128::from(info.free_bytes) + i128::from(info.quarantined_bytes);
    let lost_bytes = not_in_use(&info) - not_in_use(&device.info()?);

    let report = Report {
        footprint: Footprint::of(&trace, block_bytes),
        nr_overruns: trace.nr_overruns,
        region_bytes: smallest_region(&trace, block_bytes).ok_or("the trace fits no region")?,
        lost_blocks: lost_bytes / i128::from(info.block_bytes),
        info,
        summary,
    };
    for failure in &report.summary.failures {
        eprintln!("{failure}");
    }
    if arguments.json {
        println!("{}", report.json());
    } else {
        let path = match arguments.paddle {
            Some(family) => family.path(),
            None => device.path(),
        };
        println!("replay of {name} on {}", path.display());
        print!("{}", report.text());
    }
    if arguments.region_report {
        report_regions(&trace)?;
    }
    Ok(report.is_right())
}

fn stop(done: usize) {
    println!("stopped after operation {done}");
    // The reader may be gone; the stop is what counts.
    let _ = std::io::stdout().flush();
    let _ = raise(Signal::SIGSTOP);
}

impl Report {
    fn is_right(&self) -> bool {
        self.summary.failures.is_empty() && self.lost_blocks == 0
    }

    fn text(&self) -> String {
        let Self {
            footprint: f,
            summary: s,
            ..
        } = self;
        let block_bytes = self.info.block_bytes;
        let kib = |bytes: usize| bytes / 1024;
        let mut text = format!(
            "operations       {}: {} allocations, {} frees, {} flushes, {} invalidates\n",
            s.nr_operations, f.nr_allocs, f.nr_frees, f.nr_flushes, f.nr_invalidates
        );
        if self.nr_overruns > 0 {
            text += &format!(
                "ranges cut       {} overran their buffer\n",
                self.nr_overruns
            );
        }
        if s.left_buffers > 0 {
            text += &format!(
                "not freed        {} buffers, by the trace\n",
                s.left_buffers
            );
        }
        text += &format!(
            "checked by CPU   {} buffers, all {} bytes of them\n",
            s.checked_buffers, s.checked_bytes
        );
        text += &format!(
            "copied by ZDMA   {} buffers, all {} bytes of the copies checked\n",
            s.zdma_buffers, s.zdma_bytes
        );
        text += &format!(
            "peak             {} KiB asked for, {} KiB in {} blocks of {} bytes, {} mappings\n",
            kib(s.peak_bytes),
            kib(s.peak_capacity),
            s.peak_capacity as u64 / block_bytes,
            block_bytes,
            s.peak_mappings
        );
        text += &format!(
            "from the device  {} allocations for {} buffers at the peak\n",
            s.nr_allocs, s.peak_buffers
        );
        text += &format!(
            "smallest region  {} KiB suffices, the pool has {} KiB\n",
            self.region_bytes / 1024,
            self.info.region_bytes / 1024
        );
        text += &format!("failures         {}\n", s.failures.len());
        text += &format!("blocks lost      {}\n", self.lost_blocks);
        text
    }

    fn json(&self) -> String {
        let Self {
            footprint: f,
            summary: s,
            ..
        } = self;
        let number = |value: usize| value.to_string();
        let fields = [
            ("operations", number(s.nr_operations)),
            ("allocs", number(f.nr_allocs)),
            ("frees", number(f.nr_frees)),
            ("flushes", number(f.nr_flushes)),
            ("invalidates", number(f.nr_invalidates)),
            ("overruns", number(self.nr_overruns)),
            ("not_freed", number(s.left_buffers)),
            ("checked_buffers", number(s.checked_buffers)),
            ("checked_bytes", number(s.checked_bytes)),
            ("zdma_buffers", number(s.zdma_buffers)),
            ("zdma_bytes", number(s.zdma_bytes)),
            ("peak_bytes", number(s.peak_bytes)),
            ("peak_block_bytes", number(s.peak_capacity)),
            (
                "peak_blocks",
                (s.peak_capacity as u64 / self.info.block_bytes).to_string(),
            ),
            ("peak_buffers", number(s.peak_buffers)),
            ("peak_mappings", number(s.peak_mappings)),
            ("device_allocs", s.nr_allocs.to_string()),
            ("smallest_region_bytes", self.region_bytes.to_string()),
            ("failures", number(s.failures.len())),
            ("blocks_leaked", self.lost_blocks.to_string()),
        ];
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", fields.join(","))
    }
}

/// Prints what the trace needs with each block size that the driver can have.
fn report_regions(trace: &Trace) -> Result<(), Box<dyn Error>> {
    println!("block size  peak in blocks  smallest region");
    for shift in 12..=21 {
        let block_bytes = 1_usize << shift;
        let peak = Footprint::of(trace, block_bytes).peak_blocks << (shift - 10);
        let region = smallest_region(trace, block_bytes).ok_or("the trace fits no region")? >> 10;
        println!(
            "{:>6} KiB  {peak:>10} KiB  {region:>11} KiB",
            block_bytes >> 10
        );
    }
    Ok(())
}
