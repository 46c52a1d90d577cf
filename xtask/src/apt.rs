// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian packages, through apt with a configuration of its own in the cache.
//!
//! The system's mirror and keys are used, but its list of sources is not changed: backports and
//! the arm64 packages are known only to this configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::cache::{Cache, Lock};
use crate::files::sha256_file;
use crate::process::{capture, on_path, run_logged, shown};
use crate::sources::{self, Source};
use crate::ui::{self, Step};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A private apt configuration.
#[derive(Debug)]
pub(crate) struct Apt {
    dir: PathBuf,
    config: PathBuf,
    sources: Vec<Source>,
    updated: bool,
    /// Two runs at once take turns.
    _lock: Lock,
}

impl Apt {
    /// Writes the configuration: the system's suites and, from the same mirror, `extra_suites`.
    pub(crate) fn open(cache: &Cache, name: &str, extra_suites: &[&str]) -> Result<Self> {
        let lock = cache.lock(name)?;
        let dir = cache.dir(name)?;
        let mut sources = sources::of_release(&codename()?)?;
        let mirror = sources[0].uri.clone();
        for suite in extra_suites {
            if !sources.iter().any(|source| source.suite == *suite) {
                sources.push(Source {
                    uri: mirror.clone(),
                    suite: (*suite).to_owned(),
                });
            }
        }
        let config = dir.join("apt.conf");
        let this = Self {
            dir,
            config,
            sources,
            updated: false,
            _lock: lock,
        };
        this.write()?;
        Ok(this)
    }

    fn write(&self) -> Result<()> {
        let native = capture(Command::new("dpkg").arg("--print-architecture"))?;
        let mut stanzas = String::new();
        for source in &self.sources {
            stanzas.push_str(&format!(
                "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\n\
                 Architectures: {} arm64\nSigned-By: {KEYRING}\n\n",
                source.uri,
                source.suite,
                native.trim()
            ));
        }
        // Backports count less than the release; of them only QEMU is wanted.
        let preferences = format!(
            "Package: src:qemu\nPin: release n={}-backports\nPin-Priority: 900\n",
            codename()?
        );
        let dir = self.dir.display();
        let config = format!(
            "Dir::State::lists \"{dir}/lists\";\n\
             Dir::Cache \"{dir}/cache\";\n\
             Dir::Etc::sourcelist \"/dev/null\";\n\
             Dir::Etc::sourceparts \"{dir}/sources\";\n\
             Dir::Etc::preferences \"{dir}/preferences\";\n\
             APT::Architectures {{ \"{}\"; \"arm64\"; }};\n\
             APT::Sandbox::User \"root\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::Retries \"5\";\n",
            native.trim()
        );
        for sub in ["lists/partial", "cache/archives/partial", "sources"] {
            fs::create_dir_all(self.dir.join(sub))?;
        }
        fs::write(self.dir.join("sources/debian.sources"), stanzas)?;
        fs::write(self.dir.join("preferences"), preferences)?;
        fs::write(&self.config, config)?;
        Ok(())
    }

    /// The mirror of the running release.
    pub(crate) fn mirror(&self) -> Result<String> {
        sources::resolve(&self.sources[0].uri)
    }

    /// Fetches the package lists, once per run.
    fn update(&mut self) -> Result<()> {
        if self.updated {
            return Ok(());
        }
        let step = Step::start("apt: package lists (kept apart from the system's)");
        let mut command = Command::new("apt-get");
        command.arg("-c").arg(&self.config).args(["-q", "update"]);
        run_logged(&mut command, &self.dir.join("update.log"), |_| {})?;
        step.done();
        self.updated = true;
        Ok(())
    }

    /// Installs packages on this machine.
    ///
    /// # Errors
    ///
    /// Without root and sudo, with the command to run.
    pub(crate) fn install(&mut self, packages: &[&str]) -> Result<()> {
        self.update()?;
        let mut words: Vec<String> = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-c"]
            .map(str::to_owned)
            .to_vec();
        words.push(self.config.display().to_string());
        words.extend(
            [
                "-o",
                "Dir::Cache::archives=/var/cache/apt/archives",
                "-q",
                "-y",
            ]
            .map(str::to_owned),
        );
        words.extend(["install", "--no-install-recommends"].map(str::to_owned));
        words.extend(packages.iter().map(|p| (*p).to_owned()));
        let root = capture(Command::new("id").arg("-u"))?.trim() == "0";
        if !root {
            if !on_path("sudo") {
                bail!(
                    "packages are missing, and this is neither root nor is sudo there. \
                     As root, run:\n\n    {}\n\nand then this command again",
                    words.join(" ")
                );
            }
            words.insert(0, "sudo".to_owned());
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        ui::note(format!("running: {}", shown(&command)));
        let mut step = Step::start(format!("apt: install {} packages", packages.len()));
        run_logged(&mut command, &self.dir.join("install.log"), |line| {
            step.progress(|| line.chars().take(60).collect());
        })?;
        step.done();
        Ok(())
    }

    /// Downloads a package, verified by apt, without installing it; returns the file.
    pub(crate) fn download(&mut self, package: &str, into: &Path) -> Result<PathBuf> {
        self.update()?;
        let mut command = Command::new("apt-get");
        command
            .arg("-c")
            .arg(&self.config)
            .args(["-q", "download", package])
            .current_dir(into);
        run_logged(&mut command, &self.dir.join("download.log"), |_| {})?;
        let stem = package.split([':', '=']).next().unwrap_or(package);
        fs::read_dir(into)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| {
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
                name.is_some_and(|n| n.starts_with(&format!("{stem}_")) && n.ends_with(".deb"))
            })
            .with_context(|| format!("apt-get download {package} left no file"))
    }
}

/// Fetches `uri` to `file` with apt's downloader, which knows the system's proxies.
///
/// # Errors
///
/// When it cannot be had in several attempts, or its SHA-256 is another.
pub(crate) fn fetch(uri: &str, file: &Path, sha256: &str, size_hint: u64) -> Result<()> {
    if file.is_file() && sha256_file(file)? == sha256 {
        return Ok(());
    }
    let name = file
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let partial = file.with_file_name(format!("{name}.partial"));
    let mut step = Step::start(format!("download {name}"));
    let mut last = None;
    for _ in 0..3 {
        let mut command = Command::new("/usr/lib/apt/apt-helper");
        command.args(["-o", "Acquire::Retries=3", "-o", "APT::Sandbox::User=root"]);
        command
            .args(["-q", "download-file", uri])
            .arg(&partial)
            .arg(format!("SHA256:{sha256}"));
        match download(&mut command, &partial, size_hint, &mut step) {
            Ok(()) if sha256_file(&partial)? == sha256 => {
                fs::rename(&partial, file)?;
                step.done();
                return Ok(());
            }
            Ok(()) => last = Some(anyhow::anyhow!("{uri} has another SHA-256 than {sha256}")),
            Err(error) => last = Some(error),
        }
        // What arrived may be the wrong bytes, which no resumed download would repair.
        let _ = fs::remove_file(&partial);
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("not tried"))).context(format!("cannot fetch {uri}"))
}

fn download(command: &mut Command, file: &Path, size_hint: u64, step: &mut Step) -> Result<()> {
    let mut child = command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", shown(command)))?;
    loop {
        if let Some(status) = child.try_wait()? {
            let output = child.wait_with_output()?;
            if !status.success() {
                bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
            }
            return Ok(());
        }
        let have = fs::metadata(file).map_or(0, |data| data.len());
        step.progress(|| format!("{} of {} MB", have / 1_000_000, size_hint / 1_000_000));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The code name of the running Debian release.
pub(crate) fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let value = |name: &str| {
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
        line.map(|v| v.trim_matches('"').to_owned())
    };
    match (value("ID").as_deref(), value("VERSION_CODENAME")) {
        (Some("debian"), Some(name)) => Ok(name),
        (id, _) => bail!(
            "this is not a Debian release with a code name (ID={}): set-up knows Debian 12 and 13",
            id.unwrap_or("unknown")
        ),
    }
}
