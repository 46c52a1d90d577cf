// SPDX-License-Identifier: MIT OR Apache-2.0

//! The mistakes of `cachemodel/situations` and their twins: the cache model must find the former, at
//! their place and under their kind, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{anyhow, Context as _, Result};
use serde_json::Value;

use crate::cache_model::CacheModel;
use crate::context::Context;
use crate::guest::{self, Job, MachineArgs};
use crate::guest_tests::Report;
use crate::kernel::Kernel;
use crate::programs;
use crate::ui::Step;

/// What the cache does in the runs.
pub(crate) const POLICIES: [&str; 3] = ["never", "evict:1", "prefetch:1"];

/// A guest that takes longer hangs.
const TIMEOUT_SECONDS: u64 = 600;

/// Kinds of mistake that spoil no data here: a fault that hardware would take, an attribute that may
/// or may not matter.
const HARMLESS: [&str; 2] = ["unmapped", "mixed-attributes"];

/// What the guest says of one situation: `m03 NAME expects KINDS: wrong`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    /// The name of its process.
    id: String,
    name: String,
    expects: BTreeSet<String>,
    right: bool,
}

impl Outcome {
    fn parse(line: &str) -> Option<Self> {
        let (rest, outcome) = line.split_once(": ")?;
        let (what, expects) = rest.split_once(" expects ")?;
        let (id, name) = what.split_once(' ')?;
        let kinds = expects.split(',').filter(|kind| *kind != "nothing");
        Some(Self {
            id: id.to_owned(),
            name: name.to_owned(),
            expects: kinds.map(str::to_owned).collect(),
            right: match outcome {
                "right" => true,
                "wrong" => false,
                _ => return None,
            },
        })
    }

    fn is_twin(&self) -> bool {
        self.id.starts_with('t')
    }
}

/// Runs all situations under all policies.
pub(crate) fn run(context: &Context, kernel: &Kernel, model: &CacheModel) -> Result<Report> {
    let step = Step::start("run the situations under the cache model");
    let mut report = Report::default();
    let mut by_policy = Vec::new();
    for policy in POLICIES {
        let model = CacheModel {
            policy: policy.to_owned(),
            ..model.clone()
        };
        let (outcomes, findings) = boot(context, kernel, &model)?;
        let problems = compare(&outcomes, &kinds_by_process(&findings));
        report.totals.passed += (outcomes.len() - problems.len()) as u64;
        report.totals.failed += problems.len() as u64;
        let problems = problems.into_iter().map(|why| format!("{policy}: {why}"));
        report.problems.extend(problems);
        by_policy.push(outcomes);
    }
    report.problems.extend(never_wrong(&by_policy));
    report.totals.results = POLICIES.len() as u64;
    step.done();
    Ok(report)
}

/// One boot: what the guest said, and what the model found.
fn boot(context: &Context, kernel: &Kernel, model: &CacheModel) -> Result<(Vec<Outcome>, Value)> {
    let mut files = guest::base_files(context, kernel, &[])?;
    for program in programs::situations(context)? {
        files.add(&program.path, &format!("/usr/local/bin/{}", program.name))?;
    }
    let json = context.target.join("situations.json");
    let model = CacheModel {
        json: Some(json.clone()),
        expects_mistakes: true,
        ..model.clone()
    };
    let job = Job {
        command: vec![programs::SITUATIONS.to_owned()],
        files,
        machine: MachineArgs::for_tests(1, TIMEOUT_SECONDS),
        cache_model: Some(model),
    };
    let (ended, output) = guest::run_printed(context, kernel, &job)?;
    let status = ended.map_err(|why| anyhow!(why))?;
    let outcomes: Vec<Outcome> = output.lines().filter_map(Outcome::parse).collect();
    if status != 0 || outcomes.is_empty() {
        return Err(anyhow!(
            "{} situations ended, status {status}",
            outcomes.len()
        ));
    }
    let text = fs::read_to_string(&json).context("the cache model left no findings")?;
    Ok((outcomes, serde_json::from_str(&text)?))
}

/// The kinds of mistake found, by name of process.
fn kinds_by_process(findings: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for report in findings["reports"].as_array().into_iter().flatten() {
        let process = report["at"]["process"]["name"].as_str().unwrap_or("?");
        let kind = report["kind"].as_str().unwrap_or("?");
        let kinds = found.entry(process.to_owned()).or_default();
        kinds.insert(kind.to_owned());
    }
    found
}

/// What is not as it must be.
fn compare(outcomes: &[Outcome], found: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut problems = Vec::new();
    let none = BTreeSet::new();
    for outcome in outcomes {
        let Outcome { id, name, .. } = outcome;
        let found = found.get(id).unwrap_or(&none);
        if *found != outcome.expects {
            problems.push(format!(
                "{id} {name}: found {found:?}, expected {:?}",
                outcome.expects
            ));
        } else if outcome.is_twin() && !outcome.right {
            problems.push(format!("{id} {name}: its data came out wrong"));
        }
    }
    for process in found.keys() {
        if !outcomes.iter().any(|outcome| outcome.id == *process) {
            problems.push(format!("{process}, which is no situation, made mistakes"));
        }
    }
    problems
}

/// Mistakes that spoil data and did so under no policy.
fn never_wrong(by_policy: &[Vec<Outcome>]) -> Vec<String> {
    let all = by_policy.iter().flatten();
    let spoiled: BTreeSet<&str> = all
        .clone()
        .filter(|outcome| !outcome.right)
        .map(|outcome| outcome.id.as_str())
        .collect();
    let must = |outcome: &&Outcome| {
        let harmless = |kind: &String| HARMLESS.contains(&kind.as_str());
        !outcome.is_twin() && !outcome.expects.iter().all(harmless)
    };
    let ids: BTreeSet<_> = all
        .filter(must)
        .filter(|outcome| !spoiled.contains(outcome.id.as_str()))
        .map(|outcome| format!("{} {}: right under every policy", outcome.id, outcome.name))
        .collect();
    ids.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(line: &str) -> Outcome {
        Outcome::parse(line).unwrap()
    }

    fn found(entries: &[(&str, &str)]) -> BTreeMap<String, BTreeSet<String>> {
        let reports = entries.iter().map(|(process, kind)| {
            serde_json::json!({"kind": kind, "at": {"process": {"name": process}}})
        });
        kinds_by_process(&serde_json::json!({"reports": reports.collect::<Vec<_>>()}))
    }

    #[test]
    fn lines_of_the_guest_are_read() {
        let mistake = outcome("m37 a-b expects missing-clean,lost-to-eviction: wrong");
        assert_eq!((mistake.id.as_str(), mistake.name.as_str()), ("m37", "a-b"));
        assert_eq!((mistake.expects.len(), mistake.right), (2, false));
        let twin = outcome("t01 a expects nothing: right");
        assert!(twin.is_twin() && twin.right && twin.expects.is_empty());
        assert_eq!(Outcome::parse("m01 did not run to its end"), None);
    }

    #[test]
    fn what_is_expected_and_found_is_no_problem() {
        let outcomes = [
            outcome("m01 a expects missing-clean: wrong"),
            outcome("t01 a expects nothing: right"),
        ];
        let found = found(&[("m01", "missing-clean"), ("m01", "missing-clean")]);
        assert!(compare(&outcomes, &found).is_empty());
    }

    #[test]
    fn everything_else_is_one() {
        let mistake = outcome("m01 a expects missing-clean: wrong");
        let twin = outcome("t01 a expects nothing: right");
        let wrong_twin = outcome("t01 a expects nothing: wrong");
        let problems = |outcome: &Outcome, entries: &[(&str, &str)]| {
            compare(std::slice::from_ref(outcome), &found(entries)).len()
        };
        assert_eq!(problems(&mistake, &[]), 1);
        assert_eq!(problems(&mistake, &[("m01", "unmapped")]), 1);
        assert_eq!(problems(&twin, &[("t01", "unmapped")]), 1);
        assert_eq!(problems(&wrong_twin, &[]), 1);
        assert_eq!(problems(&twin, &[("insmod", "unmapped")]), 1);
    }

    #[test]
    fn a_mistake_must_spoil_data_under_some_policy() {
        let right = outcome("m01 a expects missing-clean: right");
        let wrong = outcome("m01 a expects missing-clean: wrong");
        let fault = outcome("m02 b expects unmapped: right");
        assert_eq!(never_wrong(&[vec![right.clone()], vec![fault]]).len(), 1);
        assert!(never_wrong(&[vec![right], vec![wrong]]).is_empty());
    }
}
