// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fuzzer of the driver's ABI, in the guest.

use anyhow::Result;

use crate::context::Context;
use crate::guest::{self, Job, MachineArgs, HARNESS_FAILED};
use crate::kernel::{self, KernelArgs};
use crate::programs;
use crate::qemu::Program;

/// A region that random buffers fill and fragment.
const REGION_BYTES: u64 = 8 << 20;

/// Options of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArgs {
    #[command(flatten)]
    kernel: KernelArgs,
    /// Names the sequence
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Length of the sequence
    #[arg(long, value_name = "N", default_value_t = 150_000)]
    operations: u64,
    /// End a run that takes longer
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    timeout: u64,
}

/// `cargo xtask fuzz`: the exit status for the process.
pub(crate) fn main(context: &Context, args: &FuzzArgs) -> Result<i32> {
    let kernel = kernel::build(context, &args.kernel)?;
    let mut files = guest::base_files(context, &kernel, &[])?;
    for program in programs::fuzz(context)? {
        files.add(&program.path, &format!("/usr/local/bin/{}", program.name))?;
    }
    let mut machine = MachineArgs::for_tests(2, args.timeout);
    machine.region = Some(REGION_BYTES);
    let (seed, operations) = (args.seed.to_string(), args.operations.to_string());
    let command = ["fuzz", "--seed", &seed, "--operations", &operations];
    let job = Job {
        command: command.map(str::to_owned).to_vec(),
        files,
        machine,
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
