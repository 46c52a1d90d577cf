// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tests that `tests/README.md` names exist.

use std::fs;

use anyhow::{bail, Context as _, Result};

use crate::context::Context;
use crate::programs::has_test;

const PAGE: &str = "tests/README.md";

/// Fails with the names of tests that do not exist.
pub(crate) fn check(context: &Context) -> Result<()> {
    let text = fs::read_to_string(context.root.join(PAGE)).context(PAGE)?;
    let mut missing = Vec::new();
    let mut count = 0;
    for (program, test) in tests_in(&text) {
        count += 1;
        if !has_test(&context.root, program, test) {
            missing.push(format!("{program}::{test}"));
        }
    }
    if count == 0 || !missing.is_empty() {
        bail!(
            "{PAGE} names {count} tests; these do not exist: {}",
            missing.join(", ")
        );
    }
    Ok(())
}

/// What stands between backticks and has the form of a program and its test.
fn tests_in(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|word| word.split_once("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_stand_between_backticks() {
        let found: Vec<_> = tests_in("| a::b | `cargo x`, `free::twice`, `log` |").collect();
        assert_eq!(found, [("free", "twice")]);
    }
}
