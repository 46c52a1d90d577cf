// SPDX-License-Identifier: MIT OR Apache-2.0

//! Licences, sources and known faults of the dependencies.

use std::process::Command;

use anyhow::{bail, Result};

use crate::context::Context;
use crate::process::{capture, on_path, run};
use crate::toolchain::cargo_install;
use crate::ui::note;

/// The release of cargo-deny that is built where none is installed.
const CARGO_DENY: &str = "0.18.5";

/// Licences and sources of the dependencies, and known faults where the list can be had.
pub(crate) fn check(context: &Context) -> Result<()> {
    let program = if on_path("cargo-deny") {
        "cargo-deny".into()
    } else {
        let Context { cache, tools, .. } = context;
        cargo_install(cache, &tools.cargo, "cargo-deny", CARGO_DENY, "dev")?.join("bin/cargo-deny")
    };
    let deny = |what: &[&str]| {
        let mut command = Command::new(&program);
        command
            .current_dir(&context.root)
            .args(["check", "--hide-inclusion-graph"]);
        command.args(what);
        command
    };
    run(&mut deny(&["licenses", "bans", "sources"]))?;
    if let Err(error) = capture(&mut deny(&["advisories"])) {
        let text = format!("{error:#}");
        if !text.contains("failed to fetch advisory database") {
            bail!("{text}");
        }
        note("the list of known faults could not be fetched: not checked");
    }
    Ok(())
}
