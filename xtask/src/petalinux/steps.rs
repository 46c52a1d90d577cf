// SPDX-License-Identifier: MIT OR Apache-2.0

//! The steps of the recipes, executed as BitBake would: what the recipes say, in the frame that
//! oe-core's classes put around it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context as _, Result};

use super::{packages, ptest, LAYER};
use crate::capi;
use crate::context::Context;
use crate::kernel::Kernel;
use crate::process::{capture, run_logged};
use crate::recipe::{Known, Recipe};
use crate::toolchain::{GLIBC, LLVM};
use crate::ui::Step;

/// The kernel module's recipe, below the layer, without its version.
const MODULE: &str = "recipes-kernel/fpgamem-module/fpgamem-module";

/// Where a distribution without merged /usr has what belongs to no word size.
const NONARCH_BASE_LIBDIR: &str = "/lib";

/// The folders of one recipe.
pub(crate) struct Work {
    pub(crate) recipe: Recipe,
    known: Known,
    /// Where the recipe installs to.
    pub(crate) image: PathBuf,
    pub(crate) log: PathBuf,
}

impl Work {
    /// Unpacks the sources of a recipe, named without its version, into a folder of its own.
    pub(crate) fn unpack(context: &Context, recipe: &str) -> Result<Self> {
        let recipe = Recipe::read(&versioned(&context.root.join(LAYER), recipe)?)?;
        let (name, _) = recipe.name_and_version();
        let dir = context.target.join("recipes").join(&name);
        let _ = fs::remove_dir_all(&dir);
        let unpacked = dir.join("sources");
        let image = dir.join("image");
        fs::create_dir_all(unpacked.join("fpgamem"))?;
        fs::create_dir_all(&image)?;
        let shown = |path: &Path| path.display().to_string();
        let mut known = Known::from([
            ("PN", name),
            ("D", shown(&image)),
            ("FPGAMEM_UNPACKDIR", shown(&unpacked)),
            ("TARGET_DBGSRC_DIR", "/usr/src/debug".to_owned()),
            ("nonarch_base_libdir", NONARCH_BASE_LIBDIR.to_owned()),
            ("bindir", "/usr/bin".to_owned()),
            ("libdir", "/usr/lib".to_owned()),
            ("includedir", "/usr/include".to_owned()),
            ("datadir", "/usr/share".to_owned()),
            ("mandir", "/usr/share/man".to_owned()),
            ("sysconfdir", "/etc".to_owned()),
        ]);
        for source in recipe.words("FPGAMEM_SOURCES", &known)? {
            copy(&context.root.join(source), &unpacked.join("fpgamem"))?;
        }
        for uri in recipe.words("SRC_URI", &known)? {
            let Some(rest) = uri.strip_prefix("file://") else {
                continue;
            };
            let name = rest.split(';').next().unwrap_or(rest);
            let files = recipe.path.with_file_name("files");
            copy(&files.join(name), &unpacked.join("fpgamem"))?;
        }
        let source = recipe.get("S", &known)?;
        known.insert("S", source);
        let log = dir.join("log");
        Ok(Self {
            recipe,
            known,
            image,
            log,
        })
    }

    pub(crate) fn know(&mut self, name: &'static str, value: String) {
        self.known.insert(name, value);
    }

    pub(crate) fn get(&self, name: &str) -> Result<String> {
        self.recipe.get(name, &self.known)
    }

    pub(crate) fn words(&self, name: &str) -> Result<Vec<String>> {
        self.recipe.words(name, &self.known)
    }

    /// What the recipe itself says of the files of a package, which it may name by its own name.
    pub(crate) fn files_of(&self, package: &str, recipe: &str) -> Result<Vec<String>> {
        let mut files = self.words(&format!("FILES:{package}"))?;
        if let Some(suffix) = package.strip_prefix(recipe) {
            files.extend(self.words(&format!("FILES:${{PN}}{suffix}"))?);
        }
        Ok(files)
    }

    /// Runs a shell function of the recipe: its `do_install`, or what it adds to a class.
    pub(crate) fn run(&self, function: &str) -> Result<()> {
        let body = self.recipe.function(function, &self.known)?;
        let mut shell = Command::new("sh");
        shell.current_dir(self.get("S")?);
        let script = format!("oe_runmake() {{\n    make \"$@\"\n}}\n{body}\n");
        run_logged(shell.args(["-e", "-c", &script]), &self.log, |_| {})
            .with_context(|| format!("{function} of {}", self.recipe.path.display()))
    }
}

/// The file of a recipe whose version is in its name.
fn versioned(layer: &Path, recipe: &str) -> Result<PathBuf> {
    let path = layer.join(recipe);
    let stem = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(layer);
    let mut files = fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .flatten()
        .map(|entry| entry.path());
    files
        .find(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&format!("{stem}_")) && name.ends_with(".bb")
        })
        .with_context(|| format!("there is no recipe {recipe}"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    capture(Command::new("cp").arg("-R").args([from, to])).map(|_| ())
}

/// What the kernel calls itself.
fn release(kernel: &Kernel) -> Result<String> {
    let file = kernel.out.join("include/config/kernel.release");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    Ok(text.trim().to_owned())
}

/// Builds and installs the module by the steps of its recipe; the folder with what it installs.
pub(crate) fn module(context: &Context, kernel: &Kernel, source: &Path) -> Result<Work> {
    let step = Step::start("build the module by its recipe");
    let mut work = Work::unpack(context, MODULE)?;
    let release = release(kernel)?;
    work.know("STAGING_KERNEL_DIR", source.display().to_string());
    work.know("STAGING_KERNEL_BUILDDIR", kernel.out.display().to_string());
    let modlib = format!(
        "MODLIB={}{NONARCH_BASE_LIBDIR}/modules/{release}",
        work.image.display()
    );
    make(
        context,
        &work,
        kernel,
        source,
        &[&format!("KERNEL_VERSION={release}")],
    )?;
    make(
        context,
        &work,
        kernel,
        source,
        &["DEPMOD=echo", &modlib, "modules_install"],
    )?;
    let symbols = Path::new(&work.get("S")?).join("Module.symvers");
    if !symbols.is_file() {
        bail!("the module's build leaves no {}", symbols.display());
    }
    work.run("do_install:append")?;
    step.done();
    Ok(work)
}

/// `oe_runmake` of the classes `module` and `module-rust`, in the environment of `kernel-arch`.
fn make(
    context: &Context,
    work: &Work,
    kernel: &Kernel,
    source: &Path,
    arguments: &[&str],
) -> Result<()> {
    let mut make = Command::new("make");
    let directory = work.get("S")?;
    make.current_dir(&directory).env("ARCH", "arm64");
    // oe-core's tools are named by CROSS_COMPILE; these are of LLVM.
    make.env("LLVM", format!("-{LLVM}"));
    let tools = context
        .tools
        .rustc
        .parent()
        .unwrap_or(Path::new("/usr/bin"));
    let path = std::env::var("PATH").unwrap_or_default();
    make.env("PATH", format!("{}:{path}", tools.display()));
    for name in [
        "MAKEFLAGS",
        "KCFLAGS",
        "KRUSTFLAGS",
        "CROSS_COMPILE",
        "M",
        "O",
    ] {
        make.env_remove(name);
    }
    make.env("KBUILD_OUTPUT", &kernel.out);
    make.args(work.get("EXTRA_OEMAKE")?.split_whitespace());
    make.arg(format!("KERNEL_SRC={}", source.display()));
    make.arg(format!(
        "KRUSTFLAGS= --remap-path-prefix={directory}=/usr/src/debug"
    ));
    make.arg(format!("KERNEL_PATH={}", source.display()));
    for (variable, tool) in [
        ("CC", "clang"),
        ("LD", "ld.lld"),
        ("AR", "llvm-ar"),
        ("OBJCOPY", "llvm-objcopy"),
        ("STRIP", "llvm-strip"),
    ] {
        make.arg(format!("{variable}={tool}-{LLVM}"));
    }
    make.arg(format!("O={}", kernel.out.display()));
    make.arg("KBUILD_EXTRA_SYMBOLS=").args(arguments);
    run_logged(&mut make, &work.log, |_| {})
}

/// The module's recipe installs one module that the kernel would load for the device tree's node.
pub(crate) fn check_module(context: &Context, kernel: &Kernel, source: &Path) -> Result<()> {
    let work = module(context, kernel, source)?;
    let installed = crate::files::files_below(&work.image)?;
    let mut modules = installed
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "ko"));
    let (Some(file), None) = (modules.next(), modules.next()) else {
        bail!("not one module is installed: {installed:?}");
    };
    let name = work.get("KERNEL_MODULE_AUTOLOAD")?;
    if file.file_stem().is_none_or(|stem| stem != name.as_str()) {
        bail!(
            "{} is installed, {name:?} is to be loaded at boot",
            file.display()
        );
    }
    let header = work.image.join("usr/include/fpgamem/pe.h");
    if !header.is_file() {
        bail!("{} is not installed", header.display());
    }
    let aliases = capture(
        Command::new("/sbin/modinfo")
            .args(["-F", "alias"])
            .arg(file),
    )?;
    if !aliases
        .lines()
        .any(|alias| alias == "of:N*T*Cfpgamem,memory-pool")
    {
        bail!("the module does not say which nodes it is for: {aliases}");
    }
    Ok(())
}

/// The group and the rule that gives it the nodes, below the layer.
pub(crate) const UDEV: &str = "recipes-core/fpgamem-udev/fpgamem-udev";

/// The rule that is installed names the group that is made.
pub(crate) fn check_udev(context: &Context) -> Result<()> {
    let work = Work::unpack(context, UDEV)?;
    work.run("do_install")?;
    packages::check(&work)?;
    let group = group(&work)?;
    let rules = work
        .image
        .join(&NONARCH_BASE_LIBDIR[1..])
        .join("udev/rules.d");
    let rule = fs::read_to_string(rules.join("70-fpgamem.rules"))
        .context("fpgamem-udev installs no rule")?;
    if !rule.contains(&format!("GROUP=\"{group}\"")) {
        bail!("the group is {group}, and the udev rule says:\n{rule}");
    }
    Ok(())
}

/// The group that the recipe makes.
pub(crate) fn group(work: &Work) -> Result<String> {
    let text = work.get("GROUPADD_PARAM:${PN}")?;
    let name = text.split_whitespace().last();
    Ok(name.context("GROUPADD_PARAM is empty")?.to_owned())
}

/// The library, its command and the examples, below the layer.
const LIBRARY: &str = "recipes-support/libfpgamem/libfpgamem";

/// The command for the build machine, below the layer.
const NATIVE_TOOL: &str = "recipes-support/libfpgamem/fpgamem-tool-native";

/// What the recipes of an image have installed.
pub(crate) struct Installed {
    /// A folder for each recipe.
    pub(crate) images: Vec<PathBuf>,
    /// The kernel's release.
    pub(crate) release: String,
    /// The module that is loaded at boot.
    pub(crate) autoload: String,
    pub(crate) group: String,
    /// The udev rule, below the root.
    pub(crate) rules: String,
}

/// Runs the steps of all recipes of an image.
pub(crate) fn install_all(context: &Context, kernel: &Kernel, source: &Path) -> Result<Installed> {
    let module = module(context, kernel, source)?;
    let udev = Work::unpack(context, UDEV)?;
    udev.run("do_install")?;
    let library = library(context)?;
    let tests = ptest::tests(context)?;
    Ok(Installed {
        release: release(kernel)?,
        autoload: module.get("KERNEL_MODULE_AUTOLOAD")?,
        group: group(&udev)?,
        rules: format!(
            "{}/udev/rules.d/70-fpgamem.rules",
            &NONARCH_BASE_LIBDIR[1..]
        ),
        images: vec![module.image, udev.image, library.image, tests],
    })
}

/// Builds and installs the library, the command and the examples by their recipe.
fn library(context: &Context) -> Result<Work> {
    let step = Step::start("build the library by its recipe");
    capi::cross_compilers(context)?;
    let native = cargo_recipe(context, NATIVE_TOOL, None)?;
    native.run("do_install")?;
    let mut work = cargo_recipe(context, LIBRARY, Some(GLIBC))?;
    let tools = native.image.join("usr/bin");
    work.know("STAGING_BINDIR_NATIVE", tools.display().to_string());
    work.run("do_install")?;
    packages::check(&work)?;
    step.done();
    Ok(work)
}

/// Compiles what a recipe compiles, for a target or for the build machine.
fn cargo_recipe(context: &Context, recipe: &str, target: Option<&str>) -> Result<Work> {
    let mut work = Work::unpack(context, recipe)?;
    let build = work.image.with_file_name("build");
    work.know("prefix", "/usr".to_owned());
    work.know("B", build.display().to_string());
    // The checkout's own build folder, so that a second run has little to do.
    fs::create_dir_all(&build)?;
    std::os::unix::fs::symlink(&context.target, build.join("target"))?;
    let mut cargo = context.cargo();
    cargo.args(["build", "--locked", "--release"]);
    let mut subdir = "release".to_owned();
    if let Some(target) = target {
        work.know("RUST_HOST_SYS", target.to_owned());
        subdir = format!("{target}/release");
        cargo.args(["--target", target]);
        cargo.envs(context.tools.for_glibc()?);
    }
    work.know("CARGO_TARGET_SUBDIR", subdir);
    cargo.args(work.get("CARGO_BUILD_FLAGS")?.split_whitespace());
    run_logged(&mut cargo, &work.log, |_| {})?;
    Ok(work)
}
