// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fpgamem trace`: what a recorded run of a program needs, and whether this pool gives it.

use crate::cli::Global;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::units::{parse_size, size};
use crate::{output, Verdict};
use clap::Args;
use fpgamem::{Arena, Device};
use fpgamem_examples::footprint::{fits, smallest_region, ArenaFootprint, Footprint};
use fpgamem_examples::replay::{replay, Options as ReplayOptions, ReplayError, Summary};
use fpgamem_examples::trace::Trace;
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

/// Options of `trace`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The trace: lines "A id bytes" (allocate), "F id" (free), "C id offset bytes" (clean) and
    /// "I id offset bytes" (clean and invalidate)
    file: PathBuf,
    /// Replay nothing: compute whether a region of so many bytes would do, on any machine
    #[arg(long, value_name = "BYTES", value_parser = parse_size, conflicts_with = "device")]
    region: Option<u64>,
    /// Bytes of a block of that region
    #[arg(long, value_name = "BYTES", value_parser = parse_size, default_value = "16K", requires = "region")]
    block: u64,
    /// Let small buffers share allocations
    #[arg(long)]
    arena: bool,
    /// Replay on an emulated device inside this process
    #[arg(long, conflicts_with_all = ["device", "region"])]
    emulated: bool,
    /// Neither fill nor check buffers
    #[arg(long, conflicts_with = "region")]
    unchecked: bool,
}

/// What a trace asks for and got; sizes in bytes.
#[derive(Debug, Serialize)]
struct Report {
    trace: String,
    allocs: usize,
    frees: usize,
    flushes: usize,
    invalidates: usize,
    /// Ranges that overran their buffer and were cut at its end.
    overruns: usize,
    peak_bytes: usize,
    peak_buffers: usize,
    block_bytes: u64,
    /// Most bytes in blocks: of buffers of their own, or of the arena.
    peak_block_bytes: usize,
    /// Most mappings at the same time.
    peak_mappings: usize,
    /// Allocations from the driver.
    device_allocs: u64,
    /// The smallest region in which the driver serves the trace, without an arena.
    smallest_region_bytes: Option<u64>,
    #[serde(flatten)]
    outcome: Outcome,
}

/// What became of it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Simulated {
        region_bytes: u64,
        fits: bool,
    },
    Replayed {
        device: String,
        checked_bytes: usize,
        failures: Vec<String>,
    },
}

/// Runs the command.
pub(crate) fn run(global: &Global, options: &Options) -> Result<Verdict, Failure> {
    let name = options.file.display().to_string();
    let text = std::fs::read_to_string(&options.file)
        .map_err(|error| Failure::reading(&options.file, error, "give a file that is a trace"))?;
    let trace = Trace::parse(&name, &text).map_err(|error| {
        let way_out = "each line is one operation, as fpgamem trace --help shows";
        Failure::new("this is no trace", way_out).because(error)
    })?;
    let report = match options.region {
        Some(region) => simulate(&trace, region, options)?,
        None => replay_on(&device(global, options)?, &trace, options)?,
    };
    if global.json {
        output::json(&report)?;
    } else {
        output::text_line(report.text().trim_end())?;
    }
    Ok(if report.is_good() {
        Verdict::Good
    } else {
        Verdict::Bad
    })
}

fn device(global: &Global, options: &Options) -> Result<Device, Failure> {
    if options.emulated {
        return Ok(Device::emulated().region_bytes(1 << 30).open()?);
    }
    global.open()
}

impl Report {
    fn new(trace: &Trace, block_bytes: u64, outcome: Outcome) -> Self {
        let unit = usize::try_from(block_bytes).unwrap_or(usize::MAX);
        let footprint = Footprint::of(trace, unit);
        Self {
            trace: trace.name.clone(),
            allocs: footprint.nr_allocs,
            frees: footprint.nr_frees,
            flushes: footprint.nr_flushes,
            invalidates: footprint.nr_invalidates,
            overruns: trace.nr_overruns,
            peak_bytes: footprint.peak_bytes,
            peak_buffers: footprint.peak_buffers,
            block_bytes,
            peak_block_bytes: footprint.peak_blocks * unit,
            peak_mappings: footprint.peak_buffers,
            device_allocs: footprint.nr_allocs as u64,
            smallest_region_bytes: smallest_region(trace, unit),
            outcome,
        }
    }

    fn is_good(&self) -> bool {
        match &self.outcome {
            Outcome::Simulated { fits, .. } => *fits,
            Outcome::Replayed { failures, .. } => failures.is_empty(),
        }
    }

    fn text(&self) -> String {
        let line = |name: &str, value: String| format!("{name:<16} {value}\n");
        let bytes = |bytes: usize| size(bytes as u64);
        let mut text = line("trace", self.trace.clone());
        let (allocs, frees) = (self.allocs, self.frees);
        let syncs = format!("{} flushes, {} invalidates", self.flushes, self.invalidates);
        text += &line(
            "operations",
            format!("{allocs} allocations, {frees} frees, {syncs}"),
        );
        if self.overruns != 0 {
            text += &line(
                "ranges cut",
                format!("{} overran their buffer", self.overruns),
            );
        }
        let asked = format!(
            "{} in {} buffers",
            bytes(self.peak_bytes),
            self.peak_buffers
        );
        text += &line("peak", asked);
        let blocks = size(self.block_bytes);
        let held = bytes(self.peak_block_bytes);
        let thousandths = self.peak_block_bytes as u64 * 1000 / (self.peak_bytes as u64).max(1);
        let factor = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
        let mappings = self.peak_mappings;
        text += &line(
            "in blocks",
            format!("{held} of {blocks} each ({factor} times), {mappings} mappings"),
        );
        text += &line("driver", format!("{} allocations", self.device_allocs));
        if let Some(smallest) = self.smallest_region_bytes {
            text += &line(
                "smallest region",
                format!("{} without an arena", size(smallest)),
            );
        }
        match &self.outcome {
            Outcome::Simulated { region_bytes, fits } => {
                let word = if *fits { "does" } else { "does NOT suffice" };
                text += &line("region", format!("{} {word}", size(*region_bytes)));
            }
            Outcome::Replayed {
                device,
                checked_bytes,
                failures,
            } => {
                let checked = format!("on {device}, {} checked", bytes(*checked_bytes));
                text += &line("replayed", checked);
                for failure in failures {
                    let _ = writeln!(text, "WRONG            {failure}");
                }
            }
        }
        text
    }
}

fn simulate(trace: &Trace, region_bytes: u64, options: &Options) -> Result<Report, Failure> {
    let block = options.block;
    let unit = usize::try_from(block).ok();
    let blocks = region_bytes
        .checked_div(block)
        .and_then(|blocks| u32::try_from(blocks).ok());
    let (Some(unit), Some(blocks)) = (unit, blocks.filter(|blocks| *blocks != 0)) else {
        let what = format!("no region has {region_bytes} bytes in blocks of {block}");
        let way_out = "give whole blocks, of a power of two from 4K to 2M";
        return Err(Failure::new(what, way_out));
    };
    let fits = fits(trace, unit, blocks).unwrap_or(false);
    let mut report = Report::new(trace, block, Outcome::Simulated { region_bytes, fits });
    if options.arena {
        let device = Device::emulated()
            .region_bytes(region_bytes)
            .block_bytes(block)
            .open()?;
        let footprint = ArenaFootprint::of(trace, &Arena::new(&device));
        let fits = footprint.is_ok();
        if let Ok(footprint) = footprint {
            report.peak_block_bytes = footprint.peak_held_bytes;
            report.peak_mappings = footprint.peak_mappings;
            report.device_allocs = footprint.nr_allocs;
        }
        report.outcome = Outcome::Simulated { region_bytes, fits };
    }
    Ok(report)
}

fn replay_on(device: &Device, trace: &Trace, options: &Options) -> Result<Report, Failure> {
    let block_bytes = device.info()?.block_bytes;
    let replay_options = ReplayOptions {
        contents: !options.unchecked,
        arena: options.arena.then(|| Arena::new(device)),
        ..ReplayOptions::default()
    };
    let mut progress = Progress::new("trace", trace.steps.len() as u64);
    let done = replay(device, trace, replay_options, |done| {
        progress.at(done as u64)
    });
    progress.end();
    let summary = done.map_err(|error| refused(error, trace, block_bytes))?;
    Ok(of_replay(device, trace, block_bytes, &summary))
}

fn of_replay(device: &Device, trace: &Trace, block_bytes: u64, summary: &Summary) -> Report {
    let failures = summary.failures.iter().map(ToString::to_string).collect();
    let outcome = Outcome::Replayed {
        device: device.path().display().to_string(),
        checked_bytes: summary.checked_bytes,
        failures,
    };
    Report {
        peak_block_bytes: summary.peak_capacity,
        peak_mappings: summary.peak_mappings,
        device_allocs: summary.nr_allocs,
        ..Report::new(trace, block_bytes, outcome)
    }
}

fn refused(error: ReplayError, trace: &Trace, block_bytes: u64) -> Failure {
    let unit = usize::try_from(block_bytes).unwrap_or(usize::MAX);
    let smallest = smallest_region(trace, unit).map_or("no region".to_owned(), size);
    let way_out = format!("an empty pool of {smallest} serves the trace; see fpgamem map");
    Failure::new("the replay stopped", way_out).because(error)
}
