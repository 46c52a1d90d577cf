// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs that share a buffer with a bus master, each with one wrong sync or with it put right.
//!
//! On the emulated board without the cache model all of them compute the right thing, because QEMU has
//! no cache. Under the model each wrong one is reported, and computes something wrong under the
//! policies that `mistakes.toml` names.

#![deny(unsafe_code)]

// The programs are for the board's processor.
#[cfg(target_arch = "aarch64")]
mod accelerator;
#[cfg(target_arch = "aarch64")]
mod board;
#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "cache instructions")]
mod instruction;
#[cfg(target_arch = "aarch64")]
#[expect(
    unsafe_code,
    reason = "loads and stores of shared memory, and the promise about hardware"
)]
mod memory;
#[cfg(target_arch = "aarch64")]
mod mistakes;
#[cfg(target_arch = "aarch64")]
mod scene;
mod table;
#[cfg(any(target_arch = "aarch64", test))]
mod verdict;

use clap::{Args, Parser, ValueEnum};
use std::process::ExitCode;

/// Run a program with one wrong sync, or its corrected twin.
///
/// Exits with 0 if the data came out right, 1 if it did not, 2 if it could not be run.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    what: What,
    /// With the mistake, or without
    #[arg(requires = "name", required_unless_present_any = ["list", "all", "twins"])]
    variant: Option<Variant>,
}

#[derive(Args)]
#[group(required = true)]
struct What {
    /// The program
    name: Option<String>,
    /// List the programs with what is wrong in each
    #[arg(long)]
    list: bool,
    /// Run the named programs, or all, both ways, each as a process of its own
    #[arg(long, value_name = "NAME", num_args = 0..)]
    all: Option<Vec<String>>,
    /// As --all, without their mistakes only
    #[arg(long, value_name = "NAME", num_args = 0..)]
    twins: Option<Vec<String>>,
}

/// Which of the twins.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Variant {
    Wrong,
    Right,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.what.list {
        for mistake in table::read() {
            println!("{:42} {}", mistake.name, mistake.wrong);
        }
        return ExitCode::SUCCESS;
    }
    run(&arguments)
}

#[cfg(target_arch = "aarch64")]
fn run(arguments: &Arguments) -> ExitCode {
    let What {
        name, all, twins, ..
    } = &arguments.what;
    match (name, all, twins, arguments.variant) {
        (Some(name), _, _, Some(variant)) => board::run(name, variant == Variant::Wrong),
        (_, Some(names), ..) => board::run_all(names, &["wrong", "right"]),
        (_, _, Some(names), _) => board::run_all(names, &["right"]),
        _ => ExitCode::from(2),
    }
}

#[cfg(not(target_arch = "aarch64"))]
fn run(_: &Arguments) -> ExitCode {
    eprintln!("mistakes: the programs run on the board, which has another processor");
    ExitCode::from(2)
}
