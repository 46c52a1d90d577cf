// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lives of buffers in several processes at the same time, each on a processor of its own.
//!
//! Under QEMU with `-icount` and one thread the clock counts the instructions of all processors together,
//! as long as one of them has something to do.

use crate::drivers::{open, Driver};
use crate::pool::Stats;
use crate::sample::{minor_faults, Sample};
use nix::sched::{sched_setaffinity, CpuSet};
use nix::time::{clock_gettime, ClockId};
use nix::unistd::Pid;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Sizes of the buffers, and how many lives each process has.
const LIVES: [(usize, u32); 2] = [(16 << 10, 4000), (1 << 20, 400)];
/// Lives that are not counted.
const WARM_UP: u32 = 10;

/// What a process has to tell: two readings of the clock, and page faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    begin: u64,
    end: u64,
    faults: u64,
}

/// The lives of one process, and then of `count` at the same time.
pub(crate) fn compare(device: &Path, count: u32) -> Result<(), Box<dyn Error>> {
    let stats = Stats::of(device);
    for (bytes, lives) in LIVES {
        for (phase, count) in [("one", 1), ("each", count)] {
            stats.settle()?;
            let told = run(device, count, bytes, lives)?;
            let sample = sum(phase, &told, u64::from(lives)).ok_or("no process has told")?;
            sample.keep(&format!("processes-{count}"), "fpgamem", bytes, 0);
        }
    }
    Ok(())
}

/// What one life took, of `lives` in each process.
fn sum(phase: &'static str, told: &[Told], lives: u64) -> Option<Sample> {
    let begin = told.iter().map(|told| told.begin).min()?;
    let end = told.iter().map(|told| told.end).max()?;
    let sample = Sample {
        phase,
        instructions: end.saturating_sub(begin),
        faults: told.iter().map(|told| told.faults).sum(),
        syscalls: None,
        lines: None,
    };
    Some(sample.share(lives * told.len() as u64))
}

/// Starts the processes, and lets them go together.
fn run(device: &Path, count: u32, bytes: usize, lives: u32) -> Result<Vec<Told>, Box<dyn Error>> {
    let mut children = Vec::new();
    for number in 0..count {
        let mut command = Command::new("/proc/self/exe");
        command.arg("--device").arg(device);
        command.args(["process", &number.to_string()]);
        command.args([bytes.to_string(), lives.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or("the process has no output")?;
        children.push((child, BufReader::new(output)));
    }
    for (_, output) in &mut children {
        // It is ready.
        output.read_line(&mut String::new())?;
    }
    for (child, _) in &mut children {
        // The end of its input is the signal.
        drop(child.stdin.take());
    }
    children
        .into_iter()
        .map(|(child, output)| end(child, output))
        .collect()
}

fn end(mut child: Child, mut output: impl BufRead) -> Result<Told, Box<dyn Error>> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("a process ended with {status}").into());
    }
    Ok(parse(&line).ok_or_else(|| format!("a process told {line:?}"))?)
}

fn parse(line: &str) -> Option<Told> {
    let mut words = line.split_whitespace().map(|word| word.parse().ok());
    Some(Told {
        begin: words.next()??,
        end: words.next()??,
        faults: words.next()??,
    })
}

/// One of the processes.
pub(crate) fn child(
    device: &Path,
    number: usize,
    bytes: usize,
    lives: u32,
) -> Result<(), Box<dyn Error>> {
    let mut processor = CpuSet::new();
    processor.set(number)?;
    sched_setaffinity(Pid::this(), &processor)?;
    let driver = Driver::Fpgamem(open(device)?);
    let live = |count: u32| (0..count).try_for_each(|_| driver.life(bytes));
    live(WARM_UP)?;
    println!("ready");
    io::stdin().read_to_end(&mut Vec::new())?;
    let (faults, begin) = (minor_faults()?, now()?);
    live(lives)?;
    let (end, faults) = (now()?, minor_faults()? - faults);
    println!("{begin} {end} {faults}");
    Ok(())
}

fn now() -> Result<u64, Box<dyn Error>> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(Duration::from(time).as_nanos())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_a_share_of_the_time_from_the_first_to_the_last() {
        let told = ["100 900 8\n", "150 1100 8\n"].map(|line| parse(line).unwrap());
        let sample = sum("each", &told, 5).unwrap();
        assert_eq!((sample.instructions, sample.faults), (100, 1));
    }

    #[test]
    fn a_process_that_tells_less_is_not_believed() {
        assert_eq!(parse("100 900"), None);
        assert_eq!(parse("ready 1 2"), None);
    }
}
