// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel log says about the driver.

use super::Finding;
use crate::system::System;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

/// Parts of messages, with the way out.
const HINTS: [(&str, &str); 14] = [
    ("lacks the no-map property", "add no-map to the region's node in the device tree"),
    (
        "names no available child of /reserved-memory",
        "memory-region must name a child of /reserved-memory that has a reg and is not disabled",
    ),
    (
        "overlaps memory that the kernel uses",
        "the boot loader must reserve the region: pass it the device tree that has the node",
    ),
    ("is no power of two", "give fpgamem,block-size a power of two from 4096 to 2097152"),
    ("does not begin and end at multiples", "align the region to its block size"),
    ("is in use by another pool", "give each pool a region of its own"),
    (
        "still held or quarantined with another block size",
        "end the programs that hold buffers, wait for the quarantine, or keep the block size",
    ),
    ("cannot map region", "the kernel has no memory or address space left; make the region smaller"),
    (
        "BUG: free memory at",
        "the FPGA wrote to memory that was not given to it: check addresses and lengths of its jobs",
    ),
    ("do not begin at a page boundary", "let reg of the pool begin at a page boundary, outside of DDR"),
    ("version magic", "the module was built for another kernel: build it for this one"),
    ("disagrees about version of symbol", "the module was built for another kernel: build it for this one"),
    ("Unknown symbol", "the kernel lacks what the module needs: build it with CONFIG_RUST"),
    (
        "failed to reserve memory",
        "something lies in the region already when the kernel starts: an initial file system or a \
         device tree that the boot loader has put there",
    ),
];

/// Messages of the kernel are warnings from this level on downwards.
const WARNING: u32 = 4;

/// Most messages that are shown.
const SHOWN: usize = 8;

pub(super) fn examine(system: &System, works: bool, findings: &mut Vec<Finding>) {
    let messages = match messages(system) {
        Ok(messages) => messages,
        Err(error) => {
            let text = format!("cannot be read: {error}");
            let mend = "run it as root, or set the sysctl kernel.dmesg_restrict to 0";
            findings.push(Finding::unknown("kernel log", text, mend));
            return;
        }
    };
    let ours = |text: &str| {
        // Every module that is not the kernel's own has these.
        let usual = text.contains("taints kernel") || text.contains("tainting kernel");
        let from_driver = text.starts_with("fpgamem:") || text.starts_with("fpgamem ");
        from_driver && !usual || text.contains("failed to reserve memory")
    };
    let troubles = messages
        .iter()
        .filter(|(level, text)| *level <= WARNING && ours(text));
    let mut troubles: Vec<_> = troubles.map(|(_, text)| text.as_str()).collect();
    troubles.dedup();
    let hidden = troubles.len().saturating_sub(SHOWN);
    for text in troubles.iter().skip(hidden) {
        let hint = HINTS.iter().find(|(part, _)| text.contains(part));
        let mend = hint.map_or("see dmesg for what comes before and after", |(_, mend)| {
            mend
        });
        // Where the node works the message may be an old one.
        findings.push(match works {
            true => Finding::note("kernel log", format!("said: {text}"), mend),
            false => Finding::bad("kernel log", format!("says: {text}"), mend),
        });
    }
    if troubles.is_empty() {
        findings.push(Finding::good(
            "kernel log",
            "has no complaint of the driver",
        ));
    }
}

/// Levels and texts, the oldest first.
fn messages(system: &System) -> io::Result<Vec<(u32, String)>> {
    let mut log = Vec::new();
    if system.is_this() {
        // Each read gives a record; past the last one it would wait.
        let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(nonblocking)
            .open("/dev/kmsg")?;
        while let Some(record) = record(&mut file)? {
            log.extend(parse(&record));
        }
        return Ok(log);
    }
    // A copy of /dev/kmsg, by cat.
    let text = fs::read(system.path("/dev/kmsg"))?;
    let text = String::from_utf8_lossy(&text);
    log.extend(text.lines().filter_map(parse));
    Ok(log)
}

fn record(file: &mut File) -> io::Result<Option<String>> {
    let mut buffer = vec![0; 8192];
    loop {
        return match file.read(&mut buffer) {
            Ok(0) => Ok(None),
            Ok(len) => Ok(Some(String::from_utf8_lossy(&buffer[..len]).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // The record was overwritten meanwhile.
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EPIPE as i32) => continue,
            Err(error) => Err(error),
        };
    }
}

/// Takes `priority,number,time,flags;message` apart.
fn parse(record: &str) -> Option<(u32, String)> {
    let (prefix, text) = record.split_once(';')?;
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    let line = text.lines().next().unwrap_or_default();
    Some((priority & 7, line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_a_level_and_a_text() {
        let record = "27,339,5140900,-;fpgamem pool: region lacks it\n SUBSYSTEM=platform\n";
        assert_eq!(
            parse(record),
            Some((3, "fpgamem pool: region lacks it".to_owned()))
        );
        assert_eq!(parse("nonsense"), None);
    }
}
