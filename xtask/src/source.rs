// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's source: where it comes from, and the patches it needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};

use crate::apt::{fetch, Apt};
use crate::cache::{Cache, Key};
use crate::files::{sha256_file, with_extension};
use crate::process::{capture, run_logged, shown};
use crate::ui::{self, Step};

/// Debian's package of the release that everything is tested with, below a mirror's address.
const PACKAGE: &str = "pool/main/l/linux/linux-source-6.18_6.18.15-1~bpo13+1_all.deb";
const PACKAGE_SHA256: &str = "1638c9e5f4307c722231d8000e30cd2fa2fb71f55e081ff9eecfd0a756955c18";
const PACKAGE_BYTES: u64 = 158_400_124;

/// The same release from its authors, for when the mirror no longer has the package.
const TARBALL: &str = "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.18.15.tar.xz";
const TARBALL_SHA256: &str = "7c716216c3c4134ed0de69195701e677577bbcdd3979f331c182acd06bf2f170";
const TARBALL_BYTES: u64 = 154_000_000;

/// The package name that is searched for when neither can be had.
const SERIES: &str = "linux-source-6.18";
/// Debian's suite that holds the series.
const SERIES_SUITE: &str = "trixie-backports";

/// A third of the tree's size that no build for this board reads.
const UNREAD: [&str; 3] = [
    "drivers/gpu/drm/amd/*.[ch]",
    "Documentation/*.rst",
    "Documentation/*.svg",
];

/// A downloaded archive.
struct Archive {
    file: PathBuf,
    sha256: String,
}

/// Returns the unpacked and patched source, from the cache if it is there.
pub(crate) fn prepare(cache: &Cache, patches: &Path) -> Result<PathBuf> {
    let key = |sum: &str| -> Result<Key> {
        let mut key = Key::default()
            .part("archive", sum)
            .part("leave out", &UNREAD.join(" "));
        for patch in with_extension(patches, "patch")? {
            key = key.part("patch", &sha256_file(&patch)?);
        }
        Ok(key)
    };
    // A complete tree needs no archive, and so neither the network nor a look at it.
    for sum in [PACKAGE_SHA256, TARBALL_SHA256] {
        if let Some(dir) = cache.complete("source", &key(sum)?) {
            return Ok(dir.join("linux"));
        }
    }
    let downloads = cache.dir("downloads")?;
    let lock = cache.lock("downloads")?;
    let archive = download(cache, &downloads)?;
    drop(lock);
    let dir = cache.entry("source", &key(&archive.sha256)?, |dir, _| {
        unpack(&archive.file, &dir.join("linux"))?;
        apply_patches(&dir.join("linux"), patches)
    })?;
    Ok(dir.join("linux"))
}

fn download(cache: &Cache, downloads: &Path) -> Result<Archive> {
    let file_of = |uri: &str| downloads.join(uri.rsplit('/').next().unwrap_or(uri));
    let pinned = |uri: &str, sha256: &str, bytes: u64| -> Result<Archive> {
        let file = file_of(uri);
        fetch(uri, &file, sha256, bytes)?;
        Ok(Archive {
            file,
            sha256: sha256.to_owned(),
        })
    };
    let mut apt = Apt::open(cache, "apt-kernel", &[SERIES_SUITE])?;
    let first = match pinned(
        &format!("{}/{PACKAGE}", apt.mirror()?),
        PACKAGE_SHA256,
        PACKAGE_BYTES,
    ) {
        Ok(archive) => return Ok(archive),
        Err(error) => error,
    };
    ui::note(format!("{first:#}"));
    ui::note(format!("so the kernel's own release is taken: {TARBALL}"));
    let second = match pinned(TARBALL, TARBALL_SHA256, TARBALL_BYTES) {
        Ok(archive) => return Ok(archive),
        Err(error) => error,
    };
    ui::note(format!("{second:#}"));
    ui::note(format!(
        "so the newest {SERIES} in {SERIES_SUITE} is taken, as apt verifies it"
    ));
    let newest = downloads.join("newest");
    if newest.exists() {
        fs::remove_dir_all(&newest)?;
    }
    fs::create_dir_all(&newest)?;
    let file = apt
        .download(SERIES, &newest)
        .context("no source of Linux 6.18 can be had; --kernel-src DIR takes a tree of your own")?;
    ui::note(format!("using {}", file.display()));
    let sha256 = sha256_file(&file)?;
    Ok(Archive { file, sha256 })
}

/// Unpacks a tarball, or the one inside a Debian package, without its top folder.
fn unpack(archive: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    let step = Step::start("unpack the kernel source");
    let mut stages = Vec::new();
    if archive.extension().is_some_and(|e| e == "deb") {
        let mut package = Command::new("dpkg-deb");
        package.arg("--fsys-tarfile").arg(archive);
        let mut inner = Command::new("tar");
        inner.args(["-x", "-O", "--wildcards", "./usr/src/linux-source-*.tar.xz"]);
        stages.extend([package, inner]);
    } else {
        let mut read = Command::new("cat");
        read.arg(archive);
        stages.push(read);
    }
    let mut tar = Command::new("tar");
    tar.args(["-x", "-J", "--strip-components=1"])
        .arg("-C")
        .arg(into);
    for pattern in UNREAD {
        tar.arg(format!("--exclude=*/{pattern}"));
    }
    stages.push(tar);
    pipeline(stages)?;
    step.done();
    Ok(())
}

/// Runs commands as a shell's pipe does; all must succeed.
fn pipeline(stages: Vec<Command>) -> Result<()> {
    let mut children = Vec::new();
    let mut input = Stdio::null();
    let last = stages.len() - 1;
    for (index, mut stage) in stages.into_iter().enumerate() {
        stage.stdin(input);
        input = Stdio::null();
        if index != last {
            stage.stdout(Stdio::piped());
        }
        let name = shown(&stage);
        let mut child = stage
            .spawn()
            .with_context(|| format!("cannot run `{name}`"))?;
        if let Some(output) = child.stdout.take() {
            input = Stdio::from(output);
        }
        children.push((name, child));
    }
    for (name, mut child) in children {
        let status = child.wait()?;
        if !status.success() {
            bail!("`{name}` failed ({status})");
        }
    }
    Ok(())
}

/// Applies each patch that the tree does not hold yet.
fn apply_patches(tree: &Path, dir: &Path) -> Result<()> {
    for patch in with_extension(dir, "patch")? {
        if lacks(tree, &patch)? {
            let mut command = patch_command(tree, &patch);
            run_logged(
                command.arg("--forward"),
                &tree.with_file_name("patch.log"),
                |_| {},
            )?;
        }
    }
    Ok(())
}

/// The patches that a tree of the user's own lacks; it is never changed.
pub(crate) fn missing_patches(tree: &Path, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut missing = Vec::new();
    for patch in with_extension(dir, "patch")? {
        // A later release may have changed the place, and then needs no patch.
        if lacks(tree, &patch).unwrap_or(false) {
            missing.push(patch);
        }
    }
    Ok(missing)
}

/// Whether a patch still has to be applied.
///
/// # Errors
///
/// When it neither fits nor is there already.
fn lacks(tree: &Path, patch: &Path) -> Result<bool> {
    let dry = |direction: &str| {
        capture(patch_command(tree, patch).args(["--dry-run", "--force", direction]))
    };
    if dry("--reverse").is_ok() {
        return Ok(false);
    }
    dry("--forward").map(|_| true)
}

fn patch_command(tree: &Path, patch: &Path) -> Command {
    let mut command = Command::new("patch");
    command
        .args(["-p1", "--batch", "-d"])
        .arg(tree)
        .arg("-i")
        .arg(patch);
    command
}
