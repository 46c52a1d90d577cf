// SPDX-License-Identifier: MIT OR Apache-2.0

//! Booting the guest, running one command in it, and judging the run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cache_model::{CacheModel, CacheModelArgs, Session};
use crate::context::Context;
use crate::initramfs::{self, Files};
use crate::kernel::{self, Kernel, KernelArgs};
use crate::programs;
use crate::qemu::{self, Machine, Plugin, Program};
use crate::{board, console, driver, ui};

/// Exit status of xtask when the run itself failed, whatever the command did.
pub(crate) const HARNESS_FAILED: i32 = 69;

/// Lines of the console that a failed run shows.
const TAIL_LINES: usize = 40;

/// Options of `cargo xtask guest`.
#[derive(Debug, clap::Args)]
pub(crate) struct GuestArgs {
    #[command(flatten)]
    kernel: KernelArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    cache_model: CacheModelArgs,
    /// Put a file or folder into the guest; by default programs go to /bin, others to /data
    #[arg(long, value_name = "HOST[:GUEST]")]
    add: Vec<String>,
    /// What to run in the guest, with its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Options of the emulated machine.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct MachineArgs {
    /// Size of the reserved region in bytes, a multiple of the block size
    #[arg(long, value_name = "BYTES")]
    pub(crate) region: Option<u64>,
    /// Processors; 1 with --icount if it is not given
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        default_value_if("icount", "true", "1"),
        value_parser = clap::value_parser!(u32).range(1..=4)
    )]
    pub(crate) smp: u32,
    /// The clock counts instructions, those of all processors together: 1 ns each. The command has no input
    #[arg(long)]
    pub(crate) icount: bool,
    /// End a run that takes longer
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
    /// A device tree of your own
    #[arg(long, value_name = "FILE")]
    pub(crate) dts: Option<PathBuf>,
    /// What QEMU's option -plugin is given, where it is not the cache model
    #[arg(skip)]
    pub(crate) plugin: Option<String>,
}

impl MachineArgs {
    /// The machine of the tests, with a time limit.
    pub(crate) fn for_tests(smp: u32, timeout_seconds: u64) -> Self {
        Self {
            region: None,
            smp,
            icount: false,
            timeout: timeout_seconds,
            dts: None,
            plugin: None,
        }
    }
}

/// A run of one command.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) command: Vec<String>,
    pub(crate) files: Files,
    pub(crate) machine: MachineArgs,
    pub(crate) cache_model: Option<CacheModel>,
}

/// How a run went: the command's exit status, or why it counts for nothing.
pub(crate) type Outcome = std::result::Result<i32, String>;

/// `cargo xtask guest`: the exit status for the process.
pub(crate) fn main(context: &Context, args: &GuestArgs) -> Result<i32> {
    let kernel = kernel::build(context, &args.kernel)?;
    // Someone else's program can be tried while the examples do not build.
    let examples = programs::examples(context).unwrap_or_else(|error| {
        ui::note(format!("without the example programs: {error:#}"));
        Vec::new()
    });
    let mut files = base_files(context, &kernel, &examples)?;
    for argument in &args.add {
        files.add_argument(argument)?;
    }
    let job = Job {
        command: args.command.clone(),
        files,
        machine: args.machine.clone(),
        cache_model: args.cache_model.prepare(context)?,
    };
    match run(context, &kernel, &job, Program::Foreground)? {
        Ok(status) => Ok(status),
        Err(why) => {
            eprintln!("{why}");
            Ok(HARNESS_FAILED)
        }
    }
}

/// The basic programs, the driver and the given programs, in the guest's search path.
pub(crate) fn base_files(
    context: &Context,
    kernel: &Kernel,
    programs: &[programs::Program],
) -> Result<Files> {
    let mut files = Files::default();
    files.add(&initramfs::busybox(&context.cache)?, "/bin/busybox")?;
    let module = driver::build(context, kernel, driver::Checks::Compiler)?;
    files.add(&module, "/lib/modules/fpgamem.ko")?;
    for module in driver::accelerators(context, kernel)? {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        files.add(&module, &format!("/lib/modules/{name}"))?;
    }
    for program in programs {
        files.add(&program.path, &format!("/usr/local/bin/{}", program.name))?;
    }
    let data = context.root.join("examples/data");
    if data.is_dir() {
        files.add(&data, "/data")?;
    }
    Ok(files)
}

/// Boots the guest and runs the job.
///
/// # Errors
///
/// When the machine cannot be started. A run that fails is an [`Outcome`].
pub(crate) fn run(
    context: &Context,
    kernel: &Kernel,
    job: &Job,
    program: Program,
) -> Result<Outcome> {
    let dir = run_folder(&context.target)?;
    let mut files = job.files.clone();
    let command = dir.join("command");
    fs::write(&command, format!("exec {}\n", quoted(&job.command)))?;
    files.add(&command, "/etc/fpgamem-command")?;
    // Input comes when the host sees fit, so that counted instructions would never repeat.
    let input = matches!(program, Program::Foreground) && !job.machine.icount;
    if !input {
        fs::write(dir.join("no-input"), "")?;
        files.add(&dir.join("no-input"), "/etc/fpgamem-no-input")?;
    }
    for (name, text) in [
        (
            "passwd",
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
        ),
        ("group", "root:x:0:\nnogroup:x:65534:\n"),
    ] {
        fs::write(dir.join(name), text)?;
        files.add(&dir.join(name), &format!("/etc/{name}"))?;
    }
    let dtb = dir.join("board.dtb");
    let default = context.root.join("dts/qemu-zcu102.dts");
    board::compile(job.machine.dts.as_deref().unwrap_or(&default), &dtb)?;
    // The cache model is for one processor.
    let smp = job.cache_model.as_ref().map_or(job.machine.smp, |_| 1);
    board::keep_processors(&dtb, smp)?;
    if let Some(bytes) = job.machine.region {
        board::set_region_bytes(&dtb, bytes)?;
    }
    let model = job.cache_model.as_ref();
    let model = model.map(|model| model.session(context, kernel, &files, &dtb));
    let model = model.transpose()?;
    let plain = |option: &String| Plugin {
        option: option.clone(),
        access: None,
    };
    let plugin = model.as_ref().map(Session::plugin);
    let machine = Machine {
        image: kernel.image(),
        initramfs: initramfs::write(context, kernel, &files, &dir)?,
        dtb,
        console: dir.join("console.log"),
        smp,
        icount: job.machine.icount,
        input,
        plugin: plugin.or_else(|| job.machine.plugin.as_ref().map(plain)),
    };
    let timeout = Duration::from_secs(job.machine.timeout);
    let ended = qemu::run(&machine, program, timeout)?;
    let log = read_log(&machine.console)?;
    let outcome = judge(&log, &ended, timeout).map_err(|why| {
        format!(
            "{why}\nthe end of the guest's console, {}:\n{}",
            machine.console.display(),
            console::tail(&log, TAIL_LINES)
        )
    });
    let outcome = match &model {
        Some(model) => model.judge(outcome)?,
        None => outcome,
    };
    // The console log is what one looks at afterwards; the rest is large.
    for path in [&machine.initramfs, &machine.dtb] {
        let _ = fs::remove_file(path);
    }
    Ok(outcome)
}

/// As [`run`]; also what the job printed.
pub(crate) fn run_printed(
    context: &Context,
    kernel: &Kernel,
    job: &Job,
) -> Result<(Outcome, String)> {
    printed(|program| run(context, kernel, job, program))
}

/// What `start` gives, and what the program that it runs printed.
pub(crate) fn printed<T>(start: impl FnOnce(Program) -> Result<T>) -> Result<(T, String)> {
    let output = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&output);
    let keep = move |line: &str| {
        if let Ok(mut output) = shared.lock() {
            output.push_str(line);
            output.push('\n');
        }
    };
    let ended = start(Program::Lines(Box::new(keep)))?;
    let output = output.lock().map(|text| text.clone()).unwrap_or_default();
    Ok((ended, output))
}

/// The command's status, unless something says that the run cannot be trusted.
fn judge(log: &str, ended: &qemu::Ended, timeout: Duration) -> Outcome {
    let faults = console::faults(log);
    if !faults.is_empty() {
        return Err(format!(
            "the guest's kernel reports faults:\n{}",
            faults.join("\n")
        ));
    }
    if let Some(why) = console::failure(log) {
        return Err(format!("the guest could not run the command: {why}"));
    }
    if ended.timed_out {
        return Err(format!(
            "the guest was ended after {}",
            ui::elapsed(timeout)
        ));
    }
    console::exit_status(log)
        .ok_or_else(|| format!("the guest ended without a status (QEMU: {})", ended.qemu))
}

fn read_log(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("no console log {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A folder of this run's own; those of the last few runs are kept.
fn run_folder(target: &Path) -> Result<PathBuf> {
    let all = target.join("guest");
    fs::create_dir_all(&all)?;
    let mut old: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(&all)?
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    old.sort();
    for (_, path) in old.iter().rev().skip(20) {
        let _ = fs::remove_dir_all(path);
    }
    for number in 0.. {
        let dir = all.join(format!("{}-{number}", std::process::id()));
        match fs::create_dir(&dir) {
            Ok(()) => {
                File::create(dir.join("console.log"))?;
                return Ok(dir);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error.into()),
        }
    }
    unreachable!("there are more numbers than folders")
}

/// Words as a shell reads them back.
pub(crate) fn quoted(words: &[String]) -> String {
    words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended() -> qemu::Ended {
        qemu::Ended {
            timed_out: false,
            qemu: "exit status: 0".to_owned(),
        }
    }

    #[test]
    fn quotes_so_that_a_shell_gives_the_words_back() {
        let words = ["sh", "-c", "echo 'a b' $x"].map(str::to_owned);
        assert_eq!(quoted(&words), r"'sh' '-c' 'echo '\''a b'\'' $x'");
    }

    #[test]
    fn instructions_are_counted_on_one_processor_unless_more_are_asked_for() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            machine: MachineArgs,
        }
        let smp = |words: &[&str]| {
            let line: Line = clap::Parser::parse_from([&["guest"], words].concat());
            line.machine.smp
        };
        assert_eq!((smp(&[]), smp(&["--icount"])), (2, 1));
        assert_eq!(smp(&["--icount", "--smp", "4"]), 4);
    }

    #[test]
    fn a_warning_outweighs_a_good_status() {
        let log = "[1] WARNING: CPU: 0 PID: 1 at x\n[2] fpgamem-guest: exit 0\n";
        assert!(judge(log, &ended(), Duration::ZERO)
            .unwrap_err()
            .contains("WARNING: CPU"));
    }

    #[test]
    fn a_run_without_a_status_fails() {
        assert!(judge("[1] reboot\n", &ended(), Duration::ZERO).is_err());
    }

    #[test]
    fn the_status_of_a_clean_run_is_the_commands() {
        assert_eq!(
            judge("[1] fpgamem-guest: exit 137\n", &ended(), Duration::ZERO),
            Ok(137)
        );
    }
}
