// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's file system: a cpio archive made by the kernel's own tool, which needs no root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, Context as _, Result};

use crate::apt::Apt;
use crate::cache::{Cache, Key};
use crate::context::Context;
use crate::files::files_below;
use crate::kernel::Kernel;
use crate::process::capture;

/// Empty folders of the guest.
const FOLDERS: [&str; 10] = [
    "/bin",
    "/data",
    "/dev",
    "/etc",
    "/proc",
    "/root",
    "/run",
    "/sys",
    "/tmp",
    "/usr/local/bin",
];

/// Files by their place in the guest.
#[derive(Debug, Default, Clone)]
pub(crate) struct Files {
    files: BTreeMap<String, PathBuf>,
}

impl Files {
    /// Puts a host's file, or all files of a folder, into the guest.
    pub(crate) fn add(&mut self, host: &Path, guest: &str) -> Result<()> {
        if !guest.starts_with('/') {
            bail!("the place in the guest is not an absolute path: {guest}");
        }
        let host =
            fs::canonicalize(host).with_context(|| format!("cannot add {}", host.display()))?;
        if !host.is_dir() {
            self.files.insert(guest.to_owned(), host);
            return Ok(());
        }
        for path in files_below(&host)? {
            let below = path.strip_prefix(&host)?.display().to_string();
            self.files
                .insert(format!("{}/{below}", guest.trim_end_matches('/')), path);
        }
        Ok(())
    }

    /// Puts what `HOST[:GUEST]` says into the guest.
    pub(crate) fn add_argument(&mut self, argument: &str) -> Result<()> {
        if let Some((host, guest)) = argument.rsplit_once(':') {
            if guest.starts_with('/') {
                return self.add(Path::new(host), guest);
            }
        }
        let host = Path::new(argument);
        let name = host
            .file_name()
            .with_context(|| format!("{argument:?} names no file"))?;
        let data = fs::metadata(host).with_context(|| format!("cannot add {argument}"))?;
        let executable = data.is_file() && data.permissions().mode() & 0o111 != 0;
        let folder = if executable { "/bin" } else { "/data" };
        self.add(host, &format!("{folder}/{}", name.to_string_lossy()))
    }

    /// Where the files are on the host.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &Path> {
        self.files.values().map(PathBuf::as_path)
    }

    /// The list that `gen_init_cpio` reads.
    fn list(&self) -> Result<String> {
        let mut folders: BTreeSet<String> = BTreeSet::new();
        let files = self.files.keys().map(|path| Path::new(path.as_str()));
        for path in files.flat_map(|path| path.ancestors().skip(1)).chain(
            FOLDERS
                .iter()
                .flat_map(|folder| Path::new(folder).ancestors()),
        ) {
            folders.insert(path.display().to_string());
        }
        let mut list = String::new();
        for folder in folders.iter().filter(|folder| *folder != "/") {
            list.push_str(&format!("dir {folder} 0755 0 0\n"));
        }
        // The kernel opens it for the first program before anything is mounted.
        list.push_str("nod /dev/console 0600 0 0 c 5 1\nslink /bin/sh busybox 0777 0 0\n");
        for (guest, host) in &self.files {
            let host_name = host.display().to_string();
            if guest.contains(char::is_whitespace) || host_name.contains(char::is_whitespace) {
                bail!("the initramfs cannot hold names with spaces: {host_name} as {guest}");
            }
            let mode = fs::metadata(host)
                .with_context(|| format!("cannot add {host_name}"))?
                .permissions()
                .mode();
            list.push_str(&format!(
                "file {guest} {host_name} {:o} 0 0\n",
                mode & 0o777
            ));
        }
        Ok(list)
    }
}

/// Writes the archive with `files` and the first program.
pub(crate) fn write(
    context: &Context,
    kernel: &Kernel,
    files: &Files,
    dir: &Path,
) -> Result<PathBuf> {
    let mut files = files.clone();
    files.add(&context.root.join("xtask/guest/init"), "/init")?;
    let list = dir.join("initramfs.list");
    fs::write(&list, files.list()?)?;
    let archive = dir.join("initramfs.cpio");
    let status = Command::new(kernel.out.join("usr/gen_init_cpio"))
        .arg(&list)
        .stdout(Stdio::from(File::create(&archive)?))
        .status()
        .context("cannot run gen_init_cpio")?;
    if !status.success() {
        bail!("gen_init_cpio failed on {} ({status})", list.display());
    }
    Ok(archive)
}

/// The guest's basic programs: Debian's static busybox for arm64, verified by apt.
pub(crate) fn busybox(cache: &Cache) -> Result<PathBuf> {
    let key = Key::default().part("package", "busybox-static");
    let entry = cache.entry("busybox", &key, |dir, _| {
        let package = Apt::open(cache, "apt", &[])?.download("busybox-static:arm64", dir)?;
        capture(
            Command::new("dpkg-deb")
                .arg("-x")
                .arg(package)
                .arg(dir.join("root")),
        )?;
        Ok(())
    })?;
    // Releases with a merged /usr have moved it.
    ["root/bin/busybox", "root/usr/bin/busybox"]
        .iter()
        .map(|path| entry.join(path))
        .find(|path| path.is_file())
        .context("the package busybox-static holds no busybox")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_folders_before_the_files_in_them() {
        let mut files = Files::default();
        files
            .add(Path::new("/proc/self/stat"), "/data/deep/stat")
            .unwrap();
        let list = files.list().unwrap();
        let place = |line: &str| list.find(line).unwrap();
        assert!(place("dir /data 0755") < place("dir /data/deep 0755"));
        assert!(place("dir /data/deep 0755") < place("file /data/deep/stat"));
    }

    #[test]
    fn refuses_a_relative_place_in_the_guest() {
        assert!(Files::default()
            .add(Path::new("/proc/self/stat"), "data/x")
            .is_err());
    }
}
