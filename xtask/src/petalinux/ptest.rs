// SPDX-License-Identifier: MIT OR Apache-2.0

//! The package of tests, as the class `ptest-cargo` makes it: a folder with programs, and the script
//! `run-ptest` that runs them.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context as _, Result};
use serde_json::Value;

use super::steps::Work;
use crate::context::Context;
use crate::process::{capture, run_logged};
use crate::toolchain::{GLIBC, LLVM};
use crate::ui::Step;

/// The recipe, below the layer.
const RECIPE: &str = "recipes-support/libfpgamem/fpgamem-tests";

/// Where the package is.
const PTEST_PATH: &str = "usr/lib/fpgamem-tests/ptest";

/// The programs that are built here. The others are run by the guest's stages, statically linked.
const PROGRAMS: [&str; 4] = ["alloc", "info", "library", "module"];

/// A program that the recipe leaves out.
const LEFT_OUT: &str = "bad_device_tree";

/// Builds and installs the package; the folder with what it installs.
pub(super) fn tests(context: &Context) -> Result<PathBuf> {
    let step = Step::start("build the tests by their recipe");
    let mut work = Work::unpack(context, RECIPE)?;
    let list = work.image.with_file_name("test_binaries_list");
    let shown = list.display().to_string();
    work.know("CARGO_TEST_BINARIES_FILES", shown);
    let mut cargo = context.cargo();
    cargo.args(["build", "--locked", "--release", "--target", GLIBC]);
    cargo.args(["--message-format", "json"]);
    cargo.args(work.get("CARGO_BUILD_FLAGS")?.split_whitespace());
    for program in PROGRAMS.iter().chain([&LEFT_OUT]) {
        cargo.args(["--test", program]);
    }
    cargo.envs(context.tools.for_glibc()?);
    let mut built = String::new();
    run_logged(&mut cargo, &work.log, |line| {
        if let Some(path) = executable(line) {
            built.push_str(&path);
            built.push('\n');
        }
    })?;
    fs::write(&list, built)?;
    let function = work.get("do_compile_ptest_cargo[postfuncs]")?;
    work.run(&function)?;
    let programs = fs::read_to_string(&list)?;
    install(&work, programs.lines().map(Path::new).collect())?;
    step.done();
    Ok(work.image)
}

/// The test program that Cargo says it has built.
fn executable(line: &str) -> Option<String> {
    let message: Value = serde_json::from_str(line).ok()?;
    let test = message["target"]["test"].as_bool()?;
    let path = message["executable"].as_str()?;
    test.then(|| path.to_owned())
}

/// What the class does with the programs that the recipe has left in.
fn install(work: &Work, programs: Vec<&Path>) -> Result<()> {
    let count = PROGRAMS.len();
    if programs.len() != count {
        bail!("{count} programs are to be packaged, and the recipe packages {programs:?}");
    }
    let folder = work.image.join(PTEST_PATH);
    fs::create_dir_all(&folder)?;
    let arguments = work.get("RUST_TEST_ARGS")?;
    let mut script = "#!/bin/sh\nrc=0\n".to_owned();
    for program in programs {
        let name = program.file_name().context("a program has a name")?;
        // A package has no symbols.
        let mut strip = Command::new(format!("llvm-strip-{LLVM}"));
        capture(strip.arg("-o").args([&folder.join(name), program]))?;
        let path = format!("/{PTEST_PATH}/{}", name.to_string_lossy());
        writeln!(
            script,
            "if ! {path} {arguments}\nthen\n    rc=1\n    echo \"FAIL: {path}\"\nelse\n    echo \"PASS: {path}\"\nfi"
        )?;
    }
    script.push_str("exit $rc\n");
    let path = folder.join("run-ptest");
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
