// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Rust compiler, its library source, bindgen and LLVM.
//!
//! Two kinds of Rust are known: rustup's, which brings a static target of its own, and Debian's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};

use crate::cache::{Cache, Key};
use crate::debian_rust;
use crate::process::{capture, on_path, run, run_holding};
use crate::ui::Step;

/// The bindgen that the kernel's bindings are known to build with.
const BINDGEN: &str = "0.72.1";
/// Target of the guest's programs where rustup has it: static, and linked without a cross gcc.
const MUSL: &str = "aarch64-unknown-linux-musl";
/// Target of what C programs of the guest link.
pub(crate) const GLIBC: &str = debian_rust::TARGET;
/// LLVM's version, as Debian's packages and the kernel's `LLVM=` name it.
pub(crate) const LLVM: &str = "19";

/// Tools of one kind that fit together.
#[derive(Debug)]
pub(crate) struct Toolchain {
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    /// Source of the standard library, from which the kernel builds `core`.
    pub(crate) library: PathBuf,
    /// Target of the guest's programs.
    pub(crate) target: &'static str,
    /// Environment that Cargo needs to build for `target`.
    pub(crate) guest_env: Vec<(String, String)>,
    pub(crate) bindgen: PathBuf,
    /// Versions of all of them: part of the key of whatever they build.
    pub(crate) versions: String,
}

impl Toolchain {
    /// Finds the tools and adds what they lack.
    pub(crate) fn find(cache: &Cache) -> Result<Self> {
        let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        let rustc = match std::env::var_os("RUSTC") {
            Some(path) => PathBuf::from(path),
            // The one that belongs to this cargo, not a proxy that looks for it each time.
            None => Some(cargo.with_file_name("rustc"))
                .filter(|path| path.is_file())
                .unwrap_or_else(|| PathBuf::from("rustc")),
        };
        let version = capture(Command::new(&rustc).arg("-vV"))?;
        let print_sysroot = capture(Command::new(&rustc).args(["--print", "sysroot"]))?;
        let sysroot = PathBuf::from(print_sysroot.trim());
        let (target, guest_env) = if sysroot == Path::new("/usr") {
            (debian_rust::TARGET, debian_rust::prepare(cache, &version)?)
        } else {
            complete_rustup(&sysroot, MUSL)?;
            (MUSL, Vec::new())
        };
        let library = sysroot.join("lib/rustlib/src/rust/library");
        if !library.join("core").is_dir() {
            bail!("the Rust library's source is not in {}", library.display());
        }
        let bindgen = bindgen(cache, &cargo)?;
        let versions = [
            version,
            capture(Command::new(format!("clang-{LLVM}")).arg("--version"))?,
            capture(Command::new(&bindgen).arg("--version"))?,
        ]
        .concat();
        Ok(Self {
            cargo,
            rustc,
            library,
            target,
            guest_env,
            bindgen,
            versions,
        })
    }

    /// Cargo, for the host.
    pub(crate) fn cargo(&self) -> Command {
        Command::new(&self.cargo)
    }

    /// Cargo with the environment for the guest's target.
    pub(crate) fn guest_cargo(&self, subcommand: &str) -> Command {
        let mut command = self.cargo();
        command
            .arg(subcommand)
            .args(["--release", "--target", self.target]);
        command.envs(self.guest_env.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Toolchain {
    /// The environment in which Cargo builds shared libraries for [`GLIBC`], which is completed.
    pub(crate) fn for_glibc(&self) -> Result<Vec<(String, String)>> {
        if self.target == GLIBC {
            let environment = self.guest_env.iter().cloned();
            return Ok(environment
                .map(|(name, value)| (name, with_shared(&value)))
                .collect());
        }
        let sysroot = capture(Command::new(&self.rustc).args(["--print", "sysroot"]))?;
        complete_rustup(Path::new(sysroot.trim()), GLIBC)?;
        let linker = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER";
        Ok(vec![(
            linker.to_owned(),
            "aarch64-linux-gnu-gcc".to_owned(),
        )])
    }
}

/// The flags without the one that rules shared libraries out.
fn with_shared(flags: &str) -> String {
    flags.replace(" -C target-feature=+crt-static", "")
}

/// Adds rust-src, the guest's target and the tools of `cargo xtask test` to rustup's toolchain.
fn complete_rustup(sysroot: &Path, target: &str) -> Result<()> {
    let mut missing = Vec::new();
    for (component, file) in [
        ("rust-src", "lib/rustlib/src/rust/library/core"),
        ("rustfmt", "bin/rustfmt"),
        ("clippy", "bin/clippy-driver"),
    ] {
        if !sysroot.join(file).exists() {
            missing.push(component);
        }
    }
    let has_target = sysroot.join(format!("lib/rustlib/{target}/lib")).is_dir();
    if missing.is_empty() && has_target {
        return Ok(());
    }
    if !on_path("rustup") {
        bail!(
            "the Rust toolchain in {} lacks {} {}; add them as it was installed, or use rustup",
            sysroot.display(),
            missing.join(" "),
            if has_target { "" } else { target }
        );
    }
    if !missing.is_empty() {
        let step = Step::start(format!("rustup: add {}", missing.join(" ")));
        run(Command::new("rustup")
            .args(["component", "add"])
            .args(&missing))?;
        step.done();
    }
    if !has_target {
        let step = Step::start(format!("rustup: add the target {target}"));
        run(Command::new("rustup").args(["target", "add", target]))?;
        step.done();
    }
    Ok(())
}

/// The right bindgen: the one on the search path, or one built into the cache.
fn bindgen(cache: &Cache, cargo: &Path) -> Result<PathBuf> {
    if on_path("bindgen") {
        let version = capture(Command::new("bindgen").arg("--version"))?;
        if version.trim() == format!("bindgen {BINDGEN}") {
            return Ok(PathBuf::from("bindgen"));
        }
    }
    let entry = cargo_install(cache, cargo, "bindgen-cli", BINDGEN, "release")?;
    Ok(entry.join("bin/bindgen"))
}

/// Builds a program from the package registry into the cache and returns its root.
///
/// `profile` is `release` for what runs long and `dev` for what builds long.
pub(crate) fn cargo_install(
    cache: &Cache,
    cargo: &Path,
    package: &str,
    version: &str,
    profile: &str,
) -> Result<PathBuf> {
    let key = Key::default()
        .part("package", package)
        .part("version", version)
        .part("profile", profile);
    cache.entry("tools", &key, |dir, lock| {
        let mut step = Step::start(format!("build {package} {version}"));
        let mut command = Command::new(cargo);
        command
            .args([
                "install",
                "--locked",
                package,
                "--version",
                version,
                "--profile",
                profile,
                "--root",
            ])
            .arg(dir);
        command.env("CARGO_TARGET_DIR", dir.join("target"));
        // The checkout's configuration is not meant for this package.
        command.current_dir(dir);
        let mut count = 0;
        run_holding(lock, &mut command, &dir.join("build.log"), |line| {
            count += usize::from(line.trim_start().starts_with("Compiling"));
            step.progress(|| format!("{count} crates"));
        })?;
        std::fs::remove_dir_all(dir.join("target")).context("cannot remove the build folder")?;
        step.done();
        Ok(())
    })
}
