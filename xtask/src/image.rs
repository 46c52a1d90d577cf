// SPDX-License-Identifier: MIT OR Apache-2.0

//! A root file system of what the Yocto recipes install, and the emulated board booted from it.
//!
//! Busybox stands for the programs of a distribution: its mdev applies the udev rule, which is
//! translated, and its modprobe loads what the device tree asks for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context as _, Result};

use crate::capi;
use crate::context::Context;
use crate::guest::{self, Job, MachineArgs};
use crate::initramfs::{self, Files};
use crate::kernel::{self, Kernel, KernelArgs};
use crate::petalinux::{self, Installed};
use crate::process::capture;

/// A guest that takes longer hangs.
const TIMEOUT_SECONDS: u64 = 300;

/// Options of `cargo xtask image`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImageArgs {
    #[command(flatten)]
    kernel: KernelArgs,
    /// Boot the board from it, and check what an image must do
    #[arg(long)]
    boot: bool,
}

/// `cargo xtask image`: the exit status for the process.
pub(crate) fn main(context: &Context, args: &ImageArgs) -> Result<i32> {
    let source = kernel::source(&context.root, &context.cache, &args.kernel)?;
    let kernel = kernel::build(context, &args.kernel)?;
    if args.boot {
        println!("{}", check(context, &kernel, &source)?);
    } else {
        let (root, _) = assemble(context, &kernel, &source)?;
        println!("{}", root.display());
    }
    Ok(0)
}

/// Boots the image; what its check prints.
pub(crate) fn check(context: &Context, kernel: &Kernel, source: &Path) -> Result<String> {
    let (root, installed) = assemble(context, kernel, source)?;
    let mut files = Files::default();
    files.add(&initramfs::busybox(&context.cache)?, "/bin/busybox")?;
    files.add(&root, "/")?;
    for (name, library) in capi::c_libraries()? {
        files.add(&library, &format!("/lib/{name}"))?;
    }
    files.add(&compile(context, &root)?, "/usr/local/bin/transfer")?;
    let script = context.root.join("xtask/guest/check-image");
    files.add(&script, "/usr/local/bin/check-image")?;
    let job = Job {
        command: vec!["check-image".to_owned(), installed.group.clone()],
        files,
        machine: MachineArgs::for_tests(2, TIMEOUT_SECONDS),
        cache_model: None,
    };
    let (outcome, output) = guest::run_printed(context, kernel, &job)?;
    match outcome {
        Ok(0) => Ok(output),
        Ok(_) => bail!("the image does not do what it must:\n{output}"),
        Err(why) => bail!("{why}\nwhat the image's check printed:\n{output}"),
    }
}

/// Compiles an example in C with what the packages for developers say.
fn compile(context: &Context, root: &Path) -> Result<PathBuf> {
    let mut ask = Command::new("pkg-config");
    ask.args(["--cflags", "--libs", "fpgamem"]);
    ask.env("PKG_CONFIG_SYSROOT_DIR", root);
    ask.env("PKG_CONFIG_LIBDIR", root.join("usr/lib/pkgconfig"));
    let flags = capture(&mut ask)?;
    let program = context.target.join("image-transfer");
    let source = context.root.join("examples/c/transfer.c");
    let mut compiler = Command::new("aarch64-linux-gnu-gcc");
    compiler.arg("-o").args([&program, &source]);
    capture(compiler.args(flags.split_whitespace()))?;
    Ok(program)
}

/// Puts the file system together; its folder, and what else is known of it.
fn assemble(context: &Context, kernel: &Kernel, source: &Path) -> Result<(PathBuf, Installed)> {
    let root = context.target.join("image");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root)?;
    let installed = petalinux::install_all(context, kernel, source)?;
    for image in &installed.images {
        capture(Command::new("cp").arg("-a").arg(image.join(".")).arg(&root))?;
    }
    // What a distribution does with all packages together.
    let mut depmod = Command::new("/sbin/depmod");
    capture(depmod.arg("-b").arg(&root).arg(&installed.release))?;
    let etc = root.join("etc");
    fs::create_dir_all(etc.join("modules-load.d"))?;
    fs::write(
        etc.join("modules-load.d/fpgamem.conf"),
        format!("{}\n", installed.autoload),
    )?;
    let rules = fs::read_to_string(root.join(&installed.rules))?;
    fs::write(etc.join("mdev.conf"), mdev(&rules)?)?;
    Ok((root, installed))
}

/// A udev rule as mdev understands it: name of the node, owner and group, mode.
fn mdev(rules: &str) -> Result<String> {
    let mut lines = String::new();
    for rule in rules.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = [None; 3];
        for part in rule.split(", ") {
            for (field, key) in fields.iter_mut().zip(["KERNEL==", "GROUP=", "MODE="]) {
                if let Some(value) = part.strip_prefix(key) {
                    *field = Some(value.trim_matches('"'));
                }
            }
        }
        let [Some(node), Some(group), Some(mode)] = fields else {
            bail!("this rule names no node, group and mode: {rule}");
        };
        // A glob there, a regular expression here.
        let node = node.replace('*', ".*");
        lines.push_str(&format!("{node} root:{group} {mode}\n"));
    }
    if lines.is_empty() {
        return Err(anyhow::anyhow!("{rules}")).context("no udev rule is installed");
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translates_the_rule() {
        let rule = "# x\nSUBSYSTEM==\"misc\", KERNEL==\"a[0-9]*\", GROUP=\"g\", MODE=\"0660\"\n";
        assert_eq!(mdev(rule).unwrap(), "a[0-9].* root:g 0660\n");
    }

    #[test]
    fn refuses_a_rule_without_a_group() {
        assert!(mdev("KERNEL==\"a\", MODE=\"0666\"\n").is_err());
        assert!(mdev("").is_err());
    }
}
