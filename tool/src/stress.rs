// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fpgamem stress`: buffers come and go at random, change hands, and are checked byte for byte.

// Where the program says that no device was told.
#[allow(unsafe_code)]
mod work;

use crate::cli::Global;
use crate::failure::Failure;
use crate::units::{parse_size, size};
use crate::{output, Verdict};
use clap::Args;
use fpgamem::{Device, Policy};
use serde::{Deserialize, Serialize};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Options of `stress`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How long
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// End after so many operations of each process, if that comes first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    operations: Option<u64>,
    /// What the random choices start from: the same seed, the same choices
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Processes that do so at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    processes: u64,
    /// The largest buffer
    #[arg(long, value_name = "BYTES", default_value = "4M", value_parser = parse_size)]
    largest: u64,
    /// The most that each process holds
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = parse_size)]
    most: u64,
    /// On an emulated device inside this process
    #[arg(long, conflicts_with_all = ["device", "processes"])]
    emulated: bool,
}

/// What was done and found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Summary {
    operations: u64,
    allocs: u64,
    /// Allocations for which there was no room, which is no fault.
    refused: u64,
    hand_overs: u64,
    splits: u64,
    checked_bytes: u64,
    /// What was wrong; none if all was right.
    failures: Vec<String>,
}

impl Summary {
    fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.allocs += other.allocs;
        self.refused += other.refused;
        self.hand_overs += other.hand_overs;
        self.splits += other.splits;
        self.checked_bytes += other.checked_bytes;
        self.failures.extend(other.failures);
    }
}

/// Runs the command.
pub(crate) fn run(global: &Global, options: &Options) -> Result<Verdict, Failure> {
    if options.largest == 0 || options.most < options.largest {
        let what = "the largest buffer is 0, or more than a process may hold";
        return Err(Failure::new(
            what,
            "give --largest at least 1 and --most at least as much",
        ));
    }
    let summary = if options.processes > 1 {
        processes(global, options)?
    } else {
        let device = if options.emulated {
            Device::emulated()
                .policy(Policy::Evict(options.seed))
                .open()?
        } else {
            global.open()?
        };
        work::run(&device, &options.limits())?
    };
    let good = summary.failures.is_empty();
    if global.json {
        output::json(&summary)?;
    } else {
        output::text_line(&text(&summary, options.seed))?;
    }
    Ok(if good { Verdict::Good } else { Verdict::Bad })
}

/// What a process does, and how long.
struct Limits {
    time: Duration,
    operations: u64,
    seed: u64,
    largest: u64,
    most: u64,
}

impl Options {
    fn limits(&self) -> Limits {
        Limits {
            time: Duration::from_secs(self.seconds),
            operations: self.operations.unwrap_or(u64::MAX),
            seed: self.seed,
            largest: self.largest,
            most: self.most,
        }
    }
}

/// This program several times, each with a seed of its own.
fn processes(global: &Global, options: &Options) -> Result<Summary, Failure> {
    let error = |error| {
        let way_out = "start the processes yourself, one by one, with a --seed each";
        Failure::new("cannot start this program again", way_out).because(error)
    };
    // Before the others are started, so that its message comes once.
    drop(global.open()?);
    let program = std::env::current_exe().map_err(error)?;
    let mut children = Vec::new();
    for index in 0..options.processes {
        let mut command = Command::new(&program);
        command.args(["--json", "--device"]).arg(global.path());
        command.args([
            "stress",
            "--seed",
            &options.seed.wrapping_add(index).to_string(),
        ]);
        command.args(["--seconds", &options.seconds.to_string()]);
        command.args(["--largest", &options.largest.to_string()]);
        command.args(["--most", &options.most.to_string()]);
        if let Some(operations) = options.operations {
            command.args(["--operations", &operations.to_string()]);
        }
        children.push(command.stdout(Stdio::piped()).spawn().map_err(error)?);
    }
    let mut sum = Summary::default();
    for child in children {
        let output = child.wait_with_output().map_err(error)?;
        match serde_json::from_slice(&output.stdout) {
            Ok(summary) => sum.add(summary),
            Err(_) => sum
                .failures
                .push(format!("a process ended with {}", output.status)),
        }
    }
    Ok(sum)
}

fn text(summary: &Summary, seed: u64) -> String {
    let mut text = format!(
        "{} operations from seed {seed}: {} allocations, {} refused for lack of room, {} hand-overs, \
         {} splits, {} checked",
        summary.operations,
        summary.allocs,
        summary.refused,
        summary.hand_overs,
        summary.splits,
        size(summary.checked_bytes)
    );
    for failure in &summary.failures {
        text += &format!("\nWRONG: {failure}");
    }
    text
}
