// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel of the test bed: its configuration and its build.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context as _, Result};

use crate::cache::{Cache, Key};
use crate::config::{self, Values};
use crate::context::Context;
use crate::process::run_holding;
use crate::source;
use crate::toolchain::{Toolchain, LLVM};
use crate::ui::Step;

/// The configurations and patches, below the checkout's root.
const FOLDER: &str = "xtask/kernel";

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

    /// The addresses of its symbols.
    pub(crate) fn system_map(&self) -> PathBuf {
        self.out.join("System.map")
    }
}

/// The kernel's source tree: the user's own, or the one in the cache.
pub(crate) fn source(root: &Path, cache: &Cache, args: &KernelArgs) -> Result<PathBuf> {
    let patches = root.join(FOLDER);
    let Some(own) = &args.kernel_src else {
        return source::prepare(cache, &patches);
    };
    let own = fs::canonicalize(own)
        .with_context(|| format!("there is no kernel source in {}", own.display()))?;
    if let Some(patch) = source::missing_patches(&own, &patches)?.first() {
        bail!("{} lacks a patch: apply {}", own.display(), patch.display());
    }
    Ok(own)
}

/// Builds the kernel, or finds it in the cache.
pub(crate) fn build(context: &Context, args: &KernelArgs) -> Result<Kernel> {
    let Context {
        root, cache, tools, ..
    } = context;
    let mut wanted = config::named(&root.join(FOLDER), &args.kernel)?;
    if let Some(path) = &args.config {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the fragment {}", path.display()))?;
        config::layer(&mut wanted, &text).with_context(|| path.display().to_string())?;
    }
    let source = source(root, cache, args)?;
    let key = Key::default()
        .part("config", &config::render(&wanted))
        .part("tools", &tools.versions)
        .part("source", &source.display().to_string());
    let id = key.hash();
    let out = if args.kernel_src.is_none() {
        let entry = cache.entry("kernel", &key, |entry, lock| {
            compile(
                lock,
                &source,
                &entry.join("out"),
                tools,
                &wanted,
                &args.kernel,
            )
        })?;
        entry.join("out")
    } else {
        // The tree may change under us, so make itself decides what is to be done.
        let lock = cache.lock(&format!("kernel-own-{id}"))?;
        let out = cache.dir(&format!("kernel-own/{id}"))?.join("out");
        compile(&lock, &source, &out, tools, &wanted, &args.kernel)?;
        out
    };
    Ok(Kernel { out, id })
}

/// Configures and compiles the image and its modules.
fn compile(
    lock: &File,
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
        run_holding(lock, &mut make, &log, |_| {})?;
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
    run_holding(lock, &mut make, &log, |line| {
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
