// SPDX-License-Identifier: MIT OR Apache-2.0

//! A copy of the tree in the build folder, to which patches are applied one at a time.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::files::files_below;
use crate::process::capture;

/// The copy.
#[derive(Debug)]
pub(crate) struct TreeCopy<'a> {
    original: &'a Context,
    /// The copy as a checkout of its own, with a build folder of its own.
    pub(crate) context: Context,
}

impl<'a> TreeCopy<'a> {
    /// A copy in a folder of the build folder. It is filled by [`restore`](Self::restore).
    pub(crate) fn new(original: &'a Context, folder: &str) -> Result<Self> {
        let folder = original.target.join(folder);
        Ok(Self {
            original,
            context: Context::elsewhere(&folder.join("tree"), &folder)?,
        })
    }

    /// Makes the copy equal to the tree; files that are equal keep their times.
    pub(crate) fn restore(&self) -> Result<()> {
        let (from, to) = (&self.original.root, &self.context.root);
        fs::create_dir_all(to)?;
        let tracked: BTreeSet<_> = self.original.tracked_files()?.into_iter().collect();
        for path in &tracked {
            let Ok(content) = fs::read(from.join(path)) else {
                continue;
            };
            let copy = to.join(path);
            if fs::read(&copy).is_ok_and(|old| old == content) {
                continue;
            }
            if let Some(folder) = copy.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::copy(from.join(path), &copy)
                .with_context(|| format!("cannot write {}", copy.display()))?;
        }
        for path in files_below(to)? {
            if !tracked.contains(path.strip_prefix(to)?) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Applies a patch to the copy.
    ///
    /// # Errors
    ///
    /// When the patch does not fit, of which part may have been applied.
    pub(crate) fn apply(&self, patch: &Path) -> Result<()> {
        apply(&self.context.root, patch, &[])
    }
}

/// Whether a patch fits the tree at `root`, which is not changed.
pub(crate) fn fits(root: &Path, patch: &Path) -> Result<()> {
    apply(root, patch, &["--dry-run"])
}

fn apply(root: &Path, patch: &Path, options: &[&str]) -> Result<()> {
    let mut command = Command::new("patch");
    command.current_dir(root).args(options);
    command.args(["-p1", "--silent", "--force", "--no-backup-if-mismatch"]);
    capture(command.arg("--input").arg(patch))
        .with_context(|| format!("{} is out of date", patch.display()))?;
    Ok(())
}
