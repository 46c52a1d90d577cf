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
    let content = Key::default().tree("driver", &source)?.hash();
    let (name, options) = match checks {
        Checks::Compiler => ("driver", vec![]),
        Checks::Clippy => ("driver-clippy", vec!["CLIPPY=1".to_owned()]),
    };
    let module = Module {
        name: name.to_owned(),
        file: "fpgamem.ko",
        source,
        content,
        options,
    };
    module.build(context, kernel)
}

/// Modules that build on the driver: where their sources are, and what make makes of them.
const ACCELERATORS: [(&str, &str); 2] = [
    ("driver/samples/pe-bypass", "fpgamem_pe_bypass.ko"),
    ("tests/pe-probe", "fpgamem_pe_probe.ko"),
];

/// Builds the sample driver of an accelerator, and that of the tests, and returns the module files.
pub(crate) fn accelerators(context: &Context, kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let driver = build(context, kernel, Checks::Compiler)?;
    let symbols = driver.with_file_name("Module.symvers");
    let exported = fs::read_to_string(&symbols)?;
    let include = context.root.join("driver/include");
    let build = |(source, file): (&str, &'static str)| {
        let source = context.root.join(source);
        let content = Key::default()
            .tree("source", &source)?
            .tree("include", &include)?
            .part("symbols", &exported);
        let folder = source.file_name().unwrap_or_default();
        let module = Module {
            name: folder.to_string_lossy().into_owned(),
            file,
            content: content.hash(),
            source,
            options: vec![
                format!("FPGAMEM_INCLUDE={}", include.display()),
                format!("KBUILD_EXTRA_SYMBOLS={}", symbols.display()),
            ],
        };
        module.build(context, kernel)
    };
    ACCELERATORS.into_iter().map(build).collect()
}

/// A module and how to build it.
struct Module {
    /// Of the build tree.
    name: String,
    /// What make makes.
    file: &'static str,
    source: PathBuf,
    /// Stands for everything that it is made of.
    content: String,
    options: Vec<String>,
}

impl Module {
    /// Builds the module unless that is done, and returns the file.
    fn build(&self, context: &Context, kernel: &Kernel) -> Result<PathBuf> {
        let out = context.target.join(&self.name).join(&kernel.id);
        fs::create_dir_all(&out)?;
        let _lock = cache::lock(&out.with_extension("lock"))?;
        let module = out.join(self.file);
        let stamp = out.join("built-from");
        let same = fs::read_to_string(&stamp).is_ok_and(|old| old == self.content);
        if same && module.is_file() {
            return Ok(module);
        }
        let mut step = Step::start(format!("build the {}", self.name));
        let _ = fs::remove_file(&stamp);
        let mut command = make(&context.tools, &kernel.out);
        command
            .arg(format!("M={}", self.source.display()))
            .arg(format!("MO={}", out.display()));
        command.args(&self.options).arg("modules");
        run_logged(&mut command, &out.with_extension("log"), |line| {
            step.progress(|| line.trim().chars().take(60).collect());
        })?;
        fs::metadata(&module).with_context(|| format!("make left no {}", module.display()))?;
        fs::write(&stamp, &self.content)?;
        step.done();
        Ok(module)
    }
}
