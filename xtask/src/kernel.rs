// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel of the test bed: its configuration and its build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};

use crate::cache::{Cache, Key};
use crate::config::{self, Values};
use crate::process::run_logged;
use crate::source;
use crate::toolchain::{Toolchain, LLVM};
use crate::ui::Step;

/// Which kernel to build.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct KernelArgs {
    /// Kernel configuration: a file xtask/kernel/NAME.config
    #[arg(long, value_name = "NAME", default_value = "plain")]
    pub(crate) kernel: String,
    /// A configuration fragment of your own on top
    #[arg(long, value_name = "FRAGMENT")]
    pub(crate) config: Option<PathBuf>,
    /// A kernel source tree of your own; it is not changed
    #[arg(long, value_name = "DIR")]
    pub(crate) kernel_src: Option<PathBuf>,
}

/// A built kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The build tree: modules are built against it.
    pub(crate) out: PathBuf,
    /// Names this build among all others.
    pub(crate) id: String,
}

impl Kernel {
    /// The image that QEMU boots.
    pub(crate) fn image(&self) -> PathBuf {
        self.out.join("arch/arm64/boot/Image")
    }

    /// Whether the build has an option on.
    pub(crate) fn has(&self, symbol: &str) -> Result<bool> {
        let config = fs::read_to_string(self.out.join(".config"))?;
        Ok(config.lines().any(|line| line == format!("{symbol}=y")))
    }
}

/// Builds the kernel, or finds it in the cache.
pub(crate) fn build(
    root: &Path,
    cache: &Cache,
    tools: &Toolchain,
    args: &KernelArgs,
) -> Result<Kernel> {
    let dir = root.join("xtask/kernel");
    let mut wanted = config::named(&dir, &args.kernel)?;
    if let Some(path) = &args.config {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the fragment {}", path.display()))?;
        config::layer(&mut wanted, &text).with_context(|| path.display().to_string())?;
    }
    let key = Key::default()
        .part("config", &config::render(&wanted))
        .part("tools", &tools.versions);
    match &args.kernel_src {
        None => {
            let source = source::prepare(cache, &dir)?;
            let key = key.part("source", &source.display().to_string());
            let entry = cache.entry("kernel", &key, |entry| {
                compile(&source, &entry.join("out"), tools, &wanted, &args.kernel)
            })?;
            Ok(Kernel {
                out: entry.join("out"),
                id: key.hash(),
            })
        }
        Some(source) => {
            let source = fs::canonicalize(source)
                .with_context(|| format!("no kernel source in {}", source.display()))?;
            for patch in source::missing_patches(&source, &dir)? {
                bail!(
                    "{} lacks a patch: apply {}",
                    source.display(),
                    patch.display()
                );
            }
            // The tree may change under us, so make itself decides what is to be done.
            let key = key.part("own source", &source.display().to_string());
            let _lock = cache.lock(&format!("kernel-own-{}", key.hash()))?;
            let out = cache
                .dir(&format!("kernel-own/{}", key.hash()))?
                .join("out");
            compile(&source, &out, tools, &wanted, &args.kernel)?;
            Ok(Kernel {
                out,
                id: key.hash(),
            })
        }
    }
}

/// Configures and compiles the image and its modules.
fn compile(
    source: &Path,
    out: &Path,
    tools: &Toolchain,
    wanted: &Values,
    name: &str,
) -> Result<()> {
    fs::create_dir_all(out)?;
    let fragment = out.join("fragment.config");
    let text = config::render(wanted);
    let configured = fs::read_to_string(&fragment).is_ok_and(|old| old == text);
    let log = out.with_file_name("build.log");
    if !configured || !out.join(".config").exists() {
        let _ = fs::remove_file(&fragment);
        let unchecked = out.join("fragment.unchecked");
        fs::write(&unchecked, &text)?;
        let mut make = make(tools, source);
        make.arg(format!("O={}", out.display())).arg("allnoconfig");
        make.env("KCONFIG_ALLCONFIG", &unchecked);
        run_logged(&mut make, &log, |_| {})?;
        let missing = config::not_taken(wanted, &fs::read_to_string(out.join(".config"))?)?;
        if !missing.is_empty() {
            bail!(
                "the kernel did not take these lines of its configuration:\n  {}",
                missing.join("\n  ")
            );
        }
        fs::rename(&unchecked, &fragment)?;
    }
    let mut step = Step::start(format!(
        "build the kernel ({name}); the first time takes minutes"
    ));
    let mut make = make(tools, source);
    make.arg(format!("O={}", out.display()))
        .arg(format!("-j{}", parallel()))
        .args(["Image", "modules"]);
    let mut count = 0;
    run_logged(&mut make, &log, |line| {
        // Kbuild's short lines: two spaces, the tool in capitals, the file.
        count += usize::from(line.starts_with("  ") && !line.starts_with("   "));
        step.progress(|| format!("{count} files"));
    })?;
    step.done();
    Ok(())
}

/// `make` in a kernel tree, with this project's tools and nothing of the user's environment.
pub(crate) fn make(tools: &Toolchain, tree: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("-C").arg(tree);
    make.args(["ARCH=arm64", &format!("LLVM=-{LLVM}")]);
    make.arg(format!("RUSTC={}", tools.rustc.display()));
    make.arg(format!("RUST_LIB_SRC={}", tools.library.display()));
    make.arg(format!("BINDGEN={}", tools.bindgen.display()));
    make.env("LIBCLANG_PATH", format!("/usr/lib/llvm-{LLVM}/lib"));
    for name in [
        "MAKEFLAGS",
        "KBUILD_OUTPUT",
        "KCFLAGS",
        "KRUSTFLAGS",
        "CROSS_COMPILE",
        "M",
        "O",
    ] {
        make.env_remove(name);
    }
    make
}

/// As many jobs as there are processors.
pub(crate) fn parallel() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
