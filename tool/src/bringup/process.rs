// SPDX-License-Identifier: MIT OR Apache-2.0

//! The buffers that processes have mapped, as `/proc` shows them.
//!
//! The driver sets the offset of every mapping to that of the buffer's place in the region, so it tells
//! the physical address.

use crate::cli::Global;
use crate::failure::Failure;
use fpgamem::Info;
use fpgamem_shared::abi;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// Offsets of mappings are congruent to physical addresses modulo this.
const OFFSET_GRANULE: u64 = 2 << 20;
/// Where offsets end that stand for places in the region.
const OFFSETS_END: u64 = abi::MMAP_OFFSET_BASE << 1;

/// A mapping of a buffer, or of a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Mapped {
    pub(super) user_addr: u64,
    pub(super) phys_addr: u64,
    pub(super) device_addr: u64,
    pub(super) bytes: u64,
}

impl Mapped {
    pub(super) fn phys_end(&self) -> u64 {
        self.phys_addr.saturating_add(self.bytes)
    }
}

/// The buffers of a process; without a number of the only process that has any.
pub(super) fn buffers(global: &Global, pid: Option<u32>) -> Result<(u32, Vec<Mapped>), Failure> {
    let info = global.open()?.info()?;
    let node = node(&global.path());
    if let Some(pid) = pid {
        let path = format!("/proc/{pid}/maps");
        let text = fs::read_to_string(&path).map_err(|error| {
            let way_out = "give a running process of this user, or run it as root";
            Failure::reading(Path::new(&path), error, way_out)
        })?;
        let buffers = parse(&text, &node, &info);
        if buffers.is_empty() {
            let what = format!("process {pid} has no buffer of {} mapped", node.display());
            return Err(Failure::new(what, "see fpgamem map for those that have"));
        }
        return Ok((pid, buffers));
    }
    let mut found = processes(&node, &info);
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => {
            let what = format!(
                "no process that can be looked at has a buffer of {}",
                node.display()
            );
            let way_out = "start one, such as fpgamem alloc 1M, or run it as root";
            Err(Failure::new(what, way_out))
        }
        (Some(last), _) => {
            let pids = found.iter().chain([&last]).map(|(pid, _)| pid.to_string());
            let pids: Vec<_> = pids.collect();
            let what = "several processes have buffers";
            Err(Failure::new(
                what,
                format!("choose one by --pid: {}", pids.join(", ")),
            ))
        }
    }
}

/// The node's own name, whatever links lead to it.
fn node(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn processes(node: &Path, info: &Info) -> Vec<(u32, Vec<Mapped>)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found: Vec<_> = pids
        .filter_map(|pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
            let buffers = parse(&text, node, info);
            (!buffers.is_empty()).then_some((pid, buffers))
        })
        .collect();
    found.sort_by_key(|(pid, _)| *pid);
    found
}

/// The mappings of the node in a process's list.
fn parse(text: &str, node: &Path, info: &Info) -> Vec<Mapped> {
    let region = (info.phys_addr.as_u64(), info.device_addr.as_u64());
    let lines = text
        .lines()
        .filter_map(|line| parse_line(line, node, region));
    lines.collect()
}

/// `start-end permissions offset device inode path`.
fn parse_line(line: &str, node: &Path, (phys, device): (u64, u64)) -> Option<Mapped> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let offset = fields.nth(1)?;
    let path = fields.nth(2)?;
    let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
    let (start, end, offset) = (hexadecimal(start)?, hexadecimal(end)?, hexadecimal(offset)?);
    let is_buffer = (abi::MMAP_OFFSET_BASE..OFFSETS_END).contains(&offset);
    if Path::new(path) != node || !is_buffer {
        return None;
    }
    let phys_addr = (phys & !(OFFSET_GRANULE - 1)) + (offset - abi::MMAP_OFFSET_BASE);
    Some(Mapped {
        user_addr: start,
        phys_addr,
        device_addr: device.wrapping_add(phys_addr.wrapping_sub(phys)),
        bytes: end.checked_sub(start)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_tells_its_place() {
        let line = "7f8000-7fc000 rw-s 10000104000 00:05 123    /dev/fpgamem0";
        let region = (0x4010_0000, 0x5010_0000);
        let mapped = Mapped {
            user_addr: 0x7f_8000,
            phys_addr: 0x4010_4000,
            device_addr: 0x5010_4000,
            bytes: 16384,
        };
        assert_eq!(
            parse_line(line, Path::new("/dev/fpgamem0"), region),
            Some(mapped)
        );
        assert_eq!(parse_line(line, Path::new("/dev/fpgamem1"), region), None);
    }

    #[test]
    fn what_is_no_buffer_is_passed_over() {
        for line in [
            // The status area.
            "7f8000-7f9000 rw-s 40000000000 00:05 123    /dev/fpgamem0",
            "7f8000-7f9000 rw-p 00000000 00:00 0",
            "7f8000-7f9000 rw-s 00000000 00:05 123    /dev/fpgamem0",
            "nonsense",
        ] {
            assert_eq!(
                parse_line(line, Path::new("/dev/fpgamem0"), (0, 0)),
                None,
                "{line}"
            );
        }
    }
}
