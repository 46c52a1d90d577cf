// SPDX-License-Identifier: MIT OR Apache-2.0

//! Paddle-Lite's own memory calls, from a checkout of the user's, on the driver in the guest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Result};

use crate::cache_model::CacheModelArgs;
use crate::context::Context;
use crate::guest::{self, Job, MachineArgs, HARNESS_FAILED};
use crate::kernel::{self, KernelArgs};
use crate::process::run;
use crate::qemu::Program;
use crate::ui::Step;
use crate::{cache, setup};

/// Where Paddle-Lite keeps what speaks to the driver.
const LLAPI: &str = "lite/backends/fpga/KD/llapi";

/// What of it is compiled: the calls, and a user of them that is the same in all versions.
const SOURCES: [&str; 2] = ["zynqmp_api.cpp", "bias_scale.cpp"];

/// The project's program that makes the calls.
const CLIENT: &str = "tests/paddle-client/main.cpp";

const COMPILER: &str = "aarch64-linux-gnu-g++";

/// Options of `cargo xtask paddle`.
#[derive(Debug, clap::Args)]
pub(crate) struct PaddleArgs {
    /// A checkout of Paddle-Lite, any version from 2.0 to 2.12-rc; nothing in it is changed
    #[arg(long, value_name = "DIR")]
    source: PathBuf,
    #[command(flatten)]
    kernel: KernelArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    cache_model: CacheModelArgs,
}

/// `cargo xtask paddle`: the exit status for the process.
pub(crate) fn main(context: &Context, args: &PaddleArgs) -> Result<i32> {
    let folder = context.target.join("paddle");
    fs::create_dir_all(&folder)?;
    // Two runs at once take turns.
    let _lock = cache::lock(&folder.join("lock"))?;
    let program = compile(context, &args.source, &folder)?;
    let kernel = kernel::build(context, &args.kernel)?;
    let mut files = guest::base_files(context, &kernel, &[])?;
    files.add(&program, "/usr/local/bin/paddle-client")?;
    let command = [
        "paddle-client",
        "/data/mobilenetv1.trace",
        "/data/resnet50.trace",
    ];
    let job = Job {
        command: command.map(str::to_owned).to_vec(),
        files,
        machine: args.machine.clone(),
        cache_model: args.cache_model.prepare(context)?,
    };
    match guest::run(context, &kernel, &job, Program::Foreground)? {
        Ok(status) => Ok(status),
        Err(why) => {
            eprintln!("{why}");
            Ok(HARNESS_FAILED)
        }
    }
}

/// Compiles the checkout's sources as they are, links them with the project's program, and gives the
/// executable.
fn compile(context: &Context, source: &Path, folder: &Path) -> Result<PathBuf> {
    let llapi = source.join(LLAPI);
    if let Some(name) = SOURCES.iter().find(|name| !llapi.join(name).is_file()) {
        bail!(
            "{} has no {LLAPI}/{name}: is it a checkout of Paddle-Lite, tag v2.0.0 to v2.11?",
            source.display()
        );
    }
    setup::install_missing(
        &context.cache,
        &[("compile Paddle-Lite's sources", &["g++-aarch64-linux-gnu"])],
    )?;
    let step = Step::start("compile Paddle-Lite's memory calls");
    let mut objects = Vec::new();
    let sources = SOURCES.iter().map(|name| llapi.join(name));
    for (number, file) in sources.chain([context.root.join(CLIENT)]).enumerate() {
        let object = folder.join(format!("{number}.o"));
        // A function of versions 2.0 and 2.1 ends without its return value, which an optimiser takes
        // for a promise that it never ends.
        let theirs = number < SOURCES.len();
        let mut compiler = Command::new(COMPILER);
        compiler.args(["-std=c++14", if theirs { "-O0" } else { "-O2" }]);
        // The sources rely on headers that included each other, and on what compilers put up with.
        compiler.args(["-w", "-fpermissive", "-include", "cerrno"]);
        compiler.args(["-include", "cstdint", "-I"]).arg(source);
        compiler.arg("-c").arg(&file).arg("-o").arg(&object);
        run(&mut compiler)?;
        objects.push(object);
    }
    let program = folder.join("paddle-client");
    let mut linker = Command::new(COMPILER);
    linker.args(["-static", "-pthread", "-s", "-o"]);
    run(linker.arg(&program).args(&objects))?;
    step.done();
    Ok(program)
}
