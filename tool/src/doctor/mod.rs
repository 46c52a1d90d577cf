// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fpgamem doctor`: what is wrong with a board, and how to mend it.

mod kernel;
mod log;
mod node;
mod pool;
mod tree;

use crate::cli::Global;
use crate::failure::Failure;
use crate::system::System;
use crate::{output, Verdict};
use anstyle::{AnsiColor, Color, Style};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Look at a copy of another board's /proc, /sys, /dev, /etc and /boot instead of this system
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Could not be looked at.
    Unknown,
    /// To be mended.
    Bad,
}

/// What one look has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    check: &'static str,
    status: Status,
    text: String,
    /// What to do about it.
    mend: Option<String>,
}

impl Finding {
    fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self {
            check,
            status: Status::Good,
            text: text.into(),
            mend: None,
        }
    }

    fn new(
        check: &'static str,
        status: Status,
        text: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            check,
            status,
            text: text.into(),
            mend: Some(mend.into()),
        }
    }

    fn note(check: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(check, Status::Note, text, mend)
    }

    fn unknown(check: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(check, Status::Unknown, text, mend)
    }

    fn bad(check: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(check, Status::Bad, text, mend)
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    healthy: bool,
    findings: &'a [Finding],
}

/// Runs the command.
pub(crate) fn run(global: &Global, options: &Options) -> Result<Verdict, Failure> {
    let root = options.root.as_deref().unwrap_or(Path::new("/"));
    if !root.is_dir() {
        let what = format!("{} is no folder", root.display());
        return Err(Failure::new(
            what,
            "give a folder with a board's proc, sys, dev, etc and boot",
        ));
    }
    let findings = examine(&System::at(root), &global.path());
    let healthy = findings.iter().all(|finding| finding.status != Status::Bad);
    if global.json {
        output::json(&Report {
            healthy,
            findings: &findings,
        })?;
    } else {
        output::coloured(&text(&findings, healthy))?;
    }
    Ok(if healthy { Verdict::Good } else { Verdict::Bad })
}

fn examine(system: &System, node: &Path) -> Vec<Finding> {
    let mut findings = kernel::examine(system);
    let pools = pool::examine(system, &mut findings);
    kernel::examine_module(system, &mut findings);
    let opened = node::examine(system, node, &mut findings);
    if let Some(info) = &opened {
        findings.extend(pool::compare(&pools, info));
    }
    log::examine(system, opened.is_some(), &mut findings);
    findings
}

fn text(findings: &[Finding], healthy: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let (word, color) = match finding.status {
            Status::Good => ("ok", AnsiColor::Green),
            Status::Note => ("note", AnsiColor::Cyan),
            Status::Unknown => ("?", AnsiColor::Yellow),
            Status::Bad => ("BAD", AnsiColor::Red),
        };
        let style = Style::new().bold().fg_color(Some(Color::Ansi(color)));
        let (on, off) = (style.render(), style.render_reset());
        let _ = writeln!(
            text,
            "{on}{word:<5}{off}{:<13} {}",
            finding.check, finding.text
        );
        if let Some(mend) = &finding.mend {
            let _ = writeln!(text, "{:<19}> {mend}", "");
        }
    }
    let bad = findings
        .iter()
        .filter(|finding| finding.status == Status::Bad);
    let _ = match healthy {
        true => writeln!(text, "\nNothing is wrong with what could be looked at."),
        false => writeln!(text, "\n{} to mend.", bad.count()),
    };
    text
}

#[cfg(test)]
pub(crate) mod tests;
