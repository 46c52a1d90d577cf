// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reading what Rust's test programs print.

use std::collections::BTreeMap;

/// Sums over test programs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Names of tests that did not run, with the reason that the test gives.
    pub(crate) ignored: BTreeMap<String, String>,
    /// Test programs that printed a result.
    pub(crate) results: u64,
}

impl Totals {
    /// Takes account of one line of a program's output; `program` qualifies its tests' names.
    pub(crate) fn line(&mut self, program: &str, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.results += 1;
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
        } else if let Some((name, state)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.rsplit_once(" ... "))
        {
            if let Some(reason) = state.strip_prefix("ignored") {
                let reason = reason.trim_start_matches(", ").to_owned();
                self.ignored.insert(format!("{program}::{name}"), reason);
            }
        }
    }

    /// Adds other sums to these.
    pub(crate) fn add(&mut self, other: Totals) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.results += other.results;
        self.ignored.extend(other.ignored);
    }
}

/// The number before `word` in `ok. 5 passed; 0 failed; …`.
fn count(counts: &str, word: &str) -> u64 {
    counts
        .split([';', '.'])
        .find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(output: &str) -> Totals {
        let mut totals = Totals::default();
        output.lines().for_each(|line| totals.line("mmap", line));
        totals
    }

    #[test]
    fn adds_up_the_results_of_several_programs() {
        let got = totals(
            "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; \
             finished in 0.00s\n\
             test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out\n",
        );
        assert_eq!((got.passed, got.failed, got.results), (13, 1, 2));
    }

    #[test]
    fn names_ignored_tests_with_their_reason() {
        let got = totals("test deep::zeroes ... ignored, needs hardware\ntest b ... ignored\n");
        assert_eq!(got.ignored["mmap::deep::zeroes"], "needs hardware");
        assert_eq!(got.ignored["mmap::b"], "");
    }

    #[test]
    fn a_program_that_died_has_no_result() {
        assert_eq!(totals("running 2 tests\ntest a ... ok\n").results, 0);
    }
}
