// SPDX-License-Identifier: MIT OR Apache-2.0

//! Patches that take cache maintenance out of the driver and the library: each must turn the tests red.
//!
//! They are applied to a copy of the tree in the build folder, one at a time.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};

use super::findings;
use super::TIMEOUT_SECONDS;
use crate::cache_model::CacheModel;
use crate::context::Context;
use crate::files::with_extension;
use crate::guest::{self, Job, MachineArgs, Outcome};
use crate::initramfs::Files;
use crate::kernel::Kernel;
use crate::programs;
use crate::tree_copy::TreeCopy;
use crate::ui::Step;

const FOLDER: &str = "tests/mistakes/patches";

/// A patch, with what its head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patch {
    /// The file's name without its extension.
    pub(crate) name: String,
    path: PathBuf,
    /// Kinds of report that it must lead to.
    pub(crate) finds: BTreeSet<String>,
    /// Commands to run in the guest.
    runs: Vec<String>,
}

/// All patches, by name.
pub(crate) fn all(root: &Path) -> Result<Vec<Patch>> {
    let paths = with_extension(&root.join(FOLDER), "patch")?;
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path)?;
        parse(&path, &text).with_context(|| path.display().to_string())
    };
    paths.into_iter().map(read).collect()
}

fn parse(path: &Path, text: &str) -> Result<Patch> {
    let head = text.lines().take_while(|line| !line.starts_with("--- "));
    let values = |key: &str| {
        let of_key = head.clone().filter_map(move |line| line.strip_prefix(key));
        of_key
            .map(|value| value.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let (finds, runs) = (values("Finds:"), values("Runs:"));
    if values("Mistake:").len() != 1 || finds.is_empty() || runs.is_empty() {
        bail!("the head needs one line `Mistake:`, and lines `Finds:` and `Runs:`");
    }
    let stem = path.file_stem().context("a patch has a name")?;
    Ok(Patch {
        name: stem.to_string_lossy().into_owned(),
        path: path.to_owned(),
        finds: finds.into_iter().collect(),
        runs,
    })
}

/// What came of the runs.
#[derive(Debug)]
pub(crate) struct Colour {
    /// Kinds of report.
    pub(crate) kinds: BTreeSet<String>,
    count: usize,
    status: Outcome,
}

impl Colour {
    /// Whether there was no report and every command succeeded.
    pub(crate) fn is_green(&self) -> bool {
        self.count == 0 && self.status == Ok(0)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.kinds.iter().map(String::as_str).collect::<Vec<_>>();
        match (self.is_green(), kinds.is_empty()) {
            (true, _) => f.write_str("green")?,
            (false, true) => f.write_str("red: no report")?,
            (false, false) => write!(f, "red: {} reports, {}", self.count, kinds.join(", "))?,
        }
        match &self.status {
            Ok(0) => Ok(()),
            Ok(_) => f.write_str("; commands failed"),
            Err(why) => write!(f, "; {}", why.lines().next().unwrap_or_default()),
        }
    }
}

/// A copy of the tree, and what it takes to run it.
pub(crate) struct Bench<'a> {
    kernel: &'a Kernel,
    copy: TreeCopy<'a>,
    model: CacheModel,
    json: PathBuf,
}

impl<'a> Bench<'a> {
    /// A bench in the build folder.
    pub(crate) fn new(context: &'a Context, kernel: &'a Kernel) -> Result<Self> {
        let copy = TreeCopy::new(context, "mistakes")?;
        let json = copy.context.target.join("findings.json");
        let model = CacheModel {
            json: Some(json.clone()),
            expects_mistakes: true,
            ..CacheModel::new(context, "never")?
        };
        Ok(Self {
            kernel,
            copy,
            model,
            json,
        })
    }

    /// Runs the commands of all patches without any of them.
    pub(crate) fn run_unpatched(&self, patches: &[Patch]) -> Result<Colour> {
        self.copy.restore()?;
        let commands = patches.iter().flat_map(|patch| patch.runs.iter().cloned());
        self.run_commands("without a patch", &commands.collect())
    }

    /// Runs the commands of a patch with the patch.
    pub(crate) fn run(&self, patch: &Patch) -> Result<Colour> {
        self.copy.restore()?;
        self.copy.apply(&patch.path)?;
        self.run_commands(&patch.name, &patch.runs.iter().cloned().collect())
    }

    fn run_commands(&self, name: &str, commands: &BTreeSet<String>) -> Result<Colour> {
        let step = Step::start(format!("run the tests: {name}"));
        let each = commands
            .iter()
            .map(|command| format!("{command} || failed=1; "));
        let script = format!("failed=0; {}exit $failed", each.collect::<String>());
        let job = Job {
            command: vec!["sh".to_owned(), "-c".to_owned(), script],
            files: self.files(commands)?,
            machine: MachineArgs::for_tests(1, TIMEOUT_SECONDS),
            cache_model: Some(self.model.clone()),
        };
        let _ = fs::remove_file(&self.json);
        let (status, output) = guest::run_printed(&self.copy.context, self.kernel, &job)?;
        let log = self
            .copy
            .context
            .target
            .join(format!("{}.log", name.replace(' ', "-")));
        fs::write(&log, output)?;
        let findings = findings::read(&self.json)?;
        step.done();
        Ok(Colour {
            kinds: findings::kinds(&findings),
            count: findings.len(),
            status,
        })
    }

    /// What the commands need in the guest, built from the copy.
    fn files(&self, commands: &BTreeSet<String>) -> Result<Files> {
        let copy = &self.copy.context;
        let mut built = programs::examples(copy)?;
        built.extend(programs::mistakes(copy)?);
        let mut files = guest::base_files(copy, self.kernel, &built)?;
        if commands.iter().any(|command| command.contains("/tests/")) {
            let script = copy.root.join("xtask/guest/run-tests");
            files.add(&script, "/usr/local/bin/run-tests")?;
            for program in programs::tests(copy)? {
                files.add(&program.path, &format!("/tests/{}", program.name))?;
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "SPDX-License-Identifier: GPL-2.0\nMistake: why\nFinds: unclean-zeroes\n\
                        Runs: quickstart\nRuns: replay x\n\n--- a/x\n+++ b/x\nRuns: no\n";

    #[test]
    fn the_head_says_what_to_run_and_what_to_find() {
        let patch = parse(Path::new("/x/no-clean.patch"), TEXT).unwrap();
        assert_eq!(patch.name, "no-clean");
        assert_eq!(patch.runs, ["quickstart", "replay x"]);
        assert!(patch.finds.contains("unclean-zeroes"));
    }

    #[test]
    fn a_patch_without_a_word_of_its_finding_is_refused() {
        let text = TEXT.replace("Finds:", "Found:");
        assert!(parse(Path::new("x.patch"), &text).is_err());
    }

    fn colour(count: usize, status: Outcome) -> Colour {
        Colour {
            kinds: BTreeSet::new(),
            count,
            status,
        }
    }

    #[test]
    fn only_success_without_a_report_is_green() {
        assert!(colour(0, Ok(0)).is_green());
        assert!(!colour(1, Ok(0)).is_green());
        assert!(!colour(0, Ok(1)).is_green());
        let failed = colour(0, Err("it hangs\nfor long".to_owned()));
        assert_eq!(failed.to_string(), "red: no report; it hangs");
    }
}
