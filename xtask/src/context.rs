// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where things are: the checkout, the build folder, the cache, the tools.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cache::Cache;
use crate::toolchain::Toolchain;
use crate::{process, setup};

/// What every subcommand needs.
#[derive(Debug)]
pub(crate) struct Context {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's build folder, in which xtask keeps its own beside Cargo's.
    pub(crate) target: PathBuf,
    pub(crate) cache: Cache,
    pub(crate) tools: Toolchain,
}

impl Context {
    /// Finds the folders, and installs what the machine lacks.
    pub(crate) fn prepare() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().unwrap_or(Path::new(".")).to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::path::absolute(dir)?,
            None => root.join("target"),
        };
        let cache = Cache::open()?;
        setup::packages(&cache)?;
        let tools = Toolchain::find(&cache)?;
        Ok(Self {
            root,
            target,
            cache,
            tools,
        })
    }

    /// As [`prepare`](Self::prepare) for another checkout, with a build folder of its own.
    pub(crate) fn elsewhere(root: &Path, target: &Path) -> Result<Self> {
        let mut context = Self::prepare()?;
        root.clone_into(&mut context.root);
        target.clone_into(&mut context.target);
        let cargo_target = target.display().to_string();
        let guest_env = &mut context.tools.guest_env;
        guest_env.push(("CARGO_TARGET_DIR".to_owned(), cargo_target));
        Ok(context)
    }

    /// Cargo, at the root of the checkout.
    pub(crate) fn cargo(&self) -> std::process::Command {
        let mut command = self.tools.cargo();
        command.current_dir(&self.root);
        command
    }

    /// Files that git tracks, relative to the checkout.
    ///
    /// # Errors
    ///
    /// When the sources are no checkout.
    pub(crate) fn tracked_files(&self) -> Result<Vec<PathBuf>> {
        let list = process::capture(
            std::process::Command::new("git")
                .current_dir(&self.root)
                .args(["-c", "safe.directory=*", "ls-files", "-z"]),
        )?;
        Ok(list
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(PathBuf::from)
            .collect())
    }
}
