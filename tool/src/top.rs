// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fpgamem top`: who has how much, and what happens, again and again.

use crate::cli::Global;
use crate::debugfs;
use crate::failure::Failure;
use crate::map;
use crate::units::size;
use crate::{output, Verdict};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Processes that are shown.
const SHOWN: usize = 20;
/// Clears the terminal.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Options of `top`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    interval: f64,
    /// End after so many looks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// One look; sizes in bytes.
#[derive(Debug, Serialize)]
struct Look {
    device: String,
    region_bytes: u64,
    free_bytes: u64,
    longest_free_bytes: u64,
    quarantined_bytes: u64,
    /// Events per second since the last look; none at the first.
    rates: Option<BTreeMap<String, f64>>,
    processes: Vec<Process>,
}

/// What one process has.
#[derive(Debug, Serialize)]
struct Process {
    pid: u32,
    command: String,
    buffers: u64,
    bytes: u64,
    device_bytes: u64,
    quarantined_bytes: u64,
}

/// Runs the command.
pub(crate) fn run(global: &Global, options: &Options) -> Result<Verdict, Failure> {
    let interval = Duration::try_from_secs_f64(options.interval).ok();
    let Some(interval) = interval.filter(|interval| !interval.is_zero()) else {
        let what = format!("{} seconds are no interval", options.interval);
        return Err(Failure::new(what, "give --interval a number above 0"));
    };
    let mut before = None;
    let mut looks = 0;
    loop {
        let (now, counters) = (Instant::now(), counters(global)?);
        let rates = before
            .as_ref()
            .map(|(then, old)| rates(old, &counters, now - *then));
        let look = look(global, rates)?;
        if global.json {
            output::text_line(&serde_json::to_string(&look)?)?;
        } else {
            let clear = if output::is_terminal() { CLEAR } else { "" };
            output::text_line(&format!("{clear}{}", look.text()))?;
        }
        before = Some((now, counters));
        looks += 1;
        if options.count.is_some_and(|count| looks >= count) {
            return Ok(Verdict::Good);
        }
        std::thread::sleep(interval);
    }
}

fn counters(global: &Global) -> Result<BTreeMap<String, u64>, Failure> {
    debugfs::parse_stats(&debugfs::read(&global.path(), "stats")?)
}

/// Events per second, of those counters that only grow.
fn rates(
    old: &BTreeMap<String, u64>,
    new: &BTreeMap<String, u64>,
    time: Duration,
) -> BTreeMap<String, f64> {
    let events = [
        "allocations",
        "frees",
        "failures",
        "quarantined",
        "flush_lines",
        "invalidate_lines",
    ];
    let rate = |name: &str| {
        let of = |counters: &BTreeMap<String, u64>| counters.get(name).copied().unwrap_or(0);
        // Bound again, the driver counts from 0.
        let count = of(new).saturating_sub(of(old));
        (
            name.to_owned(),
            count as f64 / time.as_secs_f64().max(0.001),
        )
    };
    events.into_iter().map(rate).collect()
}

fn look(global: &Global, rates: Option<BTreeMap<String, f64>>) -> Result<Look, Failure> {
    let map = map::of_driver(global)?;
    let processes = map.owners().into_iter().map(|(pid, owner)| Process {
        pid,
        command: owner.command,
        buffers: owner.buffers,
        bytes: owner.bytes,
        device_bytes: owner.device_bytes,
        quarantined_bytes: owner.quarantined_bytes,
    });
    Ok(Look {
        device: map.device.clone(),
        region_bytes: map.region_bytes,
        free_bytes: map.free_bytes,
        longest_free_bytes: map.longest_free(),
        quarantined_bytes: map.bytes_in(debugfs::Holder::Quarantined),
        rates,
        processes: processes.collect(),
    })
}

impl Look {
    fn text(&self) -> String {
        let mut text = format!(
            "{}  {}: free {}, longest run {}, quarantined {}\n",
            self.device,
            size(self.region_bytes),
            size(self.free_bytes),
            size(self.longest_free_bytes),
            size(self.quarantined_bytes)
        );
        if let Some(rates) = &self.rates {
            let rate = |name: &str| rates.get(name).copied().unwrap_or(0.0);
            let _ = writeln!(
                text,
                "per second: {:.1} allocations, {:.1} frees, {:.1} failures; lines by the driver: {:.0} \
                 cleaned, {:.0} invalidated",
                rate("allocations"),
                rate("frees"),
                rate("failures"),
                rate("flush_lines"),
                rate("invalidate_lines")
            );
        }
        text += "\n    PID  COMMAND           BUFFERS        BYTES  DEVICE-OWNED   QUARANTINED\n";
        for process in self.processes.iter().take(SHOWN) {
            let _ = writeln!(
                text,
                "{:>7}  {:<16}  {:>7}  {:>11}  {:>12}  {:>12}",
                process.pid,
                map::printable(&process.command),
                process.buffers,
                size(process.bytes),
                size(process.device_bytes),
                size(process.quarantined_bytes)
            );
        }
        let hidden = self.processes.len().saturating_sub(SHOWN);
        if hidden != 0 {
            let _ = writeln!(text, "and {hidden} more");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(allocations: u64) -> BTreeMap<String, u64> {
        [("allocations".to_owned(), allocations)].into()
    }

    #[test]
    fn rates_are_per_second() {
        let rates = |old, new| rates(&counters(old), &counters(new), Duration::from_secs(2));
        assert_eq!(rates(5, 25)["allocations"], 10.0);
        assert_eq!(
            rates(25, 5)["allocations"],
            0.0,
            "the driver was bound again"
        );
        assert_eq!(rates(1, 1)["frees"], 0.0);
    }

    #[test]
    fn a_look_shows_its_largest_processes() {
        let process = |pid| Process {
            pid,
            command: "p".to_owned(),
            buffers: 1,
            bytes: 16384,
            device_bytes: 0,
            quarantined_bytes: 0,
        };
        let look = Look {
            device: "/dev/fpgamem0".to_owned(),
            region_bytes: 1 << 30,
            free_bytes: 0,
            longest_free_bytes: 0,
            quarantined_bytes: 0,
            rates: None,
            processes: (1..=25).map(process).collect(),
        };
        let text = look.text();
        assert!(text.ends_with("and 5 more\n"), "{text}");
        assert!(!text.contains("per second"));
    }
}
