// SPDX-License-Identifier: MIT OR Apache-2.0

//! For how many instructions the driver holds a mutex, counted by a plugin of QEMU.

use std::fs;

use anyhow::{bail, Context as _, Result};
use serde_json::{json, Value};

use super::Measuring;
use crate::cache_model::escaped;
use crate::context::Context;
use crate::initramfs::Files;
use crate::kernel::Kernel;
use crate::plugins;

/// What the guest runs: lives of buffers, which it tells the plugin about.
const PROGRAM: &str = "bench locks";
const PLUGIN: &str = "fpgamem-lock-holds";

/// The phase of holds in which there was an interrupt.
pub(super) const INTERRUPTED: &str = "interrupted-hold";

/// The longest hold of any mutex of the driver, as lines of JSON: by the bytes of the buffer and by the
/// buffers that live beside it.
pub(crate) fn longest_holds(
    context: &Context,
    kernel: &Kernel,
    files: Files,
) -> Result<Vec<String>> {
    let folder = context.target.join("bench");
    fs::create_dir_all(&folder)?;
    let found = folder.join("locks.jsonl");
    let library = plugins::build(context, PLUGIN, "build the plugin that watches locks")?;
    let mut measuring = Measuring::new("locks", &[PROGRAM], files);
    measuring.job.machine.plugin = Some(format!(
        "{},map={},json={}",
        escaped(&library),
        escaped(&kernel.system_map()),
        escaped(&found)
    ));
    measuring.once(context, kernel, "watched by a plugin")?;
    let text = fs::read_to_string(&found).with_context(|| found.display().to_string())?;
    let lines: Vec<String> = text
        .lines()
        .map(samples)
        .collect::<Result<Vec<_>>>()?
        .concat();
    if lines.is_empty() {
        bail!("the plugin saw no mutex of the driver");
    }
    Ok(lines)
}

/// A line of the plugin as measurements: without and, if there was one, with an interrupt.
fn samples(line: &str) -> Result<Vec<String>> {
    let value: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
    let number = |name: &str| {
        value[name]
            .as_u64()
            .with_context(|| format!("{name:?} is no number in {line}"))
    };
    let (bytes, live) = (number("bytes")?, number("live")?);
    let phases = [
        ("longest-hold", number("undisturbed")?),
        (INTERRUPTED, number("interrupted")?),
    ];
    let samples = phases
        .into_iter()
        .filter(|(_, instructions)| *instructions > 0);
    let line = |(phase, instructions): (&str, u64)| {
        json!({
            "bench": "lock", "driver": "fpgamem", "bytes": bytes, "live": live,
            "phase": phase, "instructions": instructions, "faults": 0,
        })
        .to_string()
    };
    Ok(samples.map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_hold_is_a_measurement_of_its_own() {
        let line = |interrupted: u64| {
            let counts = json!({
                "bytes": 1, "live": 2, "holds": 3, "undisturbed": 40, "interrupted": interrupted,
            });
            samples(&counts.to_string()).unwrap()
        };
        assert_eq!(line(0).len(), 1);
        let both = super::super::sample::parse_all(line(50).iter().map(String::as_str)).unwrap();
        let counts: Vec<u64> = both.iter().map(|sample| sample.instructions).collect();
        assert_eq!(counts, [40, 50]);
    }
}
