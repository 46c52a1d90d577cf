// SPDX-License-Identifier: MIT OR Apache-2.0

//! The file `block_map` in debugfs: one line per live buffer.

use std::ops::Range;

/// What the file says of one buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// First physical address, and the one after the last.
    pub phys: Range<u64>,
    /// Bytes that were asked for or allocated.
    pub bytes: u64,
    /// Attributes of the buffer, as the driver writes them.
    pub flags: String,
    /// Number of mappings.
    pub mappings: u64,
    /// Process that allocated it.
    pub pid: u64,
    /// Who may access it: `cpu`, `device` or `quarantined`.
    pub state: String,
}

/// All lines, for the pool under test.
///
/// # Panics
///
/// Where the file is missing or a line cannot be understood.
pub fn read() -> Vec<Line> {
    let path = crate::debugfs::directory().join("block_map");
    let text = std::fs::read_to_string(&path);
    parse(&text.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The line of the buffer that contains a physical address.
pub fn line_of(phys_addr: u64) -> Option<Line> {
    read()
        .into_iter()
        .find(|line| line.phys.contains(&phys_addr))
}

fn parse(text: &str) -> Vec<Line> {
    let (header, lines) = text.split_once('\n').expect("the file has a header");
    assert!(header.starts_with('#'), "the header is {header}");
    lines.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Line {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [start, end, bytes, flags, mappings, pid, state] = fields[..] else {
        panic!("{line} has {} fields", fields.len());
    };
    let hex = |field: &str| {
        let digits = field
            .strip_prefix("0x")
            .unwrap_or_else(|| panic!("{field} has no 0x"));
        u64::from_str_radix(digits, 16).unwrap_or_else(|error| panic!("{field}: {error}"))
    };
    let decimal = |field: &str| {
        field
            .parse()
            .unwrap_or_else(|error| panic!("{field}: {error}"))
    };
    Line {
        phys: hex(start)..hex(end),
        bytes: decimal(bytes),
        flags: flags.to_owned(),
        mappings: decimal(mappings),
        pid: decimal(pid),
        state: state.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let text =
            "# start end bytes flags mappings pid state\n0x40000000 0x40008000 20000 - 2 71 cpu\n";
        let line = Line {
            phys: 0x4000_0000..0x4000_8000,
            bytes: 20000,
            flags: "-".to_owned(),
            mappings: 2,
            pid: 71,
            state: "cpu".to_owned(),
        };
        assert_eq!(parse(text), [line]);
    }

    #[test]
    fn an_empty_pool_has_a_header_only() {
        assert_eq!(parse("# start end bytes flags mappings pid state\n"), []);
    }
}
