// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks of the library with other toolchains than the one at hand, which rustup installs.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::guest_tests::Report;
use crate::process::{capture, on_path, run, run_logged};
use crate::ui::Step;

/// What recipes build with the oldest compiler that is supported.
const FOR_RECIPES: [&str; 4] = ["fpgamem-shared", "fpgamem", "fpgamem-capi", "fpgamem-tool"];

/// What of it runs under Miri: the block map has no unsafe code, and the others are for C and for boards.
const FOR_MIRI: &str = "fpgamem";

/// The programs that must not compile.
pub(crate) const MISUSE: &str = "fpgamem-misuse";

/// What Miri needs to be told: what a device owns is leaked on purpose, and the library asks for the
/// time and for the process.
const MIRI_FLAGS: &str = "-Zmiri-ignore-leaks -Zmiri-disable-isolation";

/// Builds what recipes build, and what must not compile, with the oldest compiler that `Cargo.toml`
/// promises.
pub(crate) fn oldest_compiler(context: &Context) -> Result<Report> {
    let manifest = fs::read_to_string(context.root.join("Cargo.toml"))?;
    let oldest = rust_version(&manifest).context("Cargo.toml has no rust-version")?;
    if !have(oldest, &[])? {
        return Ok(without_rustup(oldest));
    }
    let mut cargo = cargo(context, oldest, "oldest-compiler");
    cargo.args(["check", "--locked", "--quiet"]);
    for package in FOR_RECIPES {
        cargo.args(["-p", package]);
    }
    run(&mut cargo)?;
    misuse(context, oldest)
}

/// What safe code must not do does not compile, with the messages of a compiler that stays the same.
fn misuse(context: &Context, toolchain: &str) -> Result<Report> {
    let mut cargo = cargo(context, toolchain, "oldest-compiler");
    cargo.args(["test", "--locked", "--quiet", "-p", MISUSE]);
    let mut report = Report::default();
    let log = context.target.join("misuse.log");
    let result = run_logged(&mut cargo, &log, |line| report.totals.line("misuse", line));
    let problem = result.err().map(|error| format!("{error:#}"));
    report.problems.extend(problem);
    Ok(report)
}

/// Runs the library's own tests, on the emulated device, under Miri.
pub(crate) fn miri(context: &Context) -> Result<Report> {
    if !have("nightly", &["miri", "rust-src"])? {
        return Ok(without_rustup("nightly"));
    }
    let mut cargo = cargo(context, "nightly", "miri");
    cargo.args(["miri", "test", "--lib", "-p", FOR_MIRI]);
    cargo.env("MIRIFLAGS", MIRI_FLAGS);
    let mut report = Report::default();
    let log = context.target.join("miri.log");
    let result = run_logged(&mut cargo, &log, |line| report.totals.line("miri", line));
    let problem = result.err().map(|error| format!("{error:#}"));
    report.problems.extend(problem);
    Ok(report)
}

/// Sees that rustup has a toolchain with components; false where there is no rustup.
fn have(toolchain: &str, components: &[&str]) -> Result<bool> {
    if !on_path("rustup") {
        return Ok(false);
    }
    let mut list = Command::new("rustup");
    list.args(["component", "list", "--installed", "--toolchain", toolchain]);
    let installed = capture(&mut list).unwrap_or_default();
    let has = |name: &&str| installed.lines().any(|line| line.starts_with(*name));
    if !installed.is_empty() && components.iter().all(has) {
        return Ok(true);
    }
    let step = Step::start(format!("rustup: install {toolchain}"));
    let mut install = Command::new("rustup");
    install.args(["toolchain", "install", toolchain, "--profile", "minimal"]);
    install.arg("--no-self-update");
    for component in components {
        install.args(["--component", component]);
    }
    run(&mut install)?;
    step.done();
    Ok(true)
}

/// Cargo of a toolchain, with a build folder of its own.
fn cargo(context: &Context, toolchain: &str, folder: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, "cargo"]);
    command.current_dir(&context.root);
    command.env("CARGO_TARGET_DIR", context.target.join(folder));
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}

fn without_rustup(toolchain: &str) -> Report {
    Report {
        skipped: Some(format!("there is no rustup to install {toolchain} with")),
        ..Report::default()
    }
}

/// The workspace's `rust-version`.
fn rust_version(manifest: &str) -> Option<&str> {
    let mut lines = manifest.lines();
    let value = lines.find_map(|line| line.strip_prefix("rust-version = \""))?;
    value.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::rust_version;

    #[test]
    fn the_oldest_compiler_is_read_from_the_workspace() {
        let manifest = "[workspace.package]\nedition = \"2021\"\nrust-version = \"1.75\"\n";
        assert_eq!(rust_version(manifest), Some("1.75"));
        assert_eq!(rust_version("[package]\n"), None);
    }
}
