// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask mistakes`: whether the cache model finds what it must find, and nothing else.
//!
//! Programs with one wrong sync each and their corrected twins, and patches that take cache
//! maintenance out of the driver and the library.

mod findings;
mod patches;
mod programs;

use std::time::Instant;

use anyhow::{bail, Result};
use clap::ValueEnum;

use crate::context::Context;
use crate::guest_tests::Report;
use crate::kernel::{self, Kernel, KernelArgs};
use crate::ui::elapsed;

use patches::Patch;
use programs::Mistake;

/// A guest that takes longer hangs.
const TIMEOUT_SECONDS: u64 = 600;

/// What the cache does unasked, one boot each.
const POLICIES: [&str; 3] = ["never", "evict", "prefetch"];

/// Options of `cargo xtask mistakes`.
#[derive(Debug, clap::Args)]
pub(crate) struct MistakesArgs {
    #[command(flatten)]
    kernel: KernelArgs,
    /// Only the programs, or only the patches of driver and library
    #[arg(long, value_name = "PART", conflicts_with = "names")]
    only: Option<Part>,
    /// Where the policies that leave things to chance start from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Programs and patches; all of them without this
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// The two kinds of mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Programs,
    Patches,
}

/// `cargo xtask mistakes`: the exit status for the process.
pub(crate) fn main(context: &Context, args: &MistakesArgs) -> Result<i32> {
    let named = |name: &str| args.names.is_empty() || args.names.iter().any(|n| n == name);
    let mut mistakes = programs::table(&context.root)?;
    let mut patches = patches::all(&context.root)?;
    for name in &args.names {
        let known = mistakes.iter().map(|mistake| &mistake.name);
        if !known
            .chain(patches.iter().map(|patch| &patch.name))
            .any(|n| n == name)
        {
            bail!("no program of tests/mistakes/mistakes.toml and no patch is named {name:?}");
        }
    }
    mistakes.retain(|mistake| args.only != Some(Part::Patches) && named(&mistake.name));
    patches.retain(|patch| args.only != Some(Part::Programs) && named(&patch.name));

    let start = Instant::now();
    let mut problems = Vec::new();
    if !mistakes.is_empty() {
        problems.extend(run_programs(context, args, &mistakes)?);
    }
    if !patches.is_empty() {
        problems.extend(run_patches(context, args, &patches)?);
    }
    println!();
    for problem in &problems {
        println!("PROBLEM {problem}");
    }
    let (programs, patched) = (mistakes.len(), patches.len());
    println!(
        "{programs} programs with their twins and {patched} patches in {}: {} problems",
        elapsed(start.elapsed()),
        problems.len()
    );
    Ok(i32::from(!problems.is_empty()))
}

/// Runs all programs under every policy, as `cargo xtask test` does.
pub(crate) fn check(context: &Context, kernel: &Kernel) -> Result<Report> {
    let mut report = Report::default();
    let mistakes = programs::table(&context.root)?;
    for policy in POLICIES {
        let judged = programs::run(context, kernel, &mistakes, policy)?;
        let problems = judged.problems.iter().map(|p| format!("{policy}: {p}"));
        report.problems.extend(problems);
        let missed = judged.verdicts.iter().filter(|v| **v == "missed").count();
        report.totals.passed += (mistakes.len() - missed) as u64;
        report.totals.failed += missed as u64;
        report.totals.results += 1;
    }
    Ok(report)
}

/// Runs programs under every policy; prints a line for each and returns what is wrong.
fn run_programs(
    context: &Context,
    args: &MistakesArgs,
    mistakes: &[Mistake],
) -> Result<Vec<String>> {
    let kernel = kernel::build(context, &args.kernel)?;
    let (mut problems, mut columns) = (Vec::new(), Vec::new());
    for policy in POLICIES {
        let policy = match policy {
            "never" => policy.to_owned(),
            _ => format!("{policy}:{}", args.seed),
        };
        let judged = programs::run(context, &kernel, mistakes, &policy)?;
        problems.extend(judged.problems.iter().map(|p| format!("{policy}: {p}")));
        columns.push(judged.verdicts);
    }
    println!("{:42} {:40} {}", "mistake", "found as", POLICIES.join("  "));
    for (row, mistake) in mistakes.iter().enumerate() {
        let finds = mistake.finds.iter().cloned().collect::<Vec<_>>().join(",");
        let verdicts = columns.iter().map(|column| format!("{:7}", column[row]));
        let verdicts = verdicts.collect::<Vec<_>>().join(" ");
        println!("{:42} {finds:40} {}", mistake.name, verdicts.trim_end());
    }
    Ok(problems)
}

/// Runs what a patch must turn red; prints a line for each and returns those that it did not.
fn run_patches(context: &Context, args: &MistakesArgs, patches: &[Patch]) -> Result<Vec<String>> {
    let kernel = kernel::build(context, &args.kernel)?;
    let bench = patches::Bench::new(context, &kernel)?;
    let mut problems = Vec::new();
    let baseline = bench.run_unpatched(patches)?;
    if !baseline.is_green() {
        problems.push(format!("without any patch {baseline}"));
    }
    println!("{:42} {:40} with the patch", "patch", "must be found as");
    for patch in patches {
        let red = bench.run(patch)?;
        let finds = patch.finds.iter().cloned().collect::<Vec<_>>().join(",");
        println!("{:42} {finds:40} {red}", patch.name);
        if !patch.finds.is_subset(&red.kinds) {
            problems.push(format!("{}: {red}", patch.name));
        }
    }
    Ok(problems)
}
