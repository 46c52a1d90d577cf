// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which package of a recipe has which of the files that it installs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{bail, Result};

use super::steps::Work;
use crate::files::files_below;

/// The packages that every recipe has, after its own and in this order, and what they take of what the
/// recipes here install: the beginning of oe-core's `FILES` in `conf/bitbake.conf`. `%` is the
/// recipe's name, which the package's name begins with.
const STANDARD: [(&str, &[&str]); 4] = [
    ("-staticdev", &["/usr/lib/*.a"]),
    (
        "-dev",
        &[
            "/usr/include",
            "/usr/lib/lib*.so",
            "/usr/lib/pkgconfig",
            "/usr/lib/cmake",
        ],
    ),
    ("-doc", &["/usr/share/doc", "/usr/share/man"]),
    (
        "",
        &[
            "/usr/bin/*",
            "/usr/lib/lib*.so.*",
            "/usr/lib/%/*",
            "/lib/udev",
        ],
    ),
];

/// Gives each installed file to the first package that wants it, as BitBake does.
///
/// # Errors
///
/// When a file is left over or a package that the recipe names is empty: BitBake would refuse the
/// one, and make no package of the other.
pub(crate) fn check(work: &Work) -> Result<()> {
    let (name, _) = work.recipe.name_and_version();
    let own = work.words("PACKAGES")?;
    let mut packages = Vec::new();
    for package in &own {
        packages.push((package.clone(), work.files_of(package, &name)?));
    }
    for (suffix, patterns) in STANDARD {
        let package = format!("{name}{suffix}");
        let mut wanted: Vec<String> = patterns.iter().map(|p| p.replace('%', &name)).collect();
        wanted.extend(work.files_of(&package, &name)?);
        packages.push((package, wanted));
    }
    let installed = files_below(&work.image)?;
    let installed = installed.iter().filter_map(|path| below(&work.image, path));
    let (packaged, left) = distribute(installed, &packages);
    if !left.is_empty() {
        bail!("{name} installs what is in no package: {}", left.join(", "));
    }
    let empty = own
        .iter()
        .filter(|package| !packaged.contains_key(*package));
    let empty: Vec<&str> = empty.map(String::as_str).collect();
    if !empty.is_empty() {
        bail!("{name} has nothing for {}", empty.join(", "));
    }
    Ok(())
}

/// A file's place in the target's file system.
fn below(root: &Path, path: &Path) -> Option<String> {
    let path = path.strip_prefix(root).ok()?;
    Some(format!("/{}", path.display()))
}

/// The files of each package, and those of none.
fn distribute(
    files: impl Iterator<Item = String>,
    packages: &[(String, Vec<String>)],
) -> (BTreeMap<String, Vec<String>>, Vec<String>) {
    let mut packaged = BTreeMap::<String, Vec<String>>::new();
    let mut left = Vec::new();
    for file in files {
        let wants = |patterns: &Vec<String>| patterns.iter().any(|p| covers(p, &file));
        match packages.iter().find(|(_, patterns)| wants(patterns)) {
            Some((package, _)) => packaged.entry(package.clone()).or_default().push(file),
            None => left.push(file),
        }
    }
    (packaged, left)
}

/// Whether a pattern of `FILES` takes a file: by its path, or by that of a folder above it.
fn covers(pattern: &str, file: &str) -> bool {
    let mut parts = file.split('/');
    pattern
        .split('/')
        .all(|wanted| parts.next().is_some_and(|part| matches(wanted, part)))
}

/// Whether a name matches a pattern, where `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(rest) = name.strip_prefix(head) else {
        return false;
    };
    (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| matches(tail, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_files_and_folders() {
        assert!(covers("/usr/bin/a-*", "/usr/bin/a-b"));
        assert!(!covers("/usr/bin/a-*", "/usr/bin/a"));
        assert!(covers("/usr/include", "/usr/include/x/y.h"));
        assert!(!covers("/usr/include", "/usr/includes/y.h"));
        assert!(covers("/usr/lib/lib*.so.*", "/usr/lib/liba.so.0.1"));
        assert!(!covers("/usr/lib/lib*.so.*", "/usr/lib/liba.so"));
        assert!(!covers("/usr/lib/*.a", "/usr/lib"));
    }

    #[test]
    fn the_first_package_gets_a_file() {
        let packages = [
            ("tool".to_owned(), vec!["/usr/bin/tool".to_owned()]),
            ("all".to_owned(), vec!["/usr/bin/*".to_owned()]),
        ];
        let files = ["/usr/bin/tool", "/usr/bin/other", "/opt/x"];
        let (packaged, left) = distribute(files.map(str::to_owned).into_iter(), &packages);
        assert_eq!(packaged["tool"], ["/usr/bin/tool"]);
        assert_eq!(packaged["all"], ["/usr/bin/other"]);
        assert_eq!(left, ["/opt/x"]);
    }
}
