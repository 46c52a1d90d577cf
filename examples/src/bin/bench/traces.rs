// SPDX-License-Identifier: MIT OR Apache-2.0

//! What all of an allocation trace takes, with the library's buffers, one by one and from an arena.

use crate::pool::Stats;
use crate::sample::keep;
use fpgamem::{Arena, Buffer, Device};
use fpgamem_examples::trace::{Operation, Trace};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

/// What the names of traces end with.
const EXTENSION: &str = "trace";

/// Every trace of a folder. Contents are neither written nor read.
pub(crate) fn replay_all(
    folder: &Path,
    device: &Device,
    stats: &Stats,
) -> Result<(), Box<dyn Error>> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == EXTENSION));
    paths.sort();
    for path in paths {
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).map_err(|e| format!("{name}: {e}"))?;
        let trace = Trace::parse(&name, &text)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let bench = format!("trace-{stem}");
        let bytes = allocated_bytes(&trace);
        let alone = stats.all_work("replay", || replay(&trace, |len| device.alloc(len)))?;
        keep(&bench, "library", bytes, 0, [alone]);
        let shared = stats.all_work("replay", || {
            let arena = Arena::new(device);
            replay(&trace, |len| arena.alloc(len))
        })?;
        keep(&bench, "arena", bytes, 0, [shared]);
    }
    Ok(())
}

/// The bytes of all allocations of a trace together.
fn allocated_bytes(trace: &Trace) -> usize {
    let bytes = trace.steps.iter().map(|step| match step.operation {
        Operation::Alloc { bytes } => bytes.get(),
        _ => 0,
    });
    bytes.sum()
}

/// Does what the trace says, and then frees what it leaves.
fn replay(trace: &Trace, alloc: impl Fn(usize) -> fpgamem::Result<Buffer>) -> io::Result<()> {
    // Not hashed, which would be with other numbers in each process.
    let mut live: BTreeMap<u32, Buffer> = BTreeMap::new();
    for step in &trace.steps {
        match &step.operation {
            Operation::Alloc { bytes } => {
                live.insert(step.id, alloc(bytes.get())?);
            }
            Operation::Free => drop(live.remove(&step.id)),
            Operation::Flush(range) => {
                if let Some(buffer) = live.get_mut(&step.id) {
                    buffer.sync_for_device(range.clone())?;
                }
            }
            Operation::Invalidate(range) => {
                if let Some(buffer) = live.get_mut(&step.id) {
                    buffer.sync_for_cpu(range.clone())?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_makes_the_allocations_of_the_trace() {
        let trace = Trace::parse("t", "A 1 100\nA 2 50\nC 1 0 64\nF 1\nA 1 7\nF 2\n").unwrap();
        assert_eq!(allocated_bytes(&trace), 157);
        let device = Device::emulated().open().unwrap();
        let asked = std::cell::RefCell::new(Vec::new());
        let alloc = |len| {
            asked.borrow_mut().push(len);
            device.alloc(len)
        };
        replay(&trace, alloc).unwrap();
        assert_eq!(*asked.borrow(), [100, 50, 7]);
        assert_eq!(device.info().unwrap().nr_buffers, 0);
    }
}
