// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measurements, and their lines of JSON.

use crate::clock::{self, Span};
use crate::raw::Mapping;
use nix::sys::resource::{getrusage, UsageWho};
use std::io;
use std::sync::{Mutex, PoisonError};

/// Each figure is the least of so many runs: what else the kernel had to do meanwhile is not counted. Beside
/// each run the process has a mapping more than beside the one before: where a node of the kernel's tree of
/// mappings is full, or as empty as it may be, a mapping that comes and goes costs up to 2,000 instructions more.
const RUNS: usize = 8;

/// What is to be printed.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Prints everything that was kept. Not before the end: when the host takes what a serial line sends
/// depends on the host, and the interrupts would be counted.
pub(crate) fn print_all() {
    for line in LINES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .drain(..)
    {
        println!("{line}");
    }
}

/// What one phase took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) phase: &'static str,
    pub(crate) instructions: u64,
    pub(crate) faults: u64,
    /// System calls that it makes, where they were counted.
    pub(crate) syscalls: Option<u64>,
    /// Cache lines that the driver counted, where it does.
    pub(crate) lines: Option<u64>,
}

impl Sample {
    /// Keeps a line of JSON for [`print_all`]; `live` buffers lived beside the one that was measured.
    pub(crate) fn keep(&self, bench: &str, driver: &str, bytes: usize, live: usize) {
        let line = self.json(bench, driver, bytes, live);
        LINES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }

    fn json(&self, bench: &str, driver: &str, bytes: usize, live: usize) -> String {
        let Self {
            phase,
            instructions,
            faults,
            ..
        } = self;
        let mut line = format!(
            "{{\"bench\":\"{bench}\",\"driver\":\"{driver}\",\"bytes\":{bytes},\"live\":{live},\
             \"phase\":\"{phase}\",\"instructions\":{instructions},\"faults\":{faults}"
        );
        for (name, count) in [("syscalls", self.syscalls), ("lines", self.lines)] {
            if let Some(count) = count {
                line.push_str(&format!(",\"{name}\":{count}"));
            }
        }
        line + "}"
    }

    fn least(self, other: Self) -> Self {
        Self {
            instructions: self.instructions.min(other.instructions),
            faults: self.faults.min(other.faults),
            ..self
        }
    }

    /// The share of one of `count` equal parts.
    pub(crate) fn share(self, count: u64) -> Self {
        Self {
            instructions: self.instructions / count.max(1),
            faults: self.faults / count.max(1),
            ..self
        }
    }
}

/// Runs a phase and counts.
pub(crate) fn measure<T>(
    phase: &'static str,
    work: impl FnOnce() -> io::Result<T>,
) -> io::Result<(T, Sample)> {
    let faults_before = minor_faults()?;
    let span = Span::start();
    let result = work();
    let instructions = span.count();
    let faults = minor_faults()? - faults_before;
    Ok((
        result?,
        Sample {
            phase,
            instructions,
            faults,
            syscalls: None,
            lines: None,
        },
    ))
}

/// The least of some runs, each begun when `ready` returns.
pub(crate) fn least<const N: usize>(
    ready: impl Fn() -> io::Result<()>,
    run: impl Fn() -> io::Result<[Sample; N]>,
) -> io::Result<[Sample; N]> {
    let again = || {
        ready()?;
        clock::wait_for_tick();
        run()
    };
    let mut best = again()?;
    let mut beside = Vec::with_capacity(RUNS);
    for nth in 1..RUNS {
        beside.push(Mapping::empty(nth % 2 == 0)?);
        for (best, sample) in best.iter_mut().zip(again()?) {
            *best = best.least(sample);
        }
    }
    Ok(best)
}

/// For [`least`]: nothing is to be waited for.
pub(crate) fn at_once() -> io::Result<()> {
    Ok(())
}

/// Page faults of this process so far that needed no input or output.
pub(crate) fn minor_faults() -> io::Result<u64> {
    let faults = getrusage(UsageWho::RUSAGE_SELF)?.minor_page_faults();
    Ok(u64::try_from(faults).unwrap_or(0))
}

/// Keeps some measurements of the same thing.
pub(crate) fn keep<const N: usize>(
    bench: &str,
    driver: &str,
    bytes: usize,
    live: usize,
    samples: [Sample; N],
) {
    for sample in samples {
        sample.keep(bench, driver, bytes, live);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_were_not_made_are_not_printed() {
        let mut sample = measure("touch", || Ok(())).unwrap().1;
        (sample.instructions, sample.faults) = (7, 4);
        let start = "{\"bench\":\"cycle\",\"driver\":\"x\",\"bytes\":1,\"live\":2,\
                     \"phase\":\"touch\",\"instructions\":7,\"faults\":4";
        assert_eq!(sample.json("cycle", "x", 1, 2), format!("{start}}}"));
        sample.syscalls = Some(0);
        let line = sample.json("cycle", "x", 1, 2);
        assert_eq!(line, format!("{start},\"syscalls\":0}}"));
    }

    #[test]
    fn the_least_of_some_runs_is_taken_phase_by_phase() {
        let runs = std::cell::Cell::new(0);
        let [first, second] = least(at_once, || {
            runs.set(runs.get() + 1);
            let sample = measure("x", || Ok(()))?.1;
            let of = |instructions| Sample {
                instructions,
                ..sample
            };
            Ok([of(10 + runs.get()), of(10 - runs.get())])
        })
        .unwrap();
        assert_eq!(
            (runs.get(), first.instructions, second.instructions),
            (8, 11, 2)
        );
    }
}
