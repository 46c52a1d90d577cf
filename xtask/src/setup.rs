// SPDX-License-Identifier: MIT OR Apache-2.0

//! What must be installed on the machine before anything can be built.

use std::process::Command;

use anyhow::{bail, Result};

use crate::apt::{codename, Apt};
use crate::cache::Cache;
use crate::process::capture;
use crate::ui;

/// Packages by what they are for.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "compile the kernel and bind it to Rust",
        &["clang-19", "lld-19", "llvm-19", "libclang-19-dev"],
    ),
    (
        "configure and link the kernel",
        &[
            "make",
            "gcc",
            "libc6-dev",
            "flex",
            "bison",
            "bc",
            "libelf-dev",
            "libssl-dev",
            "rsync",
            "cpio",
            "kmod",
            "patch",
            "git",
        ],
    ),
    ("unpack the kernel source", &["xz-utils", "ca-certificates"]),
    (
        "compile and check device trees",
        &[
            "device-tree-compiler",
            "python3",
            "python3-venv",
            "python3-dev",
        ],
    ),
    ("emulate the ZynqMP", &["qemu-system-arm"]),
];

/// The oldest QEMU whose ZynqMP the tests are known to pass on.
const QEMU_MAJOR: u32 = 10;

/// Installs what every command needs; does nothing, quickly, when nothing is missing.
pub(crate) fn packages(cache: &Cache) -> Result<()> {
    install_missing(cache, &GROUPS)?;
    match qemu_major() {
        Some(major) if major >= QEMU_MAJOR => Ok(()),
        Some(major) => bail!("QEMU {major} is installed; {QEMU_MAJOR} or newer is needed"),
        None => bail!("qemu-system-aarch64 is not on the search path after installing it"),
    }
}

/// Installs those packages of `groups` that are missing, saying what each group is for.
pub(crate) fn install_missing(cache: &Cache, groups: &[(&str, &[&str])]) -> Result<()> {
    let installed = installed()?;
    let usable = |name: &str| match name {
        // A QEMU from elsewhere is as good; Debian 12's own is too old.
        "qemu-system-arm" => qemu_major().is_some_and(|major| major >= QEMU_MAJOR),
        _ => installed.iter().any(|have| have == name),
    };
    let mut missing = Vec::new();
    for (why, names) in groups {
        let group: Vec<&str> = names.iter().copied().filter(|name| !usable(name)).collect();
        if !group.is_empty() {
            ui::note(format!(
                "to {why}, these packages are needed: {}",
                group.join(" ")
            ));
            missing.extend(group);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let codename = codename()?;
    let backports = format!("{codename}-backports");
    let old_release = codename == "bookworm";
    let suites: &[&str] = if old_release { &[&backports] } else { &[] };
    Apt::open(cache, "apt", suites)?.install(&missing)
}

/// Names of all installed packages.
fn installed() -> Result<Vec<String>> {
    let list = capture(Command::new("dpkg-query").args([
        "-W",
        "-f",
        "${Package} ${db:Status-Status}\\n",
    ]))?;
    Ok(list
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .map(str::to_owned)
        .collect())
}

/// The major version of the QEMU on the search path.
fn qemu_major() -> Option<u32> {
    let text = capture(Command::new("qemu-system-aarch64").arg("--version")).ok()?;
    qemu_version(&text)
}

fn qemu_version(text: &str) -> Option<u32> {
    text.split_once("version ")?
        .1
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_that_debian_decorates() {
        let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\n";
        assert_eq!(qemu_version(text), Some(10));
        assert_eq!(qemu_version("no such program"), None);
    }
}
