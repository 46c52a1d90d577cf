// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measurements, as programs in the guest print them: a JSON object a line.

use std::collections::BTreeSet;

use anyhow::{bail, Context as _, Result};
use serde_json::Value;

/// What a program measures that does not say which part of it.
const WHOLE: &str = "total";

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) bench: String,
    pub(crate) driver: String,
    pub(crate) bytes: u64,
    /// Buffers that lived beside the one that was measured.
    pub(crate) live: u64,
    pub(crate) phase: String,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) key: Key,
    pub(crate) instructions: u64,
    pub(crate) faults: u64,
    pub(crate) syscalls: Option<u64>,
    /// Cache lines.
    pub(crate) lines: Option<u64>,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            bench,
            driver,
            bytes,
            live,
            phase,
        } = self;
        write!(f, "{bench} {phase} of {driver}, {bytes} bytes, {live} live")
    }
}

impl Sample {
    /// What was counted, by name.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("instructions", Some(self.instructions)),
            ("faults", Some(self.faults)),
            ("syscalls", self.syscalls),
            ("lines", self.lines),
        ]
        .into_iter()
        .filter_map(|(name, count)| Some((name, count?)))
    }
}

/// Reads the lines that are JSON objects.
///
/// # Errors
///
/// When one is no measurement, or two are of the same thing.
pub(crate) fn parse_all<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<Sample>> {
    let lines = lines.into_iter().filter(|line| line.starts_with('{'));
    let samples: Vec<Sample> = lines.map(parse).collect::<Result<_>>()?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = samples.iter().find(|sample| !seen.insert(&sample.key)) {
        bail!("measured twice: {}", twice.key);
    }
    Ok(samples)
}

fn parse(line: &str) -> Result<Sample> {
    let value: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
    let text = |name: &str| {
        let found = value[name].as_str().map(str::to_owned);
        found.with_context(|| format!("{name:?} is no text in {line}"))
    };
    let number = |name: &str| {
        value[name]
            .as_u64()
            .with_context(|| format!("{name:?} is no number in {line}"))
    };
    let number_if_there = |name: &str| value.get(name).map(|_| number(name)).transpose();
    Ok(Sample {
        key: Key {
            bench: text("bench")?,
            driver: text("driver")?,
            bytes: number("bytes")?,
            live: number("live")?,
            phase: match value.get("phase") {
                Some(_) => text("phase")?,
                None => WHOLE.to_owned(),
            },
        },
        instructions: number("instructions")?,
        faults: number("faults")?,
        syscalls: number_if_there("syscalls")?,
        lines: number_if_there("lines")?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The life of a buffer.
    pub(crate) fn life(driver: &str, bytes: u64, instructions: u64) -> Sample {
        let line = format!(
            "{{\"bench\":\"cycle\",\"driver\":\"{driver}\",\"bytes\":{bytes},\"live\":0,\
             \"instructions\":{instructions},\"faults\":4}}"
        );
        parse(&line).unwrap()
    }

    #[test]
    fn what_has_no_phase_is_the_whole() {
        let sample = life("x", 16384, 7);
        assert_eq!(sample.key.phase, "total");
        assert_eq!((sample.instructions, sample.faults), (7, 4));
        assert_eq!(sample.syscalls, None);
    }

    #[test]
    fn a_line_without_a_number_is_an_error() {
        assert!(parse("{\"bench\":\"x\",\"phase\":\"y\",\"driver\":\"z\",\"bytes\":1}").is_err());
    }

    #[test]
    fn other_lines_are_left_alone_and_doubles_are_not() {
        let line = "{\"bench\":\"x\",\"driver\":\"z\",\"bytes\":1,\"live\":0,\
                    \"instructions\":1,\"faults\":0,\"syscalls\":2}";
        let samples = parse_all(["a note", line]).unwrap();
        assert_eq!((samples.len(), samples[0].syscalls), (1, Some(2)));
        let why = parse_all([line, line]).unwrap_err().to_string();
        assert!(why.contains("measured twice: x total of z"), "{why}");
    }
}
