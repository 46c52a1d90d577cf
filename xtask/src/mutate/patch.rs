// SPDX-License-Identifier: MIT OR Apache-2.0

//! The patches of `tests/mutations/` and what their heads say.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{bail, Context as _, Result};

use crate::context::Context;
use crate::files::with_extension;
use crate::guest_tests::Suite;
use crate::programs::has_test;
use crate::tree_copy;

/// The test that is the short run of the fuzzer, no test of a guest program.
const FUZZER: (&str, &str) = ("fuzz", "short_run");

pub(crate) const FOLDER: &str = "tests/mutations";

/// The kernels that a head may ask for, the default first.
pub(super) const KERNELS: [&str; 2] = ["plain", "debug"];

/// A test of a guest program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Test {
    pub(super) program: String,
    pub(super) name: String,
}

impl Test {
    /// Whether it is the short run of the fuzzer.
    pub(super) fn is_fuzzer(&self) -> bool {
        (self.program.as_str(), self.name.as_str()) == FUZZER
    }

    /// The suite that it belongs to, whose machine it needs.
    pub(super) fn suite(&self) -> Suite {
        Suite::of(&self.program)
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.program, self.name)
    }
}

impl FromStr for Test {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let word = |text: &str| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            !text.is_empty() && text.chars().all(is_part)
        };
        match text.split_once("::") {
            Some((program, name)) if word(program) && word(name) => Ok(Self {
                program: program.to_owned(),
                name: name.to_owned(),
            }),
            _ => bail!("{text:?} is no test: it must be PROGRAM::TEST"),
        }
    }
}

/// A patch, with what its head says.
#[derive(Debug, Clone)]
pub(super) struct Mutation {
    /// The file's name without its extension.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// At least one of these must fail.
    pub(super) tests: Vec<Test>,
    /// The kernel that it is seen on.
    pub(super) kernel: &'static str,
    /// Why no test can see it.
    pub(super) survives: Option<String>,
}

/// All mutations, by name.
pub(super) fn all(root: &Path) -> Result<Vec<Mutation>> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path)?;
        parse(&path, &text).with_context(|| path.display().to_string())
    };
    let paths = with_extension(&root.join(FOLDER), "patch")?;
    paths.into_iter().map(read).collect()
}

fn parse(path: &Path, text: &str) -> Result<Mutation> {
    let head: Vec<&str> = text
        .lines()
        .take_while(|line| !line.starts_with("--- "))
        .collect();
    let values = |key: &'static str| {
        let of_key = head.iter().filter_map(move |line| line.strip_prefix(key));
        of_key.map(str::trim).collect::<Vec<_>>()
    };
    if !matches!(values("Mutation:")[..], [what] if !what.is_empty()) {
        bail!("the head needs one line `Mutation: WHAT`");
    }
    let tests = values("Test:")
        .into_iter()
        .map(str::parse)
        .collect::<Result<Vec<Test>>>()?;
    let Some(first) = tests.first() else {
        bail!("the head needs lines `Test: PROGRAM::TEST`");
    };
    if tests.iter().any(|test| test.suite() != first.suite()) {
        bail!("its tests need different machines");
    }
    if tests.len() > 1 && tests.iter().any(Test::is_fuzzer) {
        bail!("the fuzzer runs alone");
    }
    let kernel = match values("Kernel:")[..] {
        [] => KERNELS[0],
        [name] => KERNELS
            .into_iter()
            .find(|kernel| *kernel == name)
            .with_context(|| format!("there is no kernel {name:?} for mutations"))?,
        _ => bail!("the head has more than one line `Kernel:`"),
    };
    let survives = match values("Survives:")[..] {
        [] => None,
        [why] if !why.is_empty() => Some(why.to_owned()),
        _ => bail!("the head needs one line `Survives: WHY` at most"),
    };
    let changed = text.lines().filter_map(|line| line.strip_prefix("+++ "));
    if let Some(other) = changed
        .clone()
        .find(|path| !path.starts_with("b/driver/") && *path != "/dev/null")
    {
        bail!("it changes {other}: a mutation is one of the driver");
    }
    if changed.count() == 0 {
        bail!("it changes nothing");
    }
    let stem = path.file_stem().context("a patch has a name")?;
    Ok(Mutation {
        name: stem.to_string_lossy().into_owned(),
        path: path.to_owned(),
        tests,
        kernel,
        survives,
    })
}

/// Sees that every patch fits the tree, and that the tests exist that its head names; returns how
/// many there are.
pub(crate) fn check(context: &Context) -> Result<usize> {
    let mutations = all(&context.root)?;
    let mut wrong = Vec::new();
    for mutation in &mutations {
        if let Err(error) = tree_copy::fits(&context.root, &mutation.path) {
            wrong.push(format!("{error:#}"));
        }
        for test in mutation.tests.iter().filter(|test| !test.is_fuzzer()) {
            if !has_test(&context.root, &test.program, &test.name) {
                wrong.push(format!("{}: there is no test {test}", mutation.name));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(mutations.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "SPDX-License-Identifier: GPL-2.0\n\nMutation: why\nTest: mmap::a_b\n\n\
                        --- a/driver/pool.rs\n+++ b/driver/pool.rs\n@@ -1 +1 @@\n-a\n+b\n";

    fn parsed(text: &str) -> Result<Mutation> {
        parse(Path::new("tests/mutations/pool-lock.patch"), text)
    }

    #[test]
    fn the_head_names_the_test_and_the_kernel() {
        let plain = parsed(TEXT).unwrap();
        assert_eq!((plain.name.as_str(), plain.kernel), ("pool-lock", "plain"));
        assert_eq!(plain.tests, ["mmap::a_b".parse().unwrap()]);
        let debug = TEXT.replace("Test:", "Kernel: debug\nTest:");
        assert_eq!(parsed(&debug).unwrap().kernel, "debug");
    }

    #[test]
    fn an_explained_survivor_says_why() {
        let text = TEXT.replace("Test:", "Survives: never seen\nTest:");
        let survivor = parsed(&text).unwrap();
        assert_eq!(survivor.survives.as_deref(), Some("never seen"));
        assert!(parsed(&text.replace(" never seen", "")).is_err());
    }

    #[test]
    fn a_head_that_lacks_something_is_an_error() {
        assert!(parsed(&TEXT.replace("Test: mmap::a_b\n", "")).is_err());
        assert!(parsed(&TEXT.replace("Mutation: why\n", "")).is_err());
        assert!(parsed(&TEXT.replace("mmap::a_b", "mmap")).is_err());
        assert!(parsed(&TEXT.replace("Test:", "Kernel: other\nTest:")).is_err());
    }

    #[test]
    fn a_mutation_changes_the_driver_alone() {
        assert!(parsed(&TEXT.replace("b/driver/pool.rs", "b/tests/src/lib.rs")).is_err());
    }
}
