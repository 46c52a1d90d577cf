// SPDX-License-Identifier: MIT OR Apache-2.0

//! The file `scrub_map` in debugfs: one line per run of free blocks that wait to be scrubbed.

use std::ops::Range;

/// The physical addresses of each run, for the pool under test.
///
/// # Panics
///
/// Where the file is missing or a line cannot be understood.
pub fn read() -> Vec<Range<u64>> {
    let path = crate::debugfs::directory().join("scrub_map");
    let text = std::fs::read_to_string(&path);
    parse(&text.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn parse(text: &str) -> Vec<Range<u64>> {
    let (header, lines) = text.split_once('\n').expect("the file has a header");
    assert!(header.starts_with('#'), "the header is {header}");
    lines.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Range<u64> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [start, end, bytes, "dirty"] = fields[..] else {
        panic!("{line} is not start, end, bytes, and \"dirty\"");
    };
    let hex = |field: &str| {
        let digits = field
            .strip_prefix("0x")
            .unwrap_or_else(|| panic!("{field} has no 0x"));
        u64::from_str_radix(digits, 16).unwrap_or_else(|error| panic!("{field}: {error}"))
    };
    let run = hex(start)..hex(end);
    assert_eq!(bytes, (run.end - run.start).to_string(), "{line}");
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let text = "# start end bytes state\n0x40000000 0x40008000 32768 dirty\n";
        let [run] = &parse(text)[..] else {
            panic!("one line is one run");
        };
        assert_eq!(*run, 0x4000_0000..0x4000_8000);
    }

    #[test]
    #[should_panic(expected = "0x40000000 0x40008000 16384 dirty")]
    fn a_length_that_is_another_is_an_error() {
        parse("# start end bytes state\n0x40000000 0x40008000 16384 dirty\n");
    }
}
