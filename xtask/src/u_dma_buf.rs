// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask u-dma-buf`: runs the library on the u-dma-buf of a user's checkout.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};

use crate::cache;
use crate::context::Context;
use crate::guest::{self, Job, MachineArgs, HARNESS_FAILED};
use crate::kernel::{self, make, Kernel, KernelArgs};
use crate::process::run_logged;
use crate::programs;
use crate::qemu::Program;
use crate::ui::Step;

/// What the checkout is compiled from.
const SOURCES: [&str; 3] = ["Makefile", "u-dma-buf.c", "u-dma-buf-ioctl.h"];

/// What the guest runs: frames go through the ZDMA and come out right.
const SCRIPT: &str = "\
set -e
insmod /usr/local/lib/u-dma-buf.ko udmabuf0=1048576
stream --u-dma-buf /dev/udmabuf0
stream --u-dma-buf /dev/udmabuf0 --frame 16384
rmmod u-dma-buf
";

/// Options of `cargo xtask u-dma-buf`.
#[derive(Debug, clap::Args)]
pub(crate) struct UDmaBufArgs {
    /// A checkout of u-dma-buf (ikwzm/udmabuf), 5.x; nothing in it is changed
    #[arg(long, value_name = "DIR")]
    source: PathBuf,
    #[command(flatten)]
    kernel: KernelArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

/// `cargo xtask u-dma-buf`: the exit status for the process.
pub(crate) fn main(context: &Context, args: &UDmaBufArgs) -> Result<i32> {
    let kernel = kernel::build(context, &args.kernel)?;
    let module = build(context, &kernel, &args.source)?;
    let mut files = guest::base_files(context, &kernel, &programs::examples(context)?)?;
    files.add(&module, "/usr/local/lib/u-dma-buf.ko")?;
    let job = Job {
        command: ["sh", "-c", SCRIPT].map(str::to_owned).to_vec(),
        files,
        machine: args.machine.clone(),
        cache_model: None,
    };
    match guest::run(context, &kernel, &job, Program::Foreground)? {
        Ok(status) => Ok(status),
        Err(why) => {
            eprintln!("{why}");
            Ok(HARNESS_FAILED)
        }
    }
}

/// Builds a copy of a checkout's module against a kernel, and gives the module.
pub(crate) fn build(context: &Context, kernel: &Kernel, source: &Path) -> Result<PathBuf> {
    let folder = context.target.join("u-dma-buf");
    let copy = folder.join(&kernel.id);
    fs::create_dir_all(&copy)?;
    // Two runs at once take turns.
    let _lock = cache::lock(&folder.join("lock"))?;
    for name in SOURCES {
        fs::copy(source.join(name), copy.join(name)).with_context(|| {
            format!(
                "is {} a checkout of ikwzm/udmabuf? {name}",
                source.display()
            )
        })?;
    }
    let mut step = Step::start("build u-dma-buf");
    let mut command = make(&context.tools, &kernel.out);
    command.arg(format!("M={}", copy.display()));
    command.args(["CONFIG_U_DMA_BUF=m", "modules"]);
    run_logged(&mut command, &folder.join("build.log"), |line| {
        step.progress(|| line.trim().chars().take(60).collect());
    })?;
    step.done();
    let module = copy.join("u-dma-buf.ko");
    if !module.is_file() {
        bail!("make left no {}", module.display());
    }
    Ok(module)
}
