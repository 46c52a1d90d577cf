// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the driver shows of a pool in debugfs: `stats`, `block_map` and `scrub_map`.

use crate::failure::Failure;
use fpgamem_shared::abi;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where debugfs is mounted.
pub(crate) const MOUNT: &str = "/sys/kernel/debug";

/// Where the files of a node are.
pub(crate) fn directory(node: &Path) -> PathBuf {
    Path::new(MOUNT)
        .join("fpgamem")
        .join(node.file_name().unwrap_or_default())
}

/// Who may access a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Holder {
    /// Its process.
    Cpu,
    /// The device.
    Device,
    /// Nobody: the device may still write to it, and its process is gone.
    Quarantined,
}

/// A line of `block_map`: a live buffer or a run of quarantined blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) phys_addr: u64,
    pub(crate) bytes: u64,
    pub(crate) write_combine: bool,
    pub(crate) coherent: bool,
    pub(crate) mappings: u64,
    pub(crate) pid: u32,
    pub(crate) holder: Holder,
}

/// Reads a file of a node's folder.
pub(crate) fn read(node: &Path, file: &str) -> Result<String, Failure> {
    let path = directory(node).join(file);
    std::fs::read_to_string(&path).map_err(|error| refused(&path, error))
}

/// Reads a file of a node's folder that the drivers of earlier releases lack: `None` there.
pub(crate) fn read_if_there(node: &Path, file: &str) -> Result<Option<String>, Failure> {
    let path = directory(node).join(file);
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some).map_err(|error| refused(&path, error)),
    }
}

fn refused(path: &Path, error: std::io::Error) -> Failure {
    let way_out = match error.kind() {
        ErrorKind::PermissionDenied => "run it as root: debugfs is closed to others",
        _ => {
            "mount debugfs (mount -t debugfs debugfs /sys/kernel/debug), load the module, and \
             give the node by --device; the kernel needs DEBUG_FS"
        }
    };
    Failure::reading(path, error, way_out)
}

/// The counters of `stats` by their names.
pub(crate) fn parse_stats(text: &str) -> Result<BTreeMap<String, u64>, Failure> {
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    let lines = text.lines();
    lines
        .map(|line| pair(line).ok_or_else(|| strange("stats", line)))
        .collect()
}

/// The entries of `block_map`, by address.
pub(crate) fn parse_block_map(text: &str) -> Result<Vec<Entry>, Failure> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| parse_entry(line).ok_or_else(|| strange("block_map", line)))
        .collect()
}

fn parse_entry(line: &str) -> Option<Entry> {
    let fields: Vec<_> = line.split_whitespace().collect();
    // Later drivers may say more.
    let [start, _, bytes, flags, mappings, pid, holder, ..] = fields[..] else {
        return None;
    };
    let flags = hexadecimal(flags)?;
    Some(Entry {
        phys_addr: hexadecimal(start)?,
        bytes: bytes.parse().ok()?,
        write_combine: flags & u64::from(abi::BUFFER_WRITE_COMBINE) != 0,
        coherent: flags & u64::from(abi::BUFFER_COHERENT) != 0,
        mappings: mappings.parse().ok()?,
        pid: pid.parse().ok()?,
        holder: match holder {
            "cpu" => Holder::Cpu,
            "device" => Holder::Device,
            "quarantined" => Holder::Quarantined,
            _ => return None,
        },
    })
}

/// The physical addresses of each run of dirty blocks in `scrub_map`, lowest first.
pub(crate) fn parse_scrub_map(text: &str) -> Result<Vec<Range<u64>>, Failure> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| parse_dirty_run(line).ok_or_else(|| strange("scrub_map", line)))
        .collect()
}

fn parse_dirty_run(line: &str) -> Option<Range<u64>> {
    let fields: Vec<_> = line.split_whitespace().collect();
    // Later drivers may say more.
    let [start, end, _, "dirty", ..] = fields[..] else {
        return None;
    };
    Some(hexadecimal(start)?..hexadecimal(end)?)
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn strange(file: &str, line: &str) -> Failure {
    let what = format!("do not understand the line \"{line}\" of the driver's {file}");
    Failure::new(what, "install command and module of the same release")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_lines_apart() {
        let text = "# start end bytes flags mappings pid state\n\
                    0x40000000 0x40008000 32768 0x3 2 71 device\n";
        let entry = Entry {
            phys_addr: 0x4000_0000,
            bytes: 32768,
            write_combine: true,
            coherent: true,
            mappings: 2,
            pid: 71,
            holder: Holder::Device,
        };
        assert_eq!(parse_block_map(text).unwrap(), [entry]);
    }

    #[test]
    fn takes_what_a_later_driver_adds() {
        let line = "0x40000000 0x40008000 32768 0x0 2 71 quarantined 250\n";
        assert_eq!(
            parse_block_map(line).unwrap()[0].holder,
            Holder::Quarantined
        );
    }

    #[test]
    fn names_a_line_that_it_does_not_understand() {
        for line in ["0x1 0x2 3 0x0 1 7 fpga", "1 2 3", "0x1 0x2 x 0x0 1 7 cpu"] {
            let failure = parse_block_map(line).unwrap_err().to_string();
            assert!(failure.contains(line), "{failure}");
        }
    }

    #[test]
    fn takes_runs_of_dirty_blocks_apart() {
        let text = "# start end bytes state\n0x40000000 0x40008000 32768 dirty 250\n";
        let runs = parse_scrub_map(text).unwrap();
        assert_eq!((runs.len(), &runs[0]), (1, &(0x4000_0000..0x4000_8000)));
        let line = "0x40000000 0x40008000 32768 muddy";
        let failure = parse_scrub_map(line).unwrap_err().to_string();
        assert!(failure.contains("scrub_map") && failure.contains(line));
    }

    #[test]
    fn counters_have_names() {
        let stats = parse_stats("blocks 64\nfrees 3\n").unwrap();
        assert_eq!((stats["blocks"], stats["frees"]), (64, 3));
    }

    #[test]
    fn every_node_has_its_folder() {
        let expected = Path::new("/sys/kernel/debug/fpgamem/fpgamem3");
        assert_eq!(directory(Path::new("/dev/fpgamem3")), expected);
    }
}
