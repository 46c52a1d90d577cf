// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measurements as tables for a reader.

use std::collections::BTreeMap;

use super::sample::Sample;

/// What a bench is about, by what its name begins with.
const TITLES: [(&str, &str); 9] = [
    ("clock", "What reading the clock adds to every figure, and the shortest calls of the kernel"),
    (
        "cycle",
        "The life of a buffer; total: in one piece, every page written once; sustained: without a pause, no other \
         block being free; all-work: with what the driver does afterwards; untouched: nothing written",
    ),
    ("live", "The life of a small buffer beside others of 16 KiB"),
    (
        "checkerboard",
        "The life of a buffer beside others of 16 KiB with a hole of 16 KiB between each two",
    ),
    ("sync", "Cache maintenance of a whole buffer"),
    (
        "translate",
        "Translation of addresses, in a process with so many other mappings",
    ),
    (
        "trace",
        "A whole allocation trace; bytes: all its allocations together; contents neither written nor read",
    ),
    (
        "lock",
        "The longest hold of a mutex of the driver in the life of a buffer",
    ),
    (
        "processes",
        "The life of a buffer, on four processors, in processes at the same time",
    ),
];

/// A row: bytes, live buffers, phase.
type Row<'a> = (u64, u64, &'a str);

/// A table for each bench, the drivers beside each other.
pub(crate) fn tables(samples: &[Sample]) -> String {
    let mut text = String::from(
        "Guest instructions, (page faults) if there are any, [system calls] where they were counted.\n",
    );
    let mut benches: Vec<&str> = Vec::new();
    for sample in samples {
        if !benches.contains(&sample.key.bench.as_str()) {
            benches.push(&sample.key.bench);
        }
    }
    for bench in benches {
        let title = TITLES.iter().find(|(start, _)| bench.starts_with(start));
        text.push_str(&format!("\n{bench}"));
        if let Some((_, title)) = title {
            text.push_str(&format!(". {title}"));
        }
        text.push_str("\n\n");
        let of_bench = samples.iter().filter(|sample| sample.key.bench == bench);
        text.push_str(&table(&of_bench.collect::<Vec<_>>()));
    }
    text
}

/// The table of one bench.
fn table(samples: &[&Sample]) -> String {
    let mut drivers: Vec<&str> = Vec::new();
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut cells: BTreeMap<(Row<'_>, &str), String> = BTreeMap::new();
    for sample in samples {
        let key = &sample.key;
        let row = (key.bytes, key.live, key.phase.as_str());
        if !rows.contains(&row) {
            rows.push(row);
        }
        if !drivers.contains(&key.driver.as_str()) {
            drivers.push(&key.driver);
        }
        cells.insert((row, &key.driver), cell(sample));
    }
    rows.sort_by_key(|(bytes, live, _)| (*bytes, *live));
    let mut lines = vec![vec![
        "bytes".to_owned(),
        "live".to_owned(),
        "phase".to_owned(),
    ]];
    lines[0].extend(drivers.iter().map(|&driver| driver.to_owned()));
    for row in rows {
        let (bytes, live, phase) = row;
        let mut line = vec![size(bytes), grouped(live), phase.to_owned()];
        line.extend(
            drivers
                .iter()
                .map(|driver| cells.remove(&(row, *driver)).unwrap_or_default()),
        );
        lines.push(line);
    }
    aligned(&lines)
}

fn cell(sample: &Sample) -> String {
    let mut text = grouped(sample.instructions);
    if sample.faults > 0 {
        text.push_str(&format!(" ({})", grouped(sample.faults)));
    }
    if let Some(syscalls) = sample.syscalls {
        text.push_str(&format!(" [{syscalls}]"));
    }
    text
}

/// Columns as wide as they must be; the third one, of words, begins at its left end.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::from(" ");
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            if column == 2 {
                row.push_str(&format!("  {cell:<width$} "));
            } else {
                row.push_str(&format!(" {cell:>width$} "));
            }
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// A number with its thousands apart: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
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

/// Bytes in the largest unit of which they are a whole number: `16 KiB`, `100`.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units
        .iter()
        .find(|(shift, _)| bytes > 0 && bytes % (1 << shift) == 0);
    match unit {
        Some((shift, unit)) => format!("{} {unit}", bytes >> shift),
        None => grouped(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::tests::life;
    use super::*;

    #[test]
    fn groups_thousands() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        assert_eq!(size(16384), "16 KiB");
        assert_eq!(size(64 << 20), "64 MiB");
        assert_eq!(size(1000), "1,000");
        assert_eq!(size(0), "0");
    }

    #[test]
    fn puts_drivers_beside_each_other() {
        let mut samples = [life("fpgamem", 16384, 1000), life("cma-heap", 16384, 2000)];
        samples[0].faults = 0;
        samples[0].syscalls = Some(2);
        let text = tables(&samples);
        let row = text.lines().last().unwrap();
        let cells: Vec<&str> = row
            .split("  ")
            .map(str::trim)
            .filter(|c| !c.is_empty())
            .collect();
        assert_eq!(cells, ["16 KiB", "0", "total", "1,000 [2]", "2,000 (4)"]);
    }

    #[test]
    fn a_driver_that_was_not_measured_leaves_its_cell_empty() {
        let samples = [life("fpgamem", 16384, 1000), life("peer", 32768, 2000)];
        let text = tables(&samples);
        assert!(text.lines().any(|line| line.ends_with("1,000 (4)")));
        assert!(text.lines().any(|line| line.ends_with("2,000 (4)")));
    }
}
