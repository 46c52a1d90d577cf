// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian's own Rust packages as the toolchain.
//!
//! There are two sets of them: `rustc` of the release, and the newer `rustc-web` beside it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::apt::Apt;
use crate::cache::{Cache, Key};
use crate::process::capture;
use crate::setup;

/// Debian has no musl build of the library, so guest programs link glibc statically.
pub(crate) const TARGET: &str = "aarch64-unknown-linux-gnu";

/// What links them.
const CROSS: [&str; 2] = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];

/// Installs what is missing, and returns the environment with which Cargo builds for [`TARGET`].
///
/// `version` is the compiler's own account of itself.
pub(crate) fn prepare(cache: &Cache, version: &str) -> Result<Vec<(String, String)>> {
    let owner = capture(Command::new("dpkg-query").args(["-S", "/usr/bin/rustc"]))
        .context("/usr/bin/rustc is of no Debian package")?;
    let web = owner.starts_with("rustc-web:");
    let (tools, library) = if web {
        (
            ["rust-web-src", "rustfmt-web", "rust-web-clippy"],
            "libstd-rust-web-dev",
        )
    } else {
        (["rust-src", "rustfmt", "rust-clippy"], "libstd-rust-dev")
    };
    setup::install_missing(
        cache,
        &[
            ("compile Rust for the kernel, and check it", &tools),
            ("link the guest's programs", &CROSS),
        ],
    )?;
    let libraries = library_for_target(cache, library, version)?;
    let variable = |name: &str| format!("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_{name}");
    let flags = format!("-L {} -C target-feature=+crt-static", libraries.display());
    Ok(vec![
        (variable("LINKER"), "aarch64-linux-gnu-gcc".to_owned()),
        (variable("RUSTFLAGS"), flags),
    ])
}

/// The standard library for the guest, unpacked into the cache.
///
/// Installing the package would need arm64 to be made one of the system's architectures.
fn library_for_target(cache: &Cache, package: &str, version: &str) -> Result<PathBuf> {
    let key = Key::default()
        .part("package", package)
        .part("rustc", version);
    let entry = cache.entry("rust-library", &key, |dir, _| {
        let file = Apt::open(cache, "apt", &[])?.download(&format!("{package}:arm64"), dir)?;
        capture(
            Command::new("dpkg-deb")
                .arg("-x")
                .arg(&file)
                .arg(dir.join("root")),
        )?;
        Ok(())
    })?;
    Ok(entry.join("root/usr/lib/rustlib").join(TARGET).join("lib"))
}
