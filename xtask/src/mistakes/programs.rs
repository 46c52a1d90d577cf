// SPDX-License-Identifier: MIT OR Apache-2.0

//! The programs of `tests/mistakes`, each with one wrong sync, and their corrected twins.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{bail, Context as _, Result};

use super::findings::{self, Finding};
use super::TIMEOUT_SECONDS;
use crate::cache_model::CacheModel;
use crate::context::Context;
use crate::guest::{self, Job, MachineArgs};
use crate::kernel::Kernel;
use crate::programs;
use crate::ui::Step;

/// What is committed of the programs.
const TABLE: &str = "tests/mistakes/mistakes.toml";

/// A program, as the table has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) name: String,
    /// Kinds of report.
    pub(crate) finds: BTreeSet<String>,
    /// Policies under which the result must be wrong.
    breaks: BTreeSet<String>,
}

/// What came of the programs under one policy.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// For each program, `wrong` or `lucky`: what the mistake computed; or `missed`, if it was not
    /// reported as it must be.
    pub(crate) verdicts: Vec<&'static str>,
    pub(crate) problems: Vec<String>,
}

/// Reads the table.
pub(crate) fn table(root: &Path) -> Result<Vec<Mistake>> {
    let text = fs::read_to_string(root.join(TABLE)).with_context(|| format!("no {TABLE}"))?;
    parse(&text).context(TABLE)
}

fn parse(text: &str) -> Result<Vec<Mistake>> {
    let table: toml::Table = text.parse()?;
    let entries = table.get("mistake").and_then(toml::Value::as_array);
    let entries = entries.context("there is no [[mistake]]")?;
    entries.iter().map(entry).collect()
}

fn entry(entry: &toml::Value) -> Result<Mistake> {
    let name = entry.get("name").and_then(toml::Value::as_str);
    let name = name.context("an entry has no name")?.to_owned();
    let list = |key: &str| {
        let words = entry.get(key).and_then(toml::Value::as_array);
        let words = words.with_context(|| format!("{name} has no list {key:?}"))?;
        let word = |word: &toml::Value| Some(word.as_str()?.to_owned());
        let words: Option<BTreeSet<String>> = words.iter().map(word).collect();
        words.with_context(|| format!("{key:?} of {name} is no list of words"))
    };
    Ok(Mistake {
        finds: list("finds")?,
        breaks: list("breaks")?,
        name,
    })
}

/// Runs programs in a boot of their own.
pub(crate) fn run(
    context: &Context,
    kernel: &Kernel,
    mistakes: &[Mistake],
    policy: &str,
) -> Result<Judged> {
    let mut files = guest::base_files(context, kernel, &[])?;
    for program in programs::mistakes(context)? {
        files.add(&program.path, &format!("/usr/local/bin/{}", program.name))?;
    }
    let mut command = ["mistakes", "--all"].map(str::to_owned).to_vec();
    command.extend(mistakes.iter().map(|mistake| mistake.name.clone()));

    let json = context.target.join("mistakes.json");
    let _ = fs::remove_file(&json);
    let model = CacheModel {
        json: Some(json.clone()),
        expects_mistakes: true,
        ..CacheModel::new(context, policy)?
    };
    let job = Job {
        command,
        files,
        machine: MachineArgs::for_tests(1, TIMEOUT_SECONDS),
        cache_model: Some(model),
    };
    let step = Step::start(format!("run the programs under the policy {policy}"));
    let (outcome, output) = guest::run_printed(context, kernel, &job)?;
    match outcome {
        Ok(_) => {}
        Err(why) => bail!("{why}\nwhat the programs printed:\n{output}"),
    }
    step.done();
    let kind = policy.split(':').next().unwrap_or(policy);
    Ok(judge(
        mistakes,
        kind,
        &runs(&output),
        &findings::read(&json)?,
    ))
}

/// One run of one program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Run {
    name: String,
    wrong: bool,
    process: u64,
    exit: i32,
}

/// The runs that an output of `mistakes --all` tells of.
fn runs(output: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for line in output.lines().filter_map(|line| line.strip_prefix("@@ ")) {
        match (line.split_once(' '), runs.last_mut()) {
            (Some(("process", number)), Some(run)) => run.process = number.parse().unwrap_or(0),
            (Some(("exit", status)), Some(run)) => run.exit = status.parse().unwrap_or(-1),
            (Some((name, variant)), _) => runs.push(Run {
                name: name.to_owned(),
                wrong: variant == "wrong",
                process: 0,
                exit: -1,
            }),
            (None, _) => {}
        }
    }
    runs
}

/// Compares what programs did with what the table says.
fn judge(mistakes: &[Mistake], policy: &str, runs: &[Run], findings: &[Finding]) -> Judged {
    let mut judged = Judged::default();
    let started = |process| runs.iter().any(|run| run.process == process);
    let of = |run: &Run| {
        let belongs = |finding: &&Finding| finding.belongs_to(run.process, started);
        findings.iter().filter(belongs).collect::<Vec<_>>()
    };
    for mistake in mistakes {
        let run = |wrong: bool| {
            let mut of_name = runs.iter().filter(|run| run.name == mistake.name);
            of_name.find(|run| run.wrong == wrong)
        };
        let (Some(wrong), Some(right)) = (run(true), run(false)) else {
            judged.verdicts.push("missed");
            judged
                .problems
                .push(format!("{} did not run", mistake.name));
            continue;
        };
        let found = of(wrong);
        let before = judged.problems.len();
        judged.problems.extend(shortfall(mistake, &found));
        let missed = judged.problems.len() > before;
        let problem = match wrong.exit {
            0 if mistake.breaks.contains(policy) => Some("computed the right result"),
            0 | 1 => None,
            _ => Some("failed"),
        };
        let problem = problem.map(|problem| format!("{} with its mistake {problem}", mistake.name));
        judged.problems.extend(problem);
        judged.verdicts.push(match (missed, wrong.exit) {
            (true, _) => "missed",
            (false, 0) => "lucky",
            _ => "wrong",
        });
        let found = findings::kinds(of(right));
        if right.exit != 0 || !found.is_empty() {
            let (name, exit) = (&mistake.name, right.exit);
            let problem =
                format!("{name} without its mistake ended with {exit}, reported {found:?}");
            judged.problems.push(problem);
        }
    }
    let stray = findings.iter().filter(|finding| {
        !runs
            .iter()
            .any(|run| finding.belongs_to(run.process, started))
    });
    for kind in findings::kinds(stray) {
        judged
            .problems
            .push(format!("{kind} was reported of no program"));
    }
    judged
}

/// How the reports of a mistake differ from what they must be.
fn shortfall(mistake: &Mistake, found: &[&Finding]) -> Option<String> {
    let name = &mistake.name;
    let kinds = findings::kinds(found.iter().copied());
    if kinds != mistake.finds {
        return Some(format!(
            "{name} was reported as {kinds:?}, not {:?}",
            mistake.finds
        ));
    }
    let function = name.replace('-', "_");
    if !found.iter().all(|finding| finding.names(&function)) {
        return Some(format!("a report of {name} does not name its function"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::findings::Place;
    use super::*;

    const TABLE: &str = "[[mistake]]\nname = \"a-b\"\nfinds = [\"missing-clean\"]\n\
                         breaks = [\"never\"]\n";
    const OUTPUT: &str = "@@ a-b wrong\n8 bytes are wrong\n@@ process 7\n@@ exit 1\n\
                          @@ a-b right\n@@ process 8\nright\n@@ exit 0\n";

    fn found(process: u64, kind: &str, frame: &str) -> Finding {
        Finding {
            kind: kind.to_owned(),
            at: Place {
                process: Some(process),
                frames: vec![frame.to_owned()],
            },
            cause: Place::default(),
        }
    }

    fn problems(policy: &str, output: &str, findings: &[Finding]) -> Vec<String> {
        judge(&parse(TABLE).unwrap(), policy, &runs(output), findings).problems
    }

    #[test]
    fn what_is_as_the_table_says_is_no_problem() {
        let findings = [found(7, "missing-clean", "a_b (x.rs:1)")];
        let judged = judge(&parse(TABLE).unwrap(), "never", &runs(OUTPUT), &findings);
        assert_eq!((judged.verdicts, judged.problems), (vec!["wrong"], vec![]));
    }

    #[test]
    fn a_mistake_without_its_report_is_missed() {
        assert_eq!(problems("never", OUTPUT, &[]).len(), 1);
        let other = [found(7, "unmapped", "a_b")];
        assert_eq!(problems("never", OUTPUT, &other).len(), 1);
    }

    #[test]
    fn a_report_must_name_the_place() {
        let findings = [found(7, "missing-clean", "memcpy")];
        assert_eq!(problems("never", OUTPUT, &findings).len(), 1);
    }

    #[test]
    fn a_report_of_the_twin_or_of_nobody_is_a_problem() {
        for process in [8, 99] {
            let mistake = found(7, "missing-clean", "a_b");
            let findings = [mistake, found(process, "missing-clean", "a_b")];
            assert_eq!(problems("never", OUTPUT, &findings).len(), 1, "{process}");
        }
    }

    #[test]
    fn a_result_must_be_wrong_where_the_table_says_so() {
        let output = OUTPUT.replace("exit 1", "exit 0");
        let findings = [found(7, "missing-clean", "a_b")];
        assert_eq!(problems("never", &output, &findings).len(), 1);
        assert!(problems("evict", &output, &findings).is_empty());
    }
}
