// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask bench`: what operations cost in guest instructions.
//!
//! The guest's clock counts instructions, so that a second boot must give the very same numbers;
//! both are made, and a difference is an error. Milliseconds of the host mean nothing here, but for
//! the algorithms that run on the host alone.

mod baseline;
mod chart;
mod charts;
mod host;
mod locks;
mod peer;
mod sample;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};

use crate::context::Context;
use crate::driver;
use crate::guest::{self, Job, MachineArgs};
use crate::guest_tests::Report;
use crate::initramfs::Files;
use crate::kernel::{self, Kernel, KernelArgs};
use crate::programs;
use crate::u_dma_buf;
use crate::ui::Step;

use peer::Peer;

/// A guest that takes longer hangs.
const TIMEOUT_SECONDS: u64 = 900;

/// What the guest runs: everything of this project, and with the kernel's heaps.
const OWN: &str = "bench own";
const ALL: &str = "bench";

/// What it runs on several processors.
const PROCESSES: &str = "bench processes --count 4";
const PROCESSORS: u32 = 4;

/// The program that stands in for a peer's in the tests, and the driver that it says it measures.
const STAND_IN: &str = "tests/bench-peer";
const STAND_IN_DRIVER: &str = "stand-in";

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    kernel: KernelArgs,
    /// Write the measurements of the guest to another place than target/bench/guest.jsonl
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the pictures in another folder than target/bench
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Load another driver's module too, and run a program that measures it; docs/bench.md says what the
    /// program prints. Each of both may be followed by arguments of its own
    #[arg(long, value_name = "MODULE.ko:PROGRAM")]
    peer: Vec<Peer>,
    /// Compare with u-dma-buf too: a checkout of it (ikwzm/udmabuf), 5.x; nothing in it is changed
    #[arg(long, value_name = "DIR")]
    u_dma_buf: Option<PathBuf>,
    /// Measure the algorithms that run without a board too, by criterion
    #[arg(long)]
    host: bool,
    /// Measure only what `cargo xtask test` compares, and make it what is compared with
    #[arg(long, conflicts_with_all = ["json", "svg", "peer", "u_dma_buf", "host"])]
    update_baseline: bool,
}

/// Measures and prints; the exit status for the process.
pub(crate) fn main(context: &Context, args: &BenchArgs) -> Result<i32> {
    let kernel = kernel::build(context, &args.kernel)?;
    let programs = programs::examples(context)?;
    let files = guest::base_files(context, &kernel, &programs)?;
    if args.update_baseline {
        return update_baseline(context, &kernel, &files);
    }
    let held = locks::longest_holds(context, &kernel, files.clone())?;
    let own = Measuring::new("one process", &[ALL], files.clone());
    let mut lines = own.twice(context, &kernel)?;
    lines.extend(Measuring::of_processes(files.clone()).twice(context, &kernel)?);
    lines.extend(held);
    let mut peers = args.peer.clone();
    if let Some(source) = &args.u_dma_buf {
        let bench = programs.iter().find(|program| program.name == "bench");
        let bench = bench.context("there is no program bench")?;
        let module = u_dma_buf::build(context, &kernel, source)?;
        peers.push(Peer::u_dma_buf(module, bench.path.clone()));
    }
    for peer in &peers {
        let mut files = files.clone();
        let command = peer.add(&mut files)?;
        lines.extend(Measuring::new("a peer", &[&command], files).twice(context, &kernel)?);
    }
    let samples = sample::parse_all(lines.iter().map(String::as_str))?;
    print!("{}", table::tables(&samples));
    let folder = context.target.join("bench");
    let json = args
        .json
        .clone()
        .unwrap_or_else(|| folder.join("guest.jsonl"));
    let pictures = args.svg.clone().unwrap_or_else(|| folder.clone());
    for folder in [&folder, &pictures] {
        fs::create_dir_all(folder)?;
    }
    write_lines(&json, &lines)?;
    let mut written = vec![json];
    written.extend(charts::write(&samples, &pictures)?);
    if args.host {
        let (text, path) = host::measure(context, &folder)?;
        print!("\n{text}");
        written.push(path);
    }
    println!();
    for path in written {
        println!("{}", path.display());
    }
    Ok(0)
}

/// A stage of `cargo xtask test`: counts what the baseline has, and compares. A stand-in for another
/// driver is measured, too.
pub(crate) fn check(context: &Context, kernel: &Kernel) -> Result<Report> {
    let mut files = guest::base_files(context, kernel, &programs::examples(context)?)?;
    let module = driver::accelerators(context, kernel)?;
    let module = module
        .first()
        .context("there is no module of an accelerator")?;
    let program = context.root.join(STAND_IN);
    let stand_in: Peer = format!(
        "{}:{} fpgamem_pe_bypass",
        module.display(),
        program.display()
    )
    .parse()?;
    let command = stand_in.add(&mut files)?;
    let mut lines = baseline_of_others(context, kernel, &files)?;
    lines.extend(
        Measuring::new("one process", &[OWN, &command], files).once(context, kernel, "one boot")?,
    );
    let samples = sample::parse_all(lines.iter().map(String::as_str))?;
    let (strange, own): (Vec<_>, Vec<_>) = samples
        .into_iter()
        .partition(|sample| sample.key.driver == STAND_IN_DRIVER);
    let mut report = Report {
        problems: baseline::compare(&baseline::read(&context.root)?, &own),
        ..Report::default()
    };
    if strange.len() != 1 {
        let count = strange.len();
        let why =
            format!("the driver {STAND_IN_DRIVER} was measured {count} times instead of once");
        report.problems.push(why);
    }
    report.totals.passed = own.len() as u64;
    report.totals.results = 1;
    Ok(report)
}

/// What the baseline has beside the counts of one process: holds of locks, and processes at the same time.
fn baseline_of_others(context: &Context, kernel: &Kernel, files: &Files) -> Result<Vec<String>> {
    let mut lines = locks::longest_holds(context, kernel, files.clone())?;
    // When an interrupt comes is chance.
    lines.retain(|line| !line.contains(locks::INTERRUPTED));
    lines.extend(Measuring::of_processes(files.clone()).once(context, kernel, "one boot")?);
    Ok(lines)
}

fn update_baseline(context: &Context, kernel: &Kernel, files: &Files) -> Result<i32> {
    let mut lines = Measuring::new("one process", &[OWN], files.clone()).twice(context, kernel)?;
    lines.extend(baseline_of_others(context, kernel, files)?);
    let now = sample::parse_all(lines.iter().map(String::as_str))?;
    let path = baseline::path(&context.root);
    if path.exists() {
        for problem in baseline::compare(&baseline::read(&context.root)?, &now) {
            println!("{problem}");
        }
    }
    write_lines(&path, &lines)?;
    println!("{}", path.display());
    Ok(0)
}

fn write_lines(path: &Path, lines: &[String]) -> Result<()> {
    fs::write(path, lines.join("\n") + "\n")
        .with_context(|| format!("cannot write {}", path.display()))
}

/// A machine that counts instructions, and what it runs.
struct Measuring {
    /// What it measures, for the person at the terminal.
    name: &'static str,
    job: Job,
}

impl Measuring {
    /// Lines of shell, one after the other, on one processor.
    fn new(name: &'static str, commands: &[&str], files: Files) -> Self {
        Self::on(1, name, commands, files)
    }

    /// Processes at the same time.
    fn of_processes(files: Files) -> Self {
        Self::on(
            PROCESSORS,
            "processes at the same time",
            &[PROCESSES],
            files,
        )
    }

    fn on(processors: u32, name: &'static str, commands: &[&str], files: Files) -> Self {
        let mut machine = MachineArgs::for_tests(processors, TIMEOUT_SECONDS);
        machine.icount = true;
        let script = commands.join(" && ");
        let job = Job {
            command: vec!["sh".to_owned(), "-c".to_owned(), script],
            files,
            machine,
            cache_model: None,
        };
        Self { name, job }
    }

    /// Boots twice and returns the lines of JSON, which must be the same.
    fn twice(&self, context: &Context, kernel: &Kernel) -> Result<Vec<String>> {
        let first = self.once(context, kernel, "first boot")?;
        let second = self.once(context, kernel, "second boot, which must agree")?;
        if let Some((one, two)) = first.iter().zip(&second).find(|(one, two)| one != two) {
            bail!("two boots differ, so the numbers mean nothing:\n{one}\n{two}");
        }
        if first.is_empty() || first.len() != second.len() {
            let (one, two) = (first.len(), second.len());
            bail!("the two boots gave {one} and {two} measurements");
        }
        Ok(first)
    }

    /// Boots once and returns the lines of JSON.
    fn once(&self, context: &Context, kernel: &Kernel, what: &str) -> Result<Vec<String>> {
        let script = self.job.command.last().map_or("", String::as_str);
        let step = Step::start(format!("bench: {}, {what}", self.name));
        let (outcome, output) = guest::run_printed(context, kernel, &self.job)?;
        step.done();
        match outcome {
            Ok(0) => Ok(output
                .lines()
                .filter(|line| line.starts_with('{'))
                .map(str::to_owned)
                .collect()),
            Ok(status) => bail!("`{script}` ended with status {status}:\n{output}"),
            Err(why) => bail!("{why}"),
        }
    }
}
