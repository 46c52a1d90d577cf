// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fuzzer of the driver's ABI, in the guest.

mod calls;
mod coverage;
mod elf;
mod places;
mod unseen;

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};

use anyhow::{bail, Result};

use crate::context::Context;
use crate::driver::{self, Checks};
use crate::guest::{self, Job, MachineArgs, HARNESS_FAILED};
use crate::kernel::{self, Kernel, KernelArgs};
use crate::programs;
use crate::qemu::Program;
use coverage::Coverage;

/// The kernel that watches, and that has KCOV.
const DEBUG: &str = "debug";

/// A board whose pool nodes are each wrong in one way.
const WRONG_NODES: &str = "dts/test-bad-nodes.dts";

/// A region that random buffers fill and fragment.
const REGION_BYTES: u64 = 8 << 20;

/// Options of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArgs {
    #[command(flatten)]
    kernel: KernelArgs,
    /// Names the sequence
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Length of the sequence; without this 150,000, or 8,000 if it is traced for --coverage
    #[arg(long, value_name = "N")]
    operations: Option<u64>,
    /// Rounds of races between processes with threads, after the sequence
    #[arg(long, value_name = "N", default_value_t = RACES)]
    races: u64,
    /// Tell by KCOV which code of the driver was reached and which was not, on the debug kernel
    #[arg(long)]
    coverage: bool,
    /// How often a storm allocates and frees its buffers; 48 times without this, on the debug kernel,
    /// which traces each allocation of its own memory, 3 times
    #[arg(long, value_name = "N")]
    storm_rounds: Option<u64>,
    /// End a run that takes longer
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    timeout: u64,
}

/// Operations without an option, and where each is traced on the debug kernel, which takes minutes.
const OPERATIONS: u64 = 150_000;
const TRACED_OPERATIONS: u64 = 8_000;

/// Operations of the short run: some 80,000 frees in less than a minute.
const SHORT_OPERATIONS: u64 = 20_000;

/// Rounds of a storm: with so many one leak in 10,000 frees is met in a short run.
const STORM_ROUNDS: u64 = 48;
/// The same on the debug kernel, which looks for other things.
const STORM_ROUNDS_DEBUG: u64 = 3;

/// Rounds of races of the short run.
const RACES: u64 = 12;

/// A run that takes longer hangs; the guest is told in seconds.
const SHORT_TIMEOUT_SECONDS: u64 = 170;
const LONG_TIMEOUT_SECONDS: u64 = 7200;

/// A sequence of operations, and how long the guest may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence {
    pub(crate) seed: u64,
    pub(crate) operations: u64,
    pub(crate) storm_rounds: u64,
    /// Rounds of races after the sequence.
    pub(crate) races: u64,
    pub(crate) timeout: u64,
    /// By KCOV.
    pub(crate) coverage: bool,
}

impl Sequence {
    /// The one that is always run.
    pub(crate) const SHORT: Self = Self {
        seed: 1,
        operations: SHORT_OPERATIONS,
        storm_rounds: STORM_ROUNDS,
        races: RACES,
        timeout: SHORT_TIMEOUT_SECONDS,
        coverage: false,
    };

    /// The long one, on the plain kernel.
    pub(crate) const LONG: Self = Self {
        seed: 2,
        operations: 1_000_000,
        races: 50 * RACES,
        timeout: LONG_TIMEOUT_SECONDS,
        ..Self::SHORT
    };

    /// The long one, on the debug kernel.
    pub(crate) const LONG_DEBUG: Self = Self {
        operations: 100_000,
        races: 5 * RACES,
        storm_rounds: STORM_ROUNDS_DEBUG,
        ..Self::LONG
    };
}

/// Runs a sequence with the driver of `tree`.
pub(crate) fn run(
    tree: &Context,
    kernel: &Kernel,
    fuzzer: &[programs::Program],
    sequence: Sequence,
    output: Program,
) -> Result<guest::Outcome> {
    let mut command = vec!["fuzz".to_owned()];
    for (option, value) in [
        ("seed", sequence.seed),
        ("operations", sequence.operations),
        ("storm-rounds", sequence.storm_rounds),
        ("races", sequence.races),
    ] {
        command.push(format!("--{option}={value}"));
    }
    command.extend(sequence.coverage.then(|| "--coverage".to_owned()));
    let machine = MachineArgs {
        region: Some(REGION_BYTES),
        ..MachineArgs::for_tests(2, sequence.timeout)
    };
    run_on(tree, kernel, fuzzer, machine, command, output)
}

/// Has a machine run the fuzzer's command.
fn run_on(
    tree: &Context,
    kernel: &Kernel,
    fuzzer: &[programs::Program],
    machine: MachineArgs,
    command: Vec<String>,
    output: Program,
) -> Result<guest::Outcome> {
    let mut files = guest::base_files(tree, kernel, &[])?;
    for program in fuzzer {
        files.add(&program.path, &format!("/usr/local/bin/{}", program.name))?;
    }
    let job = Job {
        command,
        files,
        machine,
        cache_model: None,
    };
    guest::run(tree, kernel, &job, output)
}

/// Runs a sequence as a stage of the tests.
pub(crate) fn check(context: &Context, kernel: &Kernel, sequence: Sequence) -> Result<()> {
    let fuzzer = programs::fuzz(context)?;
    match run(context, kernel, &fuzzer, sequence, Program::Foreground)? {
        Ok(0) => Ok(()),
        Ok(status) => bail!("the fuzzer found a difference (status {status})"),
        Err(why) => bail!("{why}"),
    }
}

/// `cargo xtask fuzz`: the exit status for the process.
pub(crate) fn main(context: &Context, args: &FuzzArgs) -> Result<i32> {
    let mut kernel = args.kernel.clone();
    if args.coverage {
        DEBUG.clone_into(&mut kernel.kernel);
    }
    let rounds = match kernel.kernel.as_str() {
        DEBUG => STORM_ROUNDS_DEBUG,
        _ => STORM_ROUNDS,
    };
    let kernel = kernel::build(context, &kernel)?;
    let fuzzer = programs::fuzz(context)?;
    let sequence = Sequence {
        seed: args.seed,
        operations: args.operations.unwrap_or(match args.coverage {
            true => TRACED_OPERATIONS,
            false => OPERATIONS,
        }),
        storm_rounds: args.storm_rounds.unwrap_or(rounds),
        races: args.races,
        timeout: args.timeout,
        coverage: args.coverage,
    };
    let outcome = if args.coverage {
        run_for_coverage(context, &kernel, &fuzzer, sequence)?
    } else {
        run(context, &kernel, &fuzzer, sequence, Program::Foreground)?
    };
    match outcome {
        Ok(status) => Ok(status),
        Err(why) => {
            eprintln!("{why}");
            Ok(HARNESS_FAILED)
        }
    }
}

/// Runs a sequence, and tells what of the driver it reached.
fn run_for_coverage(
    context: &Context,
    kernel: &Kernel,
    fuzzer: &[programs::Program],
    sequence: Sequence,
) -> Result<guest::Outcome> {
    // Before the run: the sources may change meanwhile.
    let module = driver::build(context, kernel, Checks::Compiler)?;
    let sources = context.root.join("driver");
    let scratch = context.target.join("coverage.ko");
    let places = places::of_module(&module, &sources, &scratch)?;

    let reached = Arc::new(Mutex::new(BTreeSet::new()));
    let output = || {
        let shared = Arc::clone(&reached);
        let keep = move |line: &str| match (coverage::offsets(line), shared.lock()) {
            (Some(offsets), Ok(mut reached)) => reached.extend(offsets),
            _ => println!("{line}"),
        };
        Program::Lines(Box::new(keep))
    };
    let mut outcome = run(context, kernel, fuzzer, sequence, output())?;
    if matches!(outcome, Ok(0)) {
        // What the driver refuses of a device tree needs a board with that.
        let machine = MachineArgs {
            dts: Some(context.root.join(WRONG_NODES)),
            ..MachineArgs::for_tests(2, sequence.timeout)
        };
        let command = ["fuzz", "--coverage", "--wrong-nodes"].map(str::to_owned);
        let command = command.to_vec();
        outcome = run_on(context, kernel, fuzzer, machine, command, output())?;
    }

    let reached = reached.lock().map(|set| set.clone()).unwrap_or_default();
    let coverage = Coverage::new(&sources, places, &reached)?;
    let (report, branches) = coverage.report();
    let file = context.target.join("coverage-branches.txt");
    fs::write(&file, branches)?;
    println!(
        "\n{report}\nbranches not taken of other lines: {}",
        file.display()
    );
    if matches!(outcome, Ok(0)) {
        coverage.judge()?;
    }
    Ok(outcome)
}
