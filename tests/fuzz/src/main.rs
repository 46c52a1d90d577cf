// SPDX-License-Identifier: MIT OR Apache-2.0

//! A fuzzer of the driver's whole ABI.
//!
//! Worker processes do one random operation after the other. The coordinator keeps a model of what
//! must be live and predicts every outcome: the errno, addresses, sizes, bytes, and what INFO, fdinfo
//! and debugfs say. The sequence is a function of the seed.
//!
//! Then the device is unbound and bound again, and processes race with each other: see `finale` and
//! `race`.
//!
//! `unsafe` is in [`sys`].

#![deny(unsafe_code)]

mod accelerator;
mod accesses;
mod changes;
mod choices;
mod commands;
mod coverage;
mod descriptors;
mod doors;
mod faults;
mod finale;
mod fuzzer;
mod ioctls;
mod kinds;
mod lives;
mod mappings;
mod message;
mod model;
mod observers;
mod paddle;
mod race;
mod refusals;
mod status;
mod storm;
mod syncs;
#[expect(
    unsafe_code,
    reason = "system calls and addresses that are named by numbers"
)]
mod sys;
mod translations;
mod worker;

use clap::Parser;
use coverage::Trace;
use std::process::ExitCode;

/// Random operations on /dev/fpgamem0, compared with a model.
#[derive(Debug, Parser)]
struct Args {
    /// Names the sequence
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Length of the sequence
    #[arg(long, default_value_t = 100_000)]
    operations: u64,
    /// How often a storm allocates and frees its buffers
    #[arg(long, default_value_t = 48)]
    storm_rounds: u64,
    /// Rounds of races between processes with threads, after the sequence
    #[arg(long, default_value_t = 10)]
    races: u64,
    /// Tell which code of the driver was reached, by KCOV
    #[arg(long)]
    coverage: bool,
    /// Only bind the devices of a board whose pool nodes are wrong
    #[arg(long)]
    wrong_nodes: bool,
}

fn run(args: &Args) -> Result<(), String> {
    if !args.wrong_nodes {
        fuzzer::run(args)?;
        race::run(args.seed, args.races)?;
    }
    let trace = Trace::start().map_err(|errno| format!("KCOV: {errno}"))?;
    match trace {
        Some(trace) if args.wrong_nodes => doors::bind_wrong_nodes(&trace),
        Some(trace) => {
            faults::run(&trace);
            doors::run(&trace);
            Ok(())
        }
        None => Ok(()),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    println!("seed {}, {} operations", args.seed, args.operations);
    if args.coverage {
        if let Err(why) = coverage::prepare() {
            println!("{why}");
            return ExitCode::FAILURE;
        }
    }
    let result = run(&args);
    coverage::print();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            println!("{report}");
            println!(
                "again: cargo xtask fuzz --seed {} --operations {} --storm-rounds {} --races {}",
                args.seed, args.operations, args.storm_rounds, args.races
            );
            ExitCode::FAILURE
        }
    }
}
