// SPDX-License-Identifier: MIT OR Apache-2.0

//! The example programs in the guest: shown to a person, and checked.

use anyhow::{bail, Result};

use crate::cache_model::CacheModel;
use crate::context::Context;
use crate::guest::{self, Job, MachineArgs, HARNESS_FAILED};
use crate::kernel::{self, Kernel, KernelArgs};
use crate::programs;
use crate::qemu::Program;

/// A guest that takes longer hangs.
const TIMEOUT_SECONDS: u64 = 300;

/// `cargo xtask demo`: the exit status for the process.
pub(crate) fn main(context: &Context, args: &KernelArgs) -> Result<i32> {
    let kernel = kernel::build(context, args)?;
    let job = job(context, &kernel, "demo")?;
    println!("Booting QEMU's ZynqMP with Linux, the driver and two example programs.\n");
    match guest::run(context, &kernel, &job, Program::Foreground)? {
        Ok(status) => Ok(status),
        Err(why) => {
            eprintln!("{why}");
            Ok(HARNESS_FAILED)
        }
    }
}

/// Runs the examples and their negative controls, as `cargo xtask test` does.
pub(crate) fn check(
    context: &Context,
    kernel: &Kernel,
    cache_model: Option<CacheModel>,
) -> Result<()> {
    let job = Job {
        cache_model,
        ..job(context, kernel, "check-examples")?
    };
    let (outcome, output) = guest::run_printed(context, kernel, &job)?;
    match outcome {
        Ok(0) => Ok(()),
        Ok(_) => bail!("an example did not end as it must:\n{output}"),
        Err(why) => bail!("{why}\nwhat the examples printed:\n{output}"),
    }
}

/// A run of one of the scripts in `xtask/guest`, with the examples at hand.
fn job(context: &Context, kernel: &Kernel, script: &str) -> Result<Job> {
    let mut files = guest::base_files(context, kernel, &programs::examples(context)?)?;
    let host = context.root.join("xtask/guest").join(script);
    files.add(&host, &format!("/usr/local/bin/{script}"))?;
    let machine = MachineArgs::for_tests(2, TIMEOUT_SECONDS);
    Ok(Job {
        command: vec![script.to_owned()],
        files,
        machine,
        cache_model: None,
    })
}
