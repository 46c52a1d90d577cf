// SPDX-License-Identifier: MIT OR Apache-2.0

//! Plugins of QEMU, built for this machine.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{bail, Context as _, Result};
use serde_json::Value;

use crate::context::Context;
use crate::ui::Step;

/// Builds a package that is a plugin, and returns the shared library.
pub(crate) fn build(context: &Context, package: &str, what: &str) -> Result<PathBuf> {
    let step = Step::start(what);
    let mut cargo = context.cargo();
    cargo.args(["build", "--release", "--package", package]);
    cargo.args(["--quiet", "--message-format=json-render-diagnostics"]);
    cargo.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = cargo.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("{package} does not build ({})", output.status);
    }
    let library = library(&String::from_utf8_lossy(&output.stdout), package)?;
    step.done();
    Ok(library)
}

/// The shared library of a package in Cargo's messages, one JSON object per line.
fn library(messages: &str, package: &str) -> Result<PathBuf> {
    let file = format!("lib{}.so", package.replace('-', "_"));
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line).context("cargo's message is no JSON")?;
        let files = message["filenames"].as_array().into_iter().flatten();
        let mut files = files.filter_map(Value::as_str);
        if let Some(name) = files.find(|name| name.ends_with(&file)) {
            return Ok(PathBuf::from(name));
        }
    }
    bail!("cargo names no library of {package}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_in_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","filenames":["/t/release/libserde.rlib"]}
{"reason":"compiler-artifact","filenames":["/t/release/libfpgamem_cachemodel.so"]}
"#;
        let found = library(messages, "fpgamem-cachemodel").unwrap();
        assert_eq!(found, PathBuf::from("/t/release/libfpgamem_cachemodel.so"));
        assert!(library(messages, "fpgamem-lock-holds").is_err());
        assert!(library("", "fpgamem-cachemodel").is_err());
    }
}
