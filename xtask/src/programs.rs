// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs of the workspace, built for the guest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, Context as _, Result};
use serde_json::Value;

use crate::compat;
use crate::context::Context;
use crate::process::capture;
use crate::toolchain::LLVM;
use crate::ui::Step;

/// An executable for the guest, without symbols: they would make the initramfs ten times as large.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// The extension of an executable whose symbols are in the file of the same name without it.
const STRIPPED: &str = "stripped";

/// The file with the symbols of an executable.
pub(crate) fn with_symbols(path: &Path) -> PathBuf {
    match path.extension() {
        Some(extension) if extension == STRIPPED => path.with_extension(""),
        _ => path.to_owned(),
    }
}

/// Makes a copy without symbols, unless it is there.
fn strip(path: &Path) -> Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(STRIPPED);
    let copy = path.with_file_name(name);
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    if !matches!((changed(path), changed(&copy)), (Ok(from), Ok(to)) if from <= to) {
        // Under another name first: another xtask may be reading the copy.
        let new = copy.with_extension(format!("{STRIPPED}-{}", std::process::id()));
        let mut strip = Command::new(format!("llvm-strip-{LLVM}"));
        capture(strip.arg("-o").arg(&new).arg(path))?;
        fs::rename(&new, &copy)?;
    }
    Ok(copy)
}

/// Builds the examples and the command `fpgamem`, statically linked.
pub(crate) fn examples(context: &Context) -> Result<Vec<Program>> {
    let packages = ["--package", "fpgamem-examples", "--package", "fpgamem-tool"];
    let arguments = [&packages[..], &["--bins"]].concat();
    build(context, "build", &arguments, "build the example programs")
}

/// Builds the guest's test programs: one per file of `tests/tests/`, and that of 32 bits.
pub(crate) fn tests(context: &Context) -> Result<Vec<Program>> {
    let arguments = ["--package", "fpgamem-tests", "--tests", "--no-run"];
    let mut programs = build(context, "test", &arguments, "build the guest's tests")?;
    programs.push(compat::build(context)?);
    Ok(programs)
}

/// Whether a test program's source below `root` has a test of that name.
pub(crate) fn has_test(root: &Path, program: &str, test: &str) -> bool {
    if program == compat::NAME {
        return compat::has_test(root, test);
    }
    let source = root.join(format!("tests/tests/{program}.rs"));
    let source = fs::read_to_string(source).unwrap_or_default();
    source.contains(&format!("#[test]\nfn {test}()"))
}

/// Builds the programs with a wrong sync each.
pub(crate) fn mistakes(context: &Context) -> Result<Vec<Program>> {
    let arguments = ["--package", "fpgamem-mistakes", "--bins"];
    let what = "build the programs with mistakes";
    build(context, "build", &arguments, what)
}

/// The program of `cachemodel/situations`.
pub(crate) const SITUATIONS: &str = "fpgamem-situations";

/// Builds the mistakes that the cache model must find.
pub(crate) fn situations(context: &Context) -> Result<Vec<Program>> {
    let what = "build the situations for the cache model";
    build(context, "build", &["--package", SITUATIONS, "--bins"], what)
}

/// Builds the fuzzer of the driver's ABI.
pub(crate) fn fuzz(context: &Context) -> Result<Vec<Program>> {
    let arguments = ["--package", "fpgamem-fuzz", "--bins"];
    build(context, "build", &arguments, "build the fuzzer")
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
    let mut programs = executables(&String::from_utf8_lossy(&output.stdout))?;
    for program in &mut programs {
        program.path = strip(&program.path)?;
    }
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
    fn symbols_are_beside_what_has_none() {
        let symbols = |path: &str| with_symbols(Path::new(path));
        assert_eq!(symbols("/t/mmap-12.stripped"), PathBuf::from("/t/mmap-12"));
        assert_eq!(symbols("/t/own.program"), PathBuf::from("/t/own.program"));
    }

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
