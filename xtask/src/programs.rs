// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs of the workspace, built for the guest.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{bail, Context as _, Result};
use serde_json::Value;

use crate::context::Context;
use crate::ui::Step;

/// An executable for the guest.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Builds a package's programs, statically linked.
pub(crate) fn examples(context: &Context) -> Result<Vec<Program>> {
    build(
        context,
        "build",
        &["--package", "fpgamem-examples", "--bins"],
        "build the example programs",
    )
}

/// Builds the guest's test programs, one per file of `tests/tests/`.
pub(crate) fn tests(context: &Context) -> Result<Vec<Program>> {
    let arguments = ["--package", "fpgamem-tests", "--tests", "--no-run"];
    build(context, "test", &arguments, "build the guest's tests")
}

/// Builds the programs with a wrong sync each.
pub(crate) fn mistakes(context: &Context) -> Result<Vec<Program>> {
    let arguments = ["--package", "fpgamem-mistakes", "--bins"];
    build(
        context,
        "build",
        &arguments,
        "build the programs with mistakes",
    )
}

fn build(
    context: &Context,
    subcommand: &str,
    arguments: &[&str],
    what: &str,
) -> Result<Vec<Program>> {
    let step = Step::start(what);
    let mut command = context.tools.guest_cargo(subcommand);
    command.current_dir(&context.root).args(arguments);
    command.args(["--quiet", "--message-format=json-render-diagnostics"]);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!(
            "cargo {subcommand} for {} failed ({})",
            context.tools.target,
            output.status
        );
    }
    let programs = executables(&String::from_utf8_lossy(&output.stdout))?;
    step.done();
    Ok(programs)
}

/// The executables in Cargo's messages, one JSON object per line.
fn executables(messages: &str) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line).context("cargo's message is no JSON")?;
        let (Some(path), Some(name)) = (
            message["executable"].as_str(),
            message["target"]["name"].as_str(),
        ) else {
            continue;
        };
        programs.push(Program {
            name: name.to_owned(),
            path: PathBuf::from(path),
        });
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_executables_and_leaves_libraries() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"lib"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"replay"},"executable":"/t/replay"}
{"reason":"build-finished","success":true}
"#;
        let found = executables(messages).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].path.to_str()),
            ("replay", Some("/t/replay"))
        );
    }
}
