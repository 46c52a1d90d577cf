// SPDX-License-Identifier: MIT OR Apache-2.0

//! libfpgamem for C and C++: installed, moved, linked both ways and run, here and in the guest.

mod programs;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context as _, Result};

use crate::context::Context;
use crate::guest::{self, Job, MachineArgs};
use crate::guest_tests::Report;
use crate::kernel::Kernel;
use crate::process::{capture, run};
use crate::setup;
use crate::toolchain::GLIBC;
use crate::ui::Step;
use programs::{sources, Installed, Linkage};

/// The crate.
const CRATE: &str = "libfpgamem/capi";

/// What programs here are watched by.
const SANITIZERS: &str = "-fsanitize=address,undefined";

/// The C library of the cross compiler, with what else shared programs need in the guest.
const GUEST_LIBRARIES: [&str; 5] = [
    "ld-linux-aarch64.so.1",
    "libc.so.6",
    "libgcc_s.so.1",
    "libm.so.6",
    "libstdc++.so.6",
];

/// A guest that takes longer hangs.
const GUEST_TIMEOUT_SECONDS: u64 = 600;

/// Builds the library and installs it in a folder, for a target with its environment.
fn install(
    context: &Context,
    prefix: &Path,
    target: Option<(&str, &[(String, String)])>,
) -> Result<()> {
    let _ = fs::remove_dir_all(prefix);
    let step = Step::start("build and install libfpgamem for C");
    let mut make = Command::new("make");
    make.arg("--silent")
        .arg("-C")
        .arg(context.root.join(CRATE))
        .args(["all", "install"])
        .arg(format!("CARGO={} --quiet", context.tools.cargo.display()))
        .arg(format!("CARGO_TARGET_DIR={}", context.target.display()))
        .arg(format!("PREFIX={}", prefix.display()));
    if let Some((target, environment)) = target {
        make.arg(format!("TARGET={target}"));
        make.envs(environment.iter().map(|(name, value)| (name, value)));
    }
    capture(&mut make)?;
    step.done();
    Ok(())
}

/// The library as a user of this machine has it.
pub(crate) fn host(context: &Context) -> Result<Report> {
    setup::install_missing(
        &context.cache,
        &[(
            "try libfpgamem from C and C++",
            &["g++", "pkg-config", "cmake"],
        )],
    )?;
    let folder = context.target.join("capi");
    let prefix = folder.join("installed");
    install(context, &prefix, None)?;
    // What is installed can be moved.
    let moved = folder.join("moved");
    let _ = fs::remove_dir_all(&moved);
    fs::rename(&prefix, &moved)?;
    check_exports(context, &moved)?;

    let installed = Installed {
        programs: folder.join("programs"),
        prefix: moved,
        cc: "gcc",
        cxx: "g++",
        options: vec![SANITIZERS.to_owned()],
        all_static: false,
    };
    installed.add_driver_header(context)?;
    let mut report = Report::default();
    for source in sources(context)? {
        for linkage in [Linkage::Shared, Linkage::Static] {
            let program = installed.compile(context, &source, linkage)?;
            let mut command = Command::new("timeout");
            command
                .args(["-s", "KILL", "300"])
                .arg(&program)
                .arg("--emulated")
                .env("LD_LIBRARY_PATH", installed.prefix.join("lib"));
            report.add_output(source.name, capture(&mut command));
        }
    }
    with_cmake(context, &installed)?;
    Ok(report)
}

/// The exported names are those of the list, and the name for the dynamic linker is the right one.
fn check_exports(context: &Context, prefix: &Path) -> Result<()> {
    let library = prefix.join("lib/libfpgamem.so");
    let names = capture(
        Command::new("nm")
            .args(["-D", "--defined-only", "--format=posix"])
            .arg(&library),
    )?;
    let exported: BTreeSet<&str> = names
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let list = fs::read_to_string(context.root.join(CRATE).join("exports.list"))?;
    let listed: BTreeSet<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    if exported != listed {
        let differ: Vec<_> = exported.symmetric_difference(&listed).collect();
        bail!("libfpgamem.so does not export what {CRATE}/exports.list says: {differ:?}");
    }
    let soname = fs::read_link(&library).context("libfpgamem.so is no link")?;
    let dynamic = capture(Command::new("readelf").arg("-d").arg(&library))?;
    let wanted = format!("[{}]", soname.display());
    let named = dynamic.lines().find(|line| line.contains("(SONAME)"));
    if !named.is_some_and(|line| line.contains(&wanted)) {
        bail!("libfpgamem.so is installed as {wanted}, and calls itself {named:?}");
    }
    Ok(())
}

/// A project that finds the package with CMake.
fn with_cmake(context: &Context, installed: &Installed) -> Result<()> {
    let step = Step::start("build the examples with CMake");
    let build = context.target.join("capi/cmake");
    let _ = fs::remove_dir_all(&build);
    let source = context.root.join("examples/c");
    let prefix = installed.prefix.display();
    capture(
        Command::new("cmake")
            .arg("-S")
            .arg(source)
            .arg("-B")
            .arg(&build)
            .arg(format!("-DCMAKE_PREFIX_PATH={prefix}")),
    )?;
    capture(Command::new("cmake").arg("--build").arg(&build))?;
    for program in ["transfer", "transfer-static", "transfer++", "vadd"] {
        capture(Command::new(build.join(program)).arg("--emulated"))?;
        let missing = Command::new(build.join(program))
            .env("FPGAMEM_DEVICE", "/nonexistent/fpgamem")
            .output()?;
        if missing.status.code() != Some(2) {
            bail!("{program} without a device ended with {}", missing.status);
        }
    }
    step.done();
    Ok(())
}

/// Installs what programs for the guest's C library are compiled with.
pub(crate) fn cross_compilers(context: &Context) -> Result<()> {
    setup::install_missing(
        &context.cache,
        &[(
            "try libfpgamem from C and C++ in the guest",
            &[
                "gcc-aarch64-linux-gnu",
                "g++-aarch64-linux-gnu",
                "pkg-config",
            ],
        )],
    )
}

/// Names and files of the libraries that shared programs need in the guest.
pub(crate) fn c_libraries() -> Result<Vec<(&'static str, PathBuf)>> {
    let mut found = Vec::new();
    for name in GUEST_LIBRARIES {
        let mut find = Command::new("aarch64-linux-gnu-gcc");
        let path = capture(find.arg(format!("-print-file-name={name}")))?;
        found.push((name, PathBuf::from(path.trim())));
    }
    Ok(found)
}

/// The same programs on the emulated board, with its driver.
pub(crate) fn guest(context: &Context, kernel: &Kernel) -> Result<Report> {
    cross_compilers(context)?;
    let folder = context.target.join("capi").join(GLIBC);
    let prefix = folder.join("installed");
    let environment = context.tools.for_glibc()?;
    install(context, &prefix, Some((GLIBC, &environment)))?;
    let installed = Installed {
        programs: folder.join("programs"),
        prefix,
        cc: "aarch64-linux-gnu-gcc",
        cxx: "aarch64-linux-gnu-g++",
        options: vec!["-s".to_owned()],
        all_static: true,
    };
    installed.add_driver_header(context)?;
    let mut files = guest::base_files(context, kernel, &[])?;
    for source in sources(context)? {
        for linkage in [Linkage::Shared, Linkage::Static] {
            let program = installed.compile(context, &source, linkage)?;
            let name = format!("/usr/local/bin/{}-{}", source.name, linkage.name());
            files.add(&program, &name)?;
        }
    }
    let stripped = installed.programs.join("libfpgamem.so.stripped");
    let library = fs::canonicalize(installed.prefix.join("lib/libfpgamem.so"))?;
    let mut strip = Command::new("aarch64-linux-gnu-strip");
    run(strip.arg("-o").arg(&stripped).arg(&library))?;
    let soname = fs::read_link(installed.prefix.join("lib/libfpgamem.so"))?;
    files.add(&stripped, &format!("/lib/{}", soname.display()))?;
    for (name, path) in c_libraries()? {
        files.add(&path, &format!("/lib/{name}"))?;
    }
    let script = context.root.join("xtask/guest/check-capi");
    files.add(&script, "/usr/local/bin/check-capi")?;
    let job = Job {
        command: vec!["check-capi".to_owned()],
        files,
        machine: MachineArgs::for_tests(2, GUEST_TIMEOUT_SECONDS),
        cache_model: None,
    };
    let (outcome, output) = guest::run_printed(context, kernel, &job)?;
    let mut report = Report::default();
    let ended = match outcome {
        Ok(0) => Ok(output),
        Ok(status) => Err(anyhow::anyhow!("check-capi ended with {status}:\n{output}")),
        Err(why) => Err(anyhow::anyhow!("{why}\nwhat was printed:\n{output}")),
    };
    report.add_output("check-capi", ended);
    Ok(report)
}

impl Report {
    /// Takes account of what a program printed, or of its failure.
    fn add_output(&mut self, program: &str, output: Result<String>) {
        match output {
            Ok(output) => output
                .lines()
                .for_each(|line| self.totals.line(program, line)),
            Err(error) => self.problems.push(format!("{error:#}")),
        }
    }
}
