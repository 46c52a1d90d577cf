// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask test`: everything that must pass, cheapest first.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};
use clap::ValueEnum;

use crate::cache_model::{CacheModel, CacheModelArgs};
use crate::context::Context;
use crate::driver::{self, Checks};
use crate::fuzz::{self, Sequence};
use crate::guest_tests::{self, Lane, Report, Suite, TEST_SECONDS};
use crate::kernel::{self, Kernel, KernelArgs};
use crate::libtest::Totals;
use crate::process::run_logged;
use crate::ui::{elapsed, Step};
use crate::{
    bench, cache, capi, coverage, demo, deny, dt, image, library, lint, mistakes, mutate,
    petalinux, situations,
};

/// A guest that takes longer hangs.
const GUEST_TIMEOUT_SECONDS: u64 = 900;

/// The same for the debug kernel.
const DEBUG_GUEST_TIMEOUT_SECONDS: u64 = 1500;

/// The same for the long form there, which runs what takes minutes, too.
const DEBUG_LONG_GUEST_TIMEOUT_SECONDS: u64 = 4 * 3600;

/// What the test programs of that form are told: how long one may take, how long a storm, and at how
/// many places loading the module fails.
const DEBUG_LONG: guest_tests::Settings<'_> = &[
    (TEST_SECONDS, 3000),
    ("FPGAMEM_STORM_SECONDS", 1200),
    ("FPGAMEM_LOADING_PLACES", 150),
];

/// The processes that die in the long form of the storm, and what it may take.
const STORM_DEATHS: u64 = 10_000;
const STORM_SECONDS: u64 = 5400;

/// The configuration with everything that notices what the driver does wrong.
const DEBUG_KERNEL: &str = "debug";

/// Options of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    kernel: KernelArgs,
    /// The long forms too: many more random cases, other numbers of processors, and on the debug
    /// kernel the programs that take minutes there
    #[arg(long)]
    long: bool,
    #[command(flatten)]
    cache_model: CacheModelArgs,
    /// Only this stage; can be given several times
    #[arg(long, value_name = "STAGE")]
    only: Vec<Stage>,
    /// Of the guest's tests only this program; can be given several times
    #[arg(long = "program", value_name = "NAME")]
    programs: Vec<String>,
}

/// Stages in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    Fmt,
    Licences,
    Layering,
    Mutations,
    Clippy,
    Docs,
    Deny,
    Host,
    HostRelease,
    CApi,
    OldestCompiler,
    Miri,
    DeviceTrees,
    Petalinux,
    Bitbake,
    Kernel,
    Driver,
    DriverClippy,
    PetalinuxModule,
    Image,
    Examples,
    Fuzz,
    Guest,
    BadDeviceTree,
    CApiGuest,
    Bench,
    Storm,
    DebugKernel,
    GuestDebug,
    CacheModel,
}

/// How a stage went.
struct Row {
    stage: String,
    took: Duration,
    result: String,
}

/// Runs the stages; the exit status for the process.
pub(crate) fn main(context: &Context, args: &TestArgs) -> Result<i32> {
    fs::create_dir_all(&context.target)?;
    let _lock = cache::lock(&context.target.join("test.lock"))?;
    let mut session = Session {
        context,
        args,
        kernel: None,
        driver_failed: false,
        guest: None,
    };
    let mut rows = Vec::new();
    let mut totals = Totals::default();
    let mut problems = Vec::new();
    for stage in Stage::value_variants() {
        if !args.only.is_empty() && !args.only.contains(stage) {
            continue;
        }
        let name = stage
            .to_possible_value()
            .map(|v| v.get_name().to_owned())
            .unwrap_or_default();
        let start = Instant::now();
        let step = Step::start(format!("stage {name}"));
        let report = session.run(*stage).unwrap_or_else(|error| Report {
            problems: vec![format!("{error:#}")],
            ..Report::default()
        });
        step.done();
        let failed = report.totals.failed > 0 || !report.problems.is_empty();
        for problem in &report.problems {
            eprintln!("{problem}");
        }
        let mut result = if failed { "FAILED" } else { "ok" }.to_owned();
        if report.totals.results > 0 {
            result = format!("{result}, {} passed", report.totals.passed);
        }
        if let Some(reason) = &report.skipped {
            result = format!("skipped: {reason}");
        }
        if failed {
            problems.push(name.clone());
        }
        // A stage that fails without a failed test must not leave a total of 0 failures.
        totals.failed += u64::from(failed && report.totals.failed == 0);
        totals.add(report.totals);
        rows.push(Row {
            stage: name,
            took: start.elapsed(),
            result,
        });
    }

    println!();
    for row in &rows {
        println!("{:16} {:>14}  {}", row.stage, elapsed(row.took), row.result);
    }
    if !problems.is_empty() {
        println!("\nfailed: {}", problems.join(", "));
    }
    println!("{} passed, {} failed", totals.passed, totals.failed);
    Ok(i32::from(!problems.is_empty()))
}

/// What later stages need of earlier ones.
struct Session<'a> {
    context: &'a Context,
    args: &'a TestArgs,
    kernel: Option<Kernel>,
    driver_failed: bool,
    guest: Option<Totals>,
}

impl Session<'_> {
    fn run(&mut self, stage: Stage) -> Result<Report> {
        let context = self.context;
        match stage {
            Stage::Fmt => lint::fmt(context)?,
            Stage::Licences => lint::licences(context)?,
            Stage::Layering => lint::layering(context)?,
            Stage::Mutations => {
                mutate::check(context)?;
                coverage::check(context)?;
            }
            Stage::Clippy => lint::clippy(context)?,
            Stage::Docs => lint::docs(context)?,
            Stage::Deny => deny::check(context)?,
            Stage::Host => return self.host(&[]),
            Stage::HostRelease => return self.host(&["--release"]),
            Stage::CApi => return capi::host(context),
            Stage::OldestCompiler => return library::oldest_compiler(context),
            Stage::Miri => return self.miri(),
            Stage::DeviceTrees => {
                let source = kernel::source(&context.root, &context.cache, &self.args.kernel)?;
                dt::check(context, &source)?;
            }
            Stage::Petalinux => petalinux::check(context)?,
            Stage::Bitbake => return petalinux::parse(context),
            Stage::PetalinuxModule => {
                let source = kernel::source(&context.root, &context.cache, &self.args.kernel)?;
                petalinux::check_module(context, self.kernel()?, &source)?;
            }
            Stage::Image => {
                self.needs_driver()?;
                let source = kernel::source(&context.root, &context.cache, &self.args.kernel)?;
                image::check(context, self.kernel()?, &source)?;
            }
            Stage::Kernel => {
                self.kernel()?;
            }
            Stage::Driver => {
                self.driver_failed = true;
                driver::build(context, self.kernel()?, Checks::Compiler)?;
                self.driver_failed = false;
            }
            Stage::DriverClippy => {
                driver::build(context, self.kernel()?, Checks::Clippy)?;
            }
            Stage::Examples => {
                self.needs_driver()?;
                demo::check(context, self.kernel()?, None)?;
            }
            Stage::Fuzz => self.fuzz()?,
            Stage::Guest => {
                let mut sum = self.guest(Suite::Normal)?;
                let large = self.guest(Suite::PaddleLarge)?;
                sum.totals.add(large.totals);
                sum.problems.extend(large.problems);
                return Ok(sum);
            }
            Stage::BadDeviceTree => return self.guest(Suite::BadDeviceTree),
            Stage::CApiGuest => {
                self.needs_driver()?;
                return capi::guest(context, self.kernel()?);
            }
            Stage::Bench => {
                self.needs_driver()?;
                return bench::check(context, self.kernel()?);
            }
            Stage::Storm => return self.storm(),
            Stage::DebugKernel => {
                kernel::build(context, &self.debug_kernel())?;
            }
            Stage::GuestDebug => return self.guest_debug(),
            Stage::CacheModel => return self.cache_model(),
        }
        Ok(Report::default())
    }

    fn kernel(&mut self) -> Result<&Kernel> {
        if self.kernel.is_none() {
            self.kernel = Some(kernel::build(self.context, &self.args.kernel)?);
        }
        self.kernel.as_ref().context("there is no kernel")
    }

    /// Tests that run on this machine.
    fn host(&self, profile: &[&str]) -> Result<Report> {
        let mut cargo = self.context.cargo();
        cargo.args([
            "test",
            "--workspace",
            "--exclude",
            "fpgamem-tests",
            "--exclude",
            library::MISUSE,
            "--no-fail-fast",
        ]);
        cargo.args(profile);
        if self.args.long {
            cargo.env("PROPTEST_CASES", "20000");
        }
        let mut report = Report::default();
        let log = self.context.target.join("host-tests.log");
        let result = run_logged(&mut cargo, &log, |line| report.totals.line("host", line));
        report
            .problems
            .extend(result.err().map(|error| format!("{error:#}")));
        Ok(report)
    }

    /// The library's tests under Miri, which take minutes.
    fn miri(&self) -> Result<Report> {
        if self.args.long || self.args.only.contains(&Stage::Miri) {
            return library::miri(self.context);
        }
        Ok(Report {
            skipped: Some("part of --long".to_owned()),
            ..Report::default()
        })
    }

    fn needs_driver(&self) -> Result<()> {
        if self.driver_failed {
            bail!("not run, because there is no driver");
        }
        Ok(())
    }

    /// The cache model: it must find what is wrong, and nothing in the examples, nor in the long form
    /// in the guest's tests.
    fn cache_model(&mut self) -> Result<Report> {
        self.needs_driver()?;
        let context = self.context;
        let mut model = CacheModel::new(context, situations::POLICIES[0])?;
        let mut sum = situations::run(context, self.kernel()?, &model)?;
        let programs = mistakes::check(context, self.kernel()?)?;
        sum.totals.add(programs.totals);
        sum.problems.extend(programs.problems);
        for policy in situations::POLICIES {
            policy.clone_into(&mut model.policy);
            demo::check(context, self.kernel()?, Some(model.clone()))
                .with_context(|| format!("the examples under the cache model, {policy}"))?;
            if !self.args.long {
                continue;
            }
            for suite in [Suite::Normal, Suite::BadDeviceTree] {
                let machine =
                    guest_tests::machine(context, Lane::Plain, suite, 1, GUEST_TIMEOUT_SECONDS);
                let model = Some(model.clone());
                let only = &self.args.programs;
                let report =
                    guest_tests::run(context, self.kernel()?, suite, only, machine, model)?;
                sum.totals.add(report.totals);
                sum.problems.extend(report.problems);
            }
        }
        Ok(sum)
    }

    /// Random calls, each outcome predicted; in the long form very many, on the debug kernel too.
    fn fuzz(&mut self) -> Result<()> {
        self.needs_driver()?;
        let context = self.context;
        fuzz::check(context, self.kernel()?, Sequence::SHORT)?;
        if !self.args.long {
            return Ok(());
        }
        fuzz::check(context, self.kernel()?, Sequence::LONG)?;
        let debug = kernel::build(context, &self.debug_kernel())?;
        fuzz::check(context, &debug, Sequence::LONG_DEBUG)
    }

    /// The kernel that watches, from the same source as the other one.
    fn debug_kernel(&self) -> KernelArgs {
        KernelArgs {
            kernel: DEBUG_KERNEL.to_owned(),
            ..self.args.kernel.clone()
        }
    }

    /// The guest's tests on the kernel that watches.
    fn guest_debug(&self) -> Result<Report> {
        let context = self.context;
        let kernel = kernel::build(context, &self.debug_kernel())?;
        let mut sum = Report::default();
        let quick = guest_tests::quick_on_debug(context)?;
        let only = if self.args.long || !self.args.programs.is_empty() {
            &self.args.programs
        } else {
            &quick
        };
        let suites = [
            Suite::Normal,
            Suite::FaultsInside,
            Suite::PaddleLarge,
            Suite::BadDeviceTree,
        ];
        for suite in suites {
            let (seconds, settings) = if self.args.long {
                (DEBUG_LONG_GUEST_TIMEOUT_SECONDS, DEBUG_LONG)
            } else {
                (DEBUG_GUEST_TIMEOUT_SECONDS, &[][..])
            };
            let machine = guest_tests::machine(context, Lane::Debug, suite, 2, seconds);
            let report =
                guest_tests::run_with(context, &kernel, suite, only, machine, None, settings)?;
            sum.totals.add(report.totals);
            sum.problems.extend(report.problems);
        }
        if self.args.programs.is_empty() {
            let shortfalls = guest_tests::compare(&context.root, Lane::Debug, &sum.totals)?;
            sum.problems.extend(shortfalls);
        }
        Ok(sum)
    }

    /// The storm in which very many processes die: in the long form, or when it is asked for.
    fn storm(&mut self) -> Result<Report> {
        if !self.args.long && !self.args.only.contains(&Stage::Storm) {
            return Ok(Report {
                skipped: Some("part of the long form".to_owned()),
                ..Report::default()
            });
        }
        self.needs_driver()?;
        let seconds = STORM_SECONDS + 300;
        let settings = [
            (TEST_SECONDS, seconds),
            ("FPGAMEM_STORM_DEATHS", STORM_DEATHS),
            ("FPGAMEM_STORM_SECONDS", STORM_SECONDS),
        ];
        let (context, suite) = (self.context, Suite::Normal);
        let machine = guest_tests::machine(context, Lane::Plain, suite, 2, seconds);
        let only = ["storm".to_owned()];
        guest_tests::run_with(
            context,
            self.kernel()?,
            suite,
            &only,
            machine,
            None,
            &settings,
        )
    }

    fn guest(&mut self, suite: Suite) -> Result<Report> {
        self.needs_driver()?;
        let processors: &[u32] = if self.args.long && suite == Suite::Normal {
            &[2, 1, 4]
        } else {
            &[2]
        };
        let context = self.context;
        let model = self.args.cache_model.prepare(context)?;
        let mut sum = Report::default();
        for (round, &smp) in processors.iter().enumerate() {
            let machine =
                guest_tests::machine(context, Lane::Plain, suite, smp, GUEST_TIMEOUT_SECONDS);
            let (only, model) = (&self.args.programs, model.clone());
            let report = guest_tests::run(context, self.kernel()?, suite, only, machine, model)?;
            if round == 0 {
                self.guest
                    .get_or_insert_default()
                    .add(report.totals.clone());
            }
            sum.totals.add(report.totals);
            sum.problems.extend(report.problems);
        }
        // Only both suites together can be compared with what is committed.
        if suite == Suite::BadDeviceTree {
            let whole = self.args.only.is_empty() && self.args.programs.is_empty();
            if let Some(all) = self.guest.take().filter(|_| whole) {
                let shortfalls = guest_tests::compare(&context.root, Lane::Plain, &all)?;
                sum.problems.extend(shortfalls);
            }
        }
        Ok(sum)
    }
}
