// SPDX-License-Identifier: MIT OR Apache-2.0

//! The committed counts, and what has become worse since.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::sample::{parse_all, Sample};
use super::table::grouped;

/// By how many hundredths a count may grow.
const MOST_PERCENT: u64 = 10;

/// What makes the committed counts those of now.
const UPDATE: &str = "cargo xtask bench --update-baseline";

/// The committed file.
pub(crate) fn path(root: &Path) -> PathBuf {
    root.join("xtask/bench-baseline.jsonl")
}

/// Reads the committed counts.
pub(crate) fn read(root: &Path) -> Result<Vec<Sample>> {
    let path = path(root);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("no {}; `{UPDATE}` makes it", path.display()))?;
    parse_all(text.lines()).with_context(|| path.display().to_string())
}

/// What of `now` is worse than in `baseline`, or in one of them alone; empty if nothing is.
pub(crate) fn compare(baseline: &[Sample], now: &[Sample]) -> Vec<String> {
    let mut old: BTreeMap<_, _> = baseline
        .iter()
        .map(|sample| (&sample.key, sample))
        .collect();
    let mut problems = Vec::new();
    for sample in now {
        let Some(before) = old.remove(&sample.key) else {
            problems.push(format!("{}: not in the baseline", sample.key));
            continue;
        };
        let before: BTreeMap<_, _> = before.counts().collect();
        for (name, count) in sample.counts() {
            match before.get(name) {
                Some(&before) if !is_worse(before, count) => {}
                Some(&before) => problems.push(format!(
                    "{}: {} {name}, {} in the baseline",
                    sample.key,
                    grouped(count),
                    grouped(before)
                )),
                None => problems.push(format!("{}: no {name} in the baseline", sample.key)),
            }
        }
    }
    problems.extend(
        old.keys()
            .map(|key| format!("{key}: not measured any more")),
    );
    if !problems.is_empty() {
        problems.push(format!(
            "what is right so goes into the baseline by `{UPDATE}`, in the same change"
        ));
    }
    problems
}

fn is_worse(before: u64, now: u64) -> bool {
    now.saturating_mul(100) > before.saturating_mul(100 + MOST_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::super::sample::tests::life;
    use super::*;

    #[test]
    fn a_tenth_more_is_tolerated_and_no_more() {
        let old = [life("x", 1, 1000)];
        assert_eq!(compare(&old, &[life("x", 1, 1100)]), [""; 0]);
        assert_eq!(compare(&old, &[life("x", 1, 10)]), [""; 0]);
        let problems = compare(&old, &[life("x", 1, 1101)]);
        let [first, how] = &problems[..] else {
            panic!("{problems:?}");
        };
        assert!(
            first.contains("1,101 instructions, 1,000 in the baseline"),
            "{first}"
        );
        assert!(how.contains(UPDATE));
    }

    #[test]
    fn a_fault_where_there_was_none_is_worse() {
        let mut old = life("x", 1, 1000);
        old.faults = 0;
        let problems = compare(&[old], &[life("x", 1, 1000)]);
        assert!(
            problems[0].contains("4 faults, 0 in the baseline"),
            "{problems:?}"
        );
    }

    #[test]
    fn what_comes_and_what_goes_must_be_committed() {
        let problems = compare(&[life("x", 1, 1)], &[life("x", 2, 1)]);
        assert!(problems[0].contains("2 bytes") && problems[0].contains("not in the baseline"));
        assert!(problems[1].contains("1 bytes") && problems[1].contains("not measured"));
    }
}
