// SPDX-License-Identifier: MIT OR Apache-2.0

//! The test programs that run in the guest, and what is expected of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{bail, Context as _, Result};

use crate::cache_model::CacheModel;
use crate::context::Context;
use crate::guest::{self, Job, MachineArgs};
use crate::kernel::Kernel;
use crate::libtest::Totals;
use crate::programs;
use crate::qemu;
use crate::ui;

/// The test program that needs the device tree of bad nodes, and runs alone.
const BAD_DEVICE_TREE: &str = "bad_device_tree";

/// How the names of test programs begin that need a kernel which can inject faults.
const FAULTS_INSIDE: &str = "faults_inside";

/// The region, in bytes, in which it binds the device some hundred times: KASAN keeps a shadow of
/// the whole mapping, which takes long to make for a large one.
const FAULTS_INSIDE_REGION: u64 = 32 << 20;

/// The test program whose load needs a region of its own size.
const PADDLE_LARGE: &str = "paddle_large";

/// That region, in bytes.
const PADDLE_LARGE_REGION: u64 = 512 << 20;

/// The region, in bytes, of the debug kernel, which takes minutes to fill a larger one. There are
/// tests that make 10,000 buffers.
const DEBUG_REGION: u64 = 256 << 20;

/// Test programs that take minutes each on the debug kernel: they run there in the long form alone.
const SLOW_ON_DEBUG: [&str; 14] = [
    "concurrency",
    "door",
    "exhaustion",
    "killed_replay",
    "library_caches",
    "library_quarantine",
    "module",
    PADDLE_LARGE,
    "paddle_replay",
    "pool_pattern",
    "storm",
    "tool_bringup",
    "unbind",
    "unbind_races",
];

/// How many tests must pass and which may be left out, committed beside the tests.
const EXPECTED: &str = "tests/expected.toml";

/// Which test programs to run, and on which device tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suite {
    /// All but those below.
    Normal,
    /// What needs the debug kernel.
    FaultsInside,
    /// What needs a region of another size.
    PaddleLarge,
    BadDeviceTree,
}

impl Suite {
    /// The suite that a test program belongs to.
    pub(crate) fn of(program: &str) -> Self {
        match program {
            BAD_DEVICE_TREE => Self::BadDeviceTree,
            PADDLE_LARGE => Self::PaddleLarge,
            _ if program.starts_with(FAULTS_INSIDE) => Self::FaultsInside,
            _ => Self::Normal,
        }
    }
}

/// The test programs of the short form on the debug kernel.
pub(crate) fn quick_on_debug(context: &Context) -> Result<Vec<String>> {
    let names = programs::tests(context)?.into_iter().map(|p| p.name);
    Ok(names
        .filter(|name| !SLOW_ON_DEBUG.contains(&name.as_str()))
        .collect())
}

/// The kernels that the guest's tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Plain,
    Debug,
}

/// The machine that a suite runs on.
pub(crate) fn machine(
    context: &Context,
    lane: Lane,
    suite: Suite,
    smp: u32,
    seconds: u64,
) -> MachineArgs {
    let dts = (suite == Suite::BadDeviceTree).then_some("dts/test-bad-nodes.dts");
    MachineArgs {
        region: match (suite, lane) {
            (Suite::FaultsInside, _) => Some(FAULTS_INSIDE_REGION),
            (Suite::PaddleLarge, _) => Some(PADDLE_LARGE_REGION),
            (Suite::Normal, Lane::Debug) => Some(DEBUG_REGION),
            _ => None,
        },
        dts: dts.map(|dts| context.root.join(dts)),
        ..MachineArgs::for_tests(smp, seconds)
    }
}

/// Sums and, for people, what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) totals: Totals,
    pub(crate) problems: Vec<String>,
    /// Why the stage did not run.
    pub(crate) skipped: Option<String>,
}

/// What the output of `run-tests` has said so far.
#[derive(Debug)]
struct Progress {
    program: String,
    start: Instant,
    current: Totals,
    report: Report,
    log: String,
}

impl Progress {
    fn new() -> Self {
        Self {
            program: "none".to_owned(),
            start: Instant::now(),
            current: Totals::default(),
            report: Report::default(),
            log: String::new(),
        }
    }

    fn line(&mut self, line: &str) {
        self.log.push_str(line);
        self.log.push('\n');
        match line.strip_prefix("@@ ") {
            None => self.current.line(&self.program, line),
            Some(rest) => {
                if let Some(status) = rest.strip_prefix("exit ") {
                    self.end_of_program(status);
                } else if let Some(text) = rest.strip_prefix("note ") {
                    ui::note(format!("{}: {text}", self.program));
                } else {
                    rest.clone_into(&mut self.program);
                    self.start = Instant::now();
                }
            }
        }
    }

    fn end_of_program(&mut self, status: &str) {
        let totals = std::mem::take(&mut self.current);
        ui::note(format!(
            "{}: {} passed, {} failed, {}",
            self.program,
            totals.passed,
            totals.failed,
            ui::elapsed(self.start.elapsed())
        ));
        if status != "0" && totals.failed == 0 {
            let why = format!(
                "{} ended with status {status} before its result",
                self.program
            );
            self.report.problems.push(why);
        }
        self.report.totals.add(totals);
    }
}

/// Settings of the test programs, by the names of their variables in the environment.
pub(crate) type Settings<'a> = &'a [(&'a str, u64)];

/// The setting that says after how many seconds a test program hangs.
pub(crate) const TEST_SECONDS: &str = "FPGAMEM_TEST_SECONDS";

/// Runs a suite, or `only` some of its programs, in a boot of its own.
pub(crate) fn run(
    context: &Context,
    kernel: &Kernel,
    suite: Suite,
    only: &[String],
    machine: MachineArgs,
    cache_model: Option<CacheModel>,
) -> Result<Report> {
    run_with(context, kernel, suite, only, machine, cache_model, &[])
}

/// The same with settings.
pub(crate) fn run_with(
    context: &Context,
    kernel: &Kernel,
    suite: Suite,
    only: &[String],
    machine: MachineArgs,
    cache_model: Option<CacheModel>,
    settings: Settings<'_>,
) -> Result<Report> {
    let mut files = guest::base_files(context, kernel, &programs::examples(context)?)?;
    files.add(
        &context.root.join("xtask/guest/run-tests"),
        "/usr/local/bin/run-tests",
    )?;
    let variables = settings
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let mut command = vec!["env".to_owned()];
    command.extend(variables);
    command.push("run-tests".to_owned());
    let first = command.len();
    let all = programs::tests(context)?;
    if let Some(name) = only
        .iter()
        .find(|name| !all.iter().any(|p| p.name == **name))
    {
        bail!("there is no test program {name:?} in tests/tests");
    }
    for program in all
        .iter()
        .filter(|program| Suite::of(&program.name) == suite)
        .filter(|program| only.is_empty() || only.contains(&program.name))
    {
        let path = format!("/tests/{}", program.name);
        files.add(&program.path, &path)?;
        command.push(path);
    }
    let count = command.len() - first;
    if count == 0 {
        return Ok(Report::default());
    }

    let progress = Arc::new(Mutex::new(Progress::new()));
    let shared = Arc::clone(&progress);
    let on_line = move |line: &str| {
        if let Ok(mut progress) = shared.lock() {
            progress.line(line);
        }
    };
    let job = Job {
        command,
        files,
        machine,
        cache_model,
    };
    let outcome = guest::run(
        context,
        kernel,
        &job,
        qemu::Program::Lines(Box::new(on_line)),
    )?;
    let mut progress = progress
        .lock()
        .map_err(|_| anyhow::anyhow!("reading the tests' output panicked"))?;
    let progress = std::mem::replace(&mut *progress, Progress::new());
    let mut report = progress.report;
    match outcome {
        Err(why) => {
            report.totals.add(progress.current);
            report
                .problems
                .push(format!("while {:?} ran: {why}", progress.program));
        }
        Ok(0) => {}
        Ok(_) => report
            .problems
            .push(format!("what the tests printed:\n{}", progress.log)),
    }
    if report.totals.results < count as u64 && report.problems.is_empty() {
        report.problems.push(format!(
            "{} of {count} programs ended",
            report.totals.results
        ));
    }
    Ok(report)
}

/// What is committed about the guest's tests.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    minimum: u64,
    /// On the debug kernel.
    minimum_debug: u64,
    skips: BTreeMap<String, String>,
}

/// Compares all guest suites of one kernel together with what is committed.
pub(crate) fn compare(root: &Path, lane: Lane, totals: &Totals) -> Result<Vec<String>> {
    let path = root.join(EXPECTED);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {EXPECTED}"))?;
    Ok(shortfalls(&parse(&text).context(EXPECTED)?, lane, totals))
}

fn parse(text: &str) -> Result<Expected> {
    let table: toml::Table = text.parse()?;
    let number = |key: &str| {
        let value = table.get(key).and_then(toml::Value::as_integer);
        let value = value.and_then(|number| u64::try_from(number).ok());
        value.with_context(|| format!("there is no line `{key} = NUMBER`"))
    };
    let mut skips = BTreeMap::new();
    if let Some(listed) = table.get("skips") {
        for (name, reason) in listed.as_table().context("`skips` is no table")? {
            let reason = reason.as_str().filter(|reason| !reason.trim().is_empty());
            let reason = reason.with_context(|| format!("the skip {name:?} has no reason"))?;
            skips.insert(name.clone(), reason.to_owned());
        }
    }
    Ok(Expected {
        minimum: number("minimum")?,
        minimum_debug: number("minimum_debug")?,
        skips,
    })
}

fn shortfalls(expected: &Expected, lane: Lane, totals: &Totals) -> Vec<String> {
    let mut found = Vec::new();
    let minimum = match lane {
        Lane::Plain => expected.minimum,
        Lane::Debug => expected.minimum_debug,
    };
    if totals.passed < minimum {
        found.push(format!(
            "{} guest tests passed; {EXPECTED} says at least {minimum}",
            totals.passed
        ));
    }
    for (name, reason) in &totals.ignored {
        if !expected.skips.contains_key(name) {
            found.push(format!(
                "{name} was skipped ({reason:?}), which {EXPECTED} does not list"
            ));
        }
    }
    for name in expected
        .skips
        .keys()
        .filter(|name| !totals.ignored.contains_key(*name))
    {
        found.push(format!(
            "{name} ran, although {EXPECTED} lists it as skipped"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(output: &str) -> Progress {
        let mut progress = Progress::new();
        output.lines().for_each(|line| progress.line(line));
        progress
    }

    #[test]
    fn sums_over_programs() {
        let got = progress(
            "@@ mmap\ntest result: ok. 3 passed; 0 failed; 0 ignored\n@@ exit 0\n\
             @@ free\ntest x ... ignored, why\ntest result: ok. 2 passed; 0 failed\n@@ exit 0\n",
        );
        assert_eq!(got.report.totals.passed, 5);
        assert_eq!(got.report.totals.ignored["free::x"], "why");
        assert!(got.report.problems.is_empty());
    }

    #[test]
    fn a_program_that_was_killed_is_a_problem() {
        let got = progress("@@ mmap\nrunning 3 tests\ntest a ... ok\nKilled\n@@ exit 137\n");
        assert_eq!(
            got.report.problems,
            ["mmap ended with status 137 before its result"]
        );
    }

    #[test]
    fn a_note_is_neither_a_program_nor_a_result() {
        let got = progress(
            "@@ storm\ntest a ... \n@@ note 10 deaths\nok\n\
             test result: ok. 1 passed; 0 failed\n@@ exit 0\n",
        );
        assert_eq!(got.program, "storm");
        assert_eq!(
            (got.report.totals.passed, got.report.totals.results),
            (1, 1)
        );
    }

    #[test]
    fn fewer_tests_than_committed_fail() {
        let expected = parse("minimum = 7\nminimum_debug = 9\n").unwrap();
        let mut totals = Totals {
            passed: 6,
            ..Totals::default()
        };
        assert_eq!(shortfalls(&expected, Lane::Plain, &totals).len(), 1);
        totals.passed = 7;
        assert!(shortfalls(&expected, Lane::Plain, &totals).is_empty());
        assert_eq!(shortfalls(&expected, Lane::Debug, &totals).len(), 1);
    }

    #[test]
    fn only_listed_skips_are_allowed_and_each_listed_one_must_be() {
        let expected =
            parse("minimum = 0\nminimum_debug = 0\n[skips]\n\"mmap::a\" = \"why\"\n").unwrap();
        let skipped = |name: &str| Totals {
            ignored: BTreeMap::from([(name.to_owned(), String::new())]),
            ..Totals::default()
        };
        assert!(shortfalls(&expected, Lane::Plain, &skipped("mmap::a")).is_empty());
        assert_eq!(
            shortfalls(&expected, Lane::Plain, &skipped("mmap::b")).len(),
            2
        );
    }

    #[test]
    fn a_skip_needs_a_reason() {
        assert!(parse("minimum = 0\nminimum_debug = 0\n[skips]\n\"mmap::a\" = \"\"\n").is_err());
    }
}
