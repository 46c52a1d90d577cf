// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian's own Rust packages as the toolchain.

use std::path::PathBuf;

use anyhow::{bail, Result};

use crate::cache::Cache;

/// Debian has no musl build of the library, so guest programs link glibc statically.
pub(crate) const TARGET: &str = "aarch64-unknown-linux-gnu";

/// What Debian's packages give.
#[derive(Debug)]
pub(crate) struct DebianRust {
    pub(crate) library: PathBuf,
    pub(crate) guest_env: Vec<(String, String)>,
}

/// Installs what is missing for the guest's target.
pub(crate) fn prepare(_cache: &Cache) -> Result<DebianRust> {
    bail!("Debian's Rust is not supported yet: use rustup")
}
