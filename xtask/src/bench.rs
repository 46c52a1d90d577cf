// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask bench`: what operations cost in guest instructions.
//!
//! The guest's clock counts instructions, so that a second boot must give the very same numbers;
//! both are made, and a difference is an error. Milliseconds of the host mean nothing here.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{bail, Context as _, Result};
use serde_json::Value;

use crate::context::Context;
use crate::guest::{self, Job, MachineArgs};
use crate::kernel::{self, Kernel, KernelArgs};
use crate::programs;
use crate::qemu::Program;
use crate::ui::Step;

/// A guest that takes longer hangs.
const TIMEOUT_SECONDS: u64 = 600;

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    kernel: KernelArgs,
    /// Write the measurements too, a JSON object a line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sample {
    bench: String,
    phase: String,
    driver: String,
    bytes: u64,
    live: u64,
    instructions: u64,
    faults: u64,
}

/// Measures and prints; the exit status for the process.
pub(crate) fn main(context: &Context, args: &BenchArgs) -> Result<i32> {
    let kernel = kernel::build(context, &args.kernel)?;
    let mut machine = MachineArgs::for_tests(1, TIMEOUT_SECONDS);
    machine.icount = true;
    let job = Job {
        command: vec!["bench".to_owned()],
        files: guest::base_files(context, &kernel, &programs::examples(context)?)?,
        machine,
        cache_model: None,
    };
    let first = measure(context, &kernel, &job, "first boot")?;
    let second = measure(context, &kernel, &job, "second boot, which must agree")?;
    if let Some((one, two)) = first.iter().zip(&second).find(|(one, two)| one != two) {
        bail!("two boots differ, so the numbers mean nothing:\n{one}\n{two}");
    }
    if first.is_empty() || first.len() != second.len() {
        bail!(
            "the two boots gave {} and {} measurements",
            first.len(),
            second.len()
        );
    }
    let samples: Vec<Sample> = first
        .iter()
        .map(|line| parse(line))
        .collect::<Result<_>>()?;
    print!("{}", table(&samples));
    if let Some(path) = &args.json {
        fs::write(path, first.join("\n") + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(0)
}

/// Boots once and returns the program's lines of JSON.
fn measure(context: &Context, kernel: &Kernel, job: &Job, what: &str) -> Result<Vec<String>> {
    let step = Step::start(format!("bench: {what}"));
    let lines = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&lines);
    let keep = move |line: &str| {
        if let Ok(mut lines) = shared.lock() {
            lines.push(line.to_owned());
        }
    };
    let outcome = guest::run(context, kernel, job, Program::Lines(Box::new(keep)))?;
    step.done();
    let lines = lines.lock().map(|lines| lines.clone()).unwrap_or_default();
    match outcome {
        Ok(0) => Ok(lines
            .into_iter()
            .filter(|line| line.starts_with('{'))
            .collect()),
        Ok(status) => bail!("bench ended with status {status}:\n{}", lines.join("\n")),
        Err(why) => bail!("{why}"),
    }
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
    Ok(Sample {
        bench: text("bench")?,
        phase: text("phase")?,
        driver: text("driver")?,
        bytes: number("bytes")?,
        live: number("live")?,
        instructions: number("instructions")?,
        faults: number("faults")?,
    })
}

/// What was measured: bench, bytes, live buffers beside the one that is measured, phase.
type Row<'a> = (&'a str, u64, u64, &'a str);

/// A line per measurement, the drivers beside each other.
fn table(samples: &[Sample]) -> String {
    let mut drivers: Vec<&str> = Vec::new();
    let mut order: Vec<Row<'_>> = Vec::new();
    let mut cells: BTreeMap<(Row<'_>, &str), &Sample> = BTreeMap::new();
    for sample in samples {
        let row = (
            sample.bench.as_str(),
            sample.bytes,
            sample.live,
            sample.phase.as_str(),
        );
        if !order.contains(&row) {
            order.push(row);
        }
        if !drivers.contains(&sample.driver.as_str()) {
            drivers.push(&sample.driver);
        }
        cells.insert((row, &sample.driver), sample);
    }
    let mut text = String::from("guest instructions (page faults)\n\n");
    text.push_str(&format!(
        "{:9} {:>9} {:>6}  {:12}",
        "bench", "bytes", "live", "phase"
    ));
    for driver in &drivers {
        text.push_str(&format!(" {driver:>22}"));
    }
    text.push('\n');
    for key in order {
        let (bench, bytes, live, phase) = key;
        let mut row = format!("{bench:9} {bytes:>9} {live:>6}  {phase:12}");
        for driver in &drivers {
            let cell = cells.get(&(key, *driver)).map_or(String::new(), |sample| {
                format!("{} ({})", grouped(sample.instructions), sample.faults)
            });
            row.push_str(&format!(" {cell:>22}"));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// A number with its thousands apart: `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_thousands() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn puts_drivers_beside_each_other() {
        let line = |driver: &str, instructions: u64| {
            parse(&format!(
                "{{\"bench\":\"cycle\",\"driver\":\"{driver}\",\"bytes\":16384,\
                 \"live\":0,\"phase\":\"touch\",\"instructions\":{instructions},\"faults\":4}}"
            ))
            .unwrap()
        };
        let table = table(&[line("fpgamem", 1000), line("cma-heap", 2000)]);
        let row = table.lines().last().unwrap();
        assert!(row.contains("16384") && row.contains("1,000 (4)") && row.ends_with("2,000 (4)"));
    }

    #[test]
    fn a_line_without_a_number_is_an_error() {
        assert!(parse("{\"bench\":\"x\",\"phase\":\"y\",\"driver\":\"z\",\"bytes\":1}").is_err());
    }
}
