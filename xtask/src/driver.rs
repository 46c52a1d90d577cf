// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel module.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::cache::{self, Key};
use crate::context::Context;
use crate::kernel::{make, Kernel};
use crate::process::run_logged;
use crate::ui::Step;

/// Which checks the compiler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    Compiler,
    Clippy,
}

/// Builds `driver/` against a kernel and returns the module file.
///
/// The build tree is in the build folder; make sees to what changed, unless nothing did.
pub(crate) fn build(context: &Context, kernel: &Kernel, checks: Checks) -> Result<PathBuf> {
    let source = context.root.join("driver");
    let (name, clippy) = match checks {
        Checks::Compiler => ("driver", None),
        Checks::Clippy => ("driver-clippy", Some("CLIPPY=1")),
    };
    let out = context.target.join(name).join(&kernel.id);
    fs::create_dir_all(&out)?;
    let _lock = cache::lock(&out.with_extension("lock"))?;
    let module = out.join("fpgamem.ko");
    let stamp = out.join("built-from");
    let content = Key::default().tree("driver", &source)?.hash();
    let same = fs::read_to_string(&stamp).is_ok_and(|old| old == content);
    if same && module.is_file() {
        return Ok(module);
    }
    let mut step = Step::start(format!("build the {name}"));
    let _ = fs::remove_file(&stamp);
    let mut command = make(&context.tools, &kernel.out);
    command
        .arg(format!("M={}", source.display()))
        .arg(format!("MO={}", out.display()));
    command.args(clippy).arg("modules");
    run_logged(&mut command, &out.with_extension("log"), |line| {
        step.progress(|| line.trim().chars().take(60).collect());
    })?;
    fs::metadata(&module).with_context(|| format!("make left no {}", module.display()))?;
    fs::write(&stamp, content)?;
    step.done();
    Ok(module)
}
