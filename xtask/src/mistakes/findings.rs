// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the cache model found in a run, as it wrote it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// One report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) kind: String,
    /// Where it showed.
    pub(crate) at: Place,
    /// What led to it.
    pub(crate) cause: Place,
}

/// Where something happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) process: Option<u64>,
    /// The functions, innermost first.
    pub(crate) frames: Vec<String>,
}

/// Reads the reports in a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Finding>> {
    let failed = || format!("no findings of the cache model in {}", path.display());
    let text = fs::read_to_string(path).with_context(failed)?;
    let value: Value = serde_json::from_str(&text).with_context(failed)?;
    let reports = value["reports"].as_array().with_context(failed)?;
    Ok(reports.iter().map(finding).collect())
}

/// The kinds of all reports.
pub(crate) fn kinds<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> BTreeSet<String> {
    let kind = |finding: &'a Finding| finding.kind.clone();
    findings.into_iter().map(kind).collect()
}

impl Finding {
    /// Whether it belongs to a process, given whether a process is one of those that were started.
    ///
    /// A program may fork: what shows in a child belongs to the process that led to it.
    pub(crate) fn belongs_to(&self, process: u64, started: impl Fn(u64) -> bool) -> bool {
        let place = match self.at.process {
            Some(at) if started(at) => &self.at,
            _ => &self.cause,
        };
        place.process == Some(process)
    }

    /// Whether a function is named at either place.
    pub(crate) fn names(&self, function: &str) -> bool {
        let frames = self.at.frames.iter().chain(&self.cause.frames);
        let words = |frame: &'_ String| {
            let word = |c: char| !(c.is_alphanumeric() || c == '_');
            frame.split(word).any(|word| word == function)
        };
        frames.clone().any(words)
    }
}

fn finding(value: &Value) -> Finding {
    Finding {
        kind: value["kind"].as_str().unwrap_or_default().to_owned(),
        at: place(&value["at"]),
        cause: place(&value["cause"]),
    }
}

fn place(value: &Value) -> Place {
    let frames = value["frames"].as_array().into_iter().flatten();
    Place {
        process: value["process"]["pid"].as_u64(),
        frames: frames
            .filter_map(|frame| frame["function"].as_str())
            .map(str::to_owned)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(process: u64) -> Place {
        Place {
            process: Some(process),
            frames: Vec::new(),
        }
    }

    #[test]
    fn a_report_is_read() {
        let text = r#"{"kind": "missing-clean", "cause": null,
            "at": {"frames": [{"function": "store<u8>", "location": "memory.rs:1"}],
                "process": {"pid": 7, "name": "x"}}}"#;
        let found = finding(&serde_json::from_str(text).unwrap());
        assert_eq!(found.kind, "missing-clean");
        assert_eq!(found.at.process, Some(7));
        assert_eq!(found.cause, Place::default());
        assert!(found.names("store") && !found.names("stor"));
    }

    #[test]
    fn a_report_belongs_to_where_it_showed() {
        let found = Finding {
            at: at(7),
            cause: at(5),
            ..Finding::default()
        };
        let started = |process| process == 5 || process == 7;
        assert!(found.belongs_to(7, started));
        assert!(!found.belongs_to(5, started));
    }

    #[test]
    fn what_shows_in_a_child_belongs_to_its_parent() {
        let found = Finding {
            at: at(8),
            cause: at(7),
            ..Finding::default()
        };
        assert!(found.belongs_to(7, |process| process == 7));
    }
}
