// SPDX-License-Identifier: MIT OR Apache-2.0

//! What layers say of themselves, and what they hold.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::BACKPORT;
use crate::files::files_below;

/// The words of a variable in a layer's configuration.
pub(super) fn setting(layer: &Path, name: &str) -> Result<Vec<String>> {
    let path = layer.join("conf/layer.conf");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|rest| rest.trim_start().strip_prefix('='));
    let value = value.with_context(|| format!("{} sets no {name}", path.display()))?;
    Ok(value
        .trim()
        .trim_matches('"')
        .split_whitespace()
        .map(str::to_owned)
        .collect())
}

/// The project's layers for a release.
pub(super) fn of_project(own: &Path, release: &str) -> Vec<PathBuf> {
    let backport = own.join(format!("{}{release}", &BACKPORT[1..]));
    let backport = backport.is_dir().then_some(backport);
    [own.to_owned()].into_iter().chain(backport).collect()
}

/// Appends of a layer whose recipe no given layer has, as patterns of `BBMASK`.
pub(super) fn dangling(layer: &Path, all: &[PathBuf]) -> Result<Vec<String>> {
    let mut recipes = BTreeSet::new();
    for layer in all {
        let files = files_below(layer)?;
        recipes.extend(files.iter().filter_map(|path| stem(path, "bb")));
    }
    let mut masked = Vec::new();
    for path in files_below(layer)? {
        let Some(append) = stem(&path, "bbappend") else {
            continue;
        };
        // Appends in dynamic layers are there only with the layer that they are for.
        if !recipes.iter().any(|recipe| applies(&append, recipe))
            && !path.starts_with(layer.join("dynamic-layers"))
        {
            masked.push(format!("/{append}.bbappend"));
        }
    }
    Ok(masked)
}

/// The name and version of a recipe, from that of a file with the extension.
fn stem(path: &Path, extension: &str) -> Option<String> {
    let fits = path.extension()? == extension;
    fits.then(|| path.file_stem()?.to_str().map(str::to_owned))?
}

/// Whether an append is for a recipe: `%` stands for the rest of its name and version.
fn applies(append: &str, recipe: &str) -> bool {
    match append.split_once('%') {
        Some((beginning, _)) => recipe.starts_with(beginning),
        None => append == recipe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_fits_names_and_versions() {
        assert!(applies("linux-x_%", "linux-x_6.18"));
        assert!(applies("u-boot%", "u-boot-tools_1"));
        assert!(applies("dtb", "dtb"));
        assert!(!applies("linux-x_%", "linux-xy_6.18"));
        assert!(!applies("dtb", "dtb_1"));
        let name = |path| stem(Path::new(path), "bbappend");
        assert_eq!(name("a/dtb_1.0.bbappend").as_deref(), Some("dtb_1.0"));
        assert_eq!(name("a/dtb_1.0.bb"), None);
    }
}
