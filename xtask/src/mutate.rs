// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask mutate`: whether the guest's tests notice what the driver does wrong.
//!
//! Each patch of `tests/mutations/` takes one check, lock, count or line of maintenance out of the
//! driver. It is applied to a copy, and the tests that its head names run with that driver, each
//! mutant in a boot of its own. The test programs are those of the tree as it is.

mod patch;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Instant;

use anyhow::{bail, Context as _, Result};

use crate::context::Context;
use crate::driver::{self, Checks};
use crate::fuzz::{self, Sequence};
use crate::guest::{self, Job};
use crate::guest_tests::{self, Lane, Suite};
use crate::kernel::{self, Kernel, KernelArgs};
use crate::programs::{self, Program};
use crate::tree_copy::TreeCopy;
use crate::ui::{self, elapsed, Step};

pub(crate) use patch::check;
use patch::{Mutation, Test};

/// A mutant that takes longer hangs.
const TIMEOUT_SECONDS: u64 = 180;

/// A test that takes longer hangs.
const TEST_TIMEOUT_SECONDS: u64 = 100;

/// Options of `cargo xtask mutate`.
#[derive(Debug, clap::Args)]
pub(crate) struct MutateArgs {
    /// Only see that the patches fit and that their heads are right
    #[arg(long)]
    check: bool,
    /// Mutations; all of them without this
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// How the tests took a mutant, or the driver as it is.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Every test passed.
    Green,
    /// These tests failed.
    Failed(Vec<String>),
    /// The kernel reported a fault, or did not come to an end: why.
    Broken(String),
    /// This test is not in its program.
    NoSuchTest(String),
    /// It does not compile.
    NotBuilt(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Green => f.write_str("green"),
            Self::Failed(tests) => write!(f, "red: {}", tests.join(", ")),
            Self::Broken(why) => write!(f, "red: {why}"),
            Self::NoSuchTest(test) => write!(f, "there is no test {test}"),
            Self::NotBuilt(why) => write!(f, "not built: {why}"),
        }
    }
}

/// `cargo xtask mutate`: the exit status for the process.
pub(crate) fn main(context: &Context, args: &MutateArgs) -> Result<i32> {
    if args.check {
        println!("{} mutations fit", check(context)?);
        return Ok(0);
    }
    let mut mutations = patch::all(&context.root)?;
    for name in &args.names {
        if !mutations.iter().any(|mutation| mutation.name == *name) {
            bail!("there is no mutation {name:?} in {}", patch::FOLDER);
        }
    }
    mutations.retain(|m| args.names.is_empty() || args.names.contains(&m.name));

    let start = Instant::now();
    let bench = Bench::new(context)?;
    let mut problems = Vec::new();
    let mut survivors = 0;
    for name in patch::KERNELS {
        let of_kernel: Vec<_> = mutations.iter().filter(|m| m.kernel == name).collect();
        if of_kernel.is_empty() {
            continue;
        }
        let kernel = KernelArgs {
            kernel: name.to_owned(),
            ..KernelArgs::default()
        };
        let target = Target {
            kernel: kernel::build(context, &kernel)?,
            lane: match name {
                "debug" => Lane::Debug,
                _ => Lane::Plain,
            },
        };
        problems.extend(bench.baseline(&target, &of_kernel)?);
        for mutation in of_kernel {
            let began = Instant::now();
            let verdict = bench.mutant(&target, mutation)?;
            let took = elapsed(began.elapsed());
            println!("{:44} {name:6} {took:>8}  {verdict}", mutation.name);
            match (&verdict, &mutation.survives) {
                (Verdict::Green, Some(why)) => {
                    survivors += 1;
                    println!("{:44} survives: {why}", "");
                }
                (Verdict::Failed(_) | Verdict::Broken(_), None) => {}
                (Verdict::Green, None) => problems.push(format!("{} survived", mutation.name)),
                (_, Some(_)) => problems.push(format!("{} did not survive", mutation.name)),
                (_, None) => problems.push(format!("{}: {verdict}", mutation.name)),
            }
        }
    }
    println!();
    for problem in &problems {
        println!("PROBLEM {problem}");
    }
    println!(
        "{} mutations in {}: {survivors} explained survivors, {} problems",
        mutations.len(),
        elapsed(start.elapsed()),
        problems.len()
    );
    Ok(i32::from(!problems.is_empty()))
}

/// What mutants run on.
struct Target {
    kernel: Kernel,
    lane: Lane,
}

/// A copy of the tree, and the test programs.
struct Bench<'a> {
    context: &'a Context,
    copy: TreeCopy<'a>,
    programs: Vec<Program>,
    fuzzer: Vec<Program>,
}

impl<'a> Bench<'a> {
    fn new(context: &'a Context) -> Result<Self> {
        Ok(Self {
            context,
            copy: TreeCopy::new(context, "mutations")?,
            programs: programs::tests(context)?,
            fuzzer: programs::fuzz(context)?,
        })
    }

    /// Runs the tests of all mutations without any of them; returns what is wrong.
    fn baseline(&self, target: &Target, mutations: &[&Mutation]) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        let tests = mutations.iter().flat_map(|mutation| mutation.tests.iter());
        let (fuzzer, tests): (Vec<&Test>, Vec<&Test>) = tests.partition(|test| test.is_fuzzer());
        let mut of_suite: Vec<(Suite, BTreeSet<&Test>)> = Vec::new();
        for test in tests {
            match of_suite
                .iter_mut()
                .find(|(suite, _)| *suite == test.suite())
            {
                Some((_, tests)) => drop(tests.insert(test)),
                None => of_suite.push((test.suite(), BTreeSet::from([test]))),
            }
        }
        let groups = of_suite.into_iter().map(|(_, tests)| tests);
        let groups = groups.map(|tests| tests.into_iter().collect::<Vec<_>>());
        for tests in groups.chain(fuzzer.first().map(|test| vec![*test])) {
            let step = Step::start(format!("run {} tests without a mutation", tests.len()));
            let verdict = self.run(self.context, target, &tests)?;
            step.done();
            if verdict != Verdict::Green {
                problems.push(format!("without a mutation: {verdict}"));
            }
        }
        Ok(problems)
    }

    /// Runs the tests of a mutation with it.
    fn mutant(&self, target: &Target, mutation: &Mutation) -> Result<Verdict> {
        self.copy.restore()?;
        self.copy.apply(&mutation.path)?;
        if let Err(why) = driver::build(&self.copy.context, &target.kernel, Checks::Compiler) {
            let why = format!("{why:#}");
            let error = why.lines().find(|line| line.contains("error"));
            let error = error.or(why.lines().next()).unwrap_or_default();
            return Ok(Verdict::NotBuilt(error.trim().to_owned()));
        }
        self.run(
            &self.copy.context,
            target,
            &mutation.tests.iter().collect::<Vec<_>>(),
        )
    }

    /// Runs the short sequence of the fuzzer with the driver of `tree`.
    fn fuzz(&self, tree: &Context, target: &Target) -> Result<Verdict> {
        let (outcome, output) = guest::printed(|program| {
            fuzz::run(tree, &target.kernel, &self.fuzzer, Sequence::SHORT, program)
        })?;
        let difference = output.lines().find(|line| line.starts_with("DIFFERENCE"));
        Ok(match (outcome, difference) {
            (Ok(0), _) => Verdict::Green,
            (_, Some(line)) => Verdict::Failed(vec![format!("fuzz: {line}")]),
            (Ok(status), _) => Verdict::Failed(vec![format!("fuzz: status {status}")]),
            (Err(why), _) => Verdict::Broken(first_fault(&why)),
        })
    }

    /// Runs tests in a boot of their own, with the driver of `tree`.
    fn run(&self, tree: &Context, kernel: &Target, tests: &[&Test]) -> Result<Verdict> {
        if tests.iter().any(|test| test.is_fuzzer()) {
            return self.fuzz(tree, kernel);
        }
        let Target { kernel, lane } = kernel;
        let lane = *lane;
        let mut files = guest::base_files(tree, kernel, &[])?;
        let mut script = String::new();
        let mut added = Vec::new();
        for test in tests {
            let program = self.programs.iter().find(|p| p.name == test.program);
            let program = program.with_context(|| format!("no program {:?}", test.program))?;
            let path = format!("/tests/{}", program.name);
            if !added.contains(&&program.name) {
                files.add(&program.path, &path)?;
                added.push(&program.name);
            }
            script.push_str(&format!(
                "echo '@@ {}'; timeout -s KILL {TEST_TIMEOUT_SECONDS} {path} --test-threads=1 \
                 --exact '{}'; echo \"@@ exit $?\"; ",
                test.program, test.name
            ));
        }
        let suite = tests.first().map_or(Suite::Normal, |test| test.suite());
        let timeout = TIMEOUT_SECONDS.max(tests.len() as u64 * 10);
        let job = Job {
            command: vec!["sh".to_owned(), "-c".to_owned(), script],
            files,
            machine: guest_tests::machine(self.context, lane, suite, 2, timeout),
            cache_model: None,
        };
        let (outcome, output) = guest::run_printed(tree, kernel, &job)?;
        Ok(judge(&outcome, &output, tests))
    }
}

/// What the run of `tests` says.
fn judge(outcome: &guest::Outcome, output: &str, tests: &[&Test]) -> Verdict {
    let runs: Vec<&str> = output.split("@@ exit ").collect();
    let mut failed = Vec::new();
    for (test, run) in tests.iter().zip(&runs) {
        if run.contains("running 0 tests") {
            return Verdict::NoSuchTest(test.to_string());
        }
        if run.contains("running 1 test\n") && !run.contains("test result: ok. 1 passed") {
            failed.push(test.to_string());
        }
    }
    match outcome {
        Err(why) if failed.is_empty() => Verdict::Broken(first_fault(why)),
        Ok(_) if failed.is_empty() && runs.len() <= tests.len() => {
            Verdict::Broken("not every test ran".to_owned())
        }
        _ if failed.is_empty() => Verdict::Green,
        Err(why) => {
            ui::note(first_fault(why));
            Verdict::Failed(failed)
        }
        Ok(_) => Verdict::Failed(failed),
    }
}

/// The line of a failed run that says most.
fn first_fault(why: &str) -> String {
    let mut lines = why.lines();
    let first = lines.next().unwrap_or_default();
    let says = |line: &&str| !line.contains("[ cut here ]");
    match first.ends_with(':') {
        true => lines.find(says).unwrap_or(first).trim().to_owned(),
        false => first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "@@ mmap\n\nrunning 1 test\ntest a ... ok\n\n\
                      test result: ok. 1 passed; 0 failed\n\n@@ exit 0\n";
    const RED: &str = "@@ mmap\n\nrunning 1 test\ntest a ... FAILED\n\n\
                       test result: FAILED. 0 passed; 1 failed\n\n@@ exit 101\n";

    fn verdict(outcome: guest::Outcome, output: &str) -> Verdict {
        let test = "mmap::a".parse().unwrap();
        judge(&outcome, output, &[&test])
    }

    #[test]
    fn a_test_that_fails_is_named() {
        assert_eq!(verdict(Ok(0), OK), Verdict::Green);
        let named = Verdict::Failed(vec!["mmap::a".to_owned()]);
        assert_eq!(verdict(Ok(0), RED), named);
    }

    #[test]
    fn a_test_that_was_killed_fails() {
        let output = "@@ mmap\n\nrunning 1 test\nKilled\n@@ exit 137\n";
        let named = Verdict::Failed(vec!["mmap::a".to_owned()]);
        assert_eq!(verdict(Ok(0), output), named);
    }

    #[test]
    fn a_fault_of_the_kernel_is_red() {
        let why = "the guest's kernel reports faults:\n[ 1.0] ------------[ cut here ]---\n\
                   [ 1.0] WARNING: x\n";
        let verdict = verdict(Err(why.to_owned()), OK);
        assert_eq!(verdict, Verdict::Broken("[ 1.0] WARNING: x".to_owned()));
    }

    #[test]
    fn a_test_that_does_not_exist_is_no_verdict() {
        let output = OK.replace("running 1 test\n", "running 0 tests\n");
        let missing = Verdict::NoSuchTest("mmap::a".to_owned());
        assert_eq!(verdict(Ok(0), &output), missing);
    }

    #[test]
    fn a_run_that_ends_early_is_no_pass() {
        assert!(matches!(verdict(Ok(0), "@@ mmap\n"), Verdict::Broken(_)));
    }
}
