// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs from Python's package index, each in an environment of its own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cache::{Cache, Key};
use crate::process::run_logged;
use crate::ui::Step;

/// Installs a package into the cache, or finds it there; the folder of its programs.
pub(crate) fn install(cache: &Cache, package: &str, version: &str) -> Result<PathBuf> {
    let key = Key::default().part(package, version);
    let entry = cache.entry(package, &key, |dir, _| {
        let step = Step::start(format!("install {package} {version}"));
        let log = dir.join("install.log");
        // Debian's Python, for which set-up has installed the package with venv.
        run_logged(
            Command::new("/usr/bin/python3")
                .args(["-m", "venv"])
                .arg(dir),
            &log,
            |_| {},
        )?;
        let mut pip = Command::new(dir.join("bin/pip"));
        pip.args(["install", "--quiet", &format!("{package}=={version}")]);
        run_logged(&mut pip, &log, |_| {})?;
        step.done();
        Ok(())
    })?;
    Ok(entry.join("bin"))
}
