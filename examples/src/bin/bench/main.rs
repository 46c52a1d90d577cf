// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measures the life of a buffer, from allocation to free, beside the kernel's CMA heap.
//!
//! One JSON object a line. Under QEMU with `-icount shift=0` the clock counts guest instructions, in steps
//! of 16; anywhere else the numbers are nanoseconds. They are as read: what reading the clock costs is a
//! line of its own.

#![deny(unsafe_code)]

// System calls.
#[allow(unsafe_code)]
mod raw;

use clap::Parser;
use fpgamem_examples::exit_code;
use nix::sys::resource::{getrusage, UsageWho};
use raw::Mapping;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

const HEAPS: &str = "/dev/dma_heap";
const SIZES: [usize; 5] = [16 << 10, 64 << 10, 1 << 20, 8 << 20, 64 << 20];

/// Measure allocate + map, touch, unmap + free per size, beside the kernel's CMA heap.
///
/// Prints one JSON object a line. "instructions" is what the clock says: guest instructions under QEMU with
/// -icount shift=0, nanoseconds elsewhere. Each figure is that of the second run.
#[derive(Parser)]
struct Arguments {
    /// The fpgamem node
    #[arg(long, default_value = "/dev/fpgamem0")]
    device: PathBuf,
    /// The heap in /dev/dma_heap to compare with; without it, the CMA heap that is there
    #[arg(long)]
    heap: Option<String>,
}

/// Where buffers come from.
enum Driver {
    Fpgamem(File),
    Heap(File),
}

/// A mapped buffer. Fields are dropped in their order: unmapped, then closed.
struct Buffer {
    mapping: Mapping,
    _dma_buf: Option<OwnedFd>,
}

impl Driver {
    fn name(&self) -> &'static str {
        match self {
            Self::Fpgamem(_) => "fpgamem",
            Self::Heap(_) => "cma-heap",
        }
    }

    fn alloc(&self, bytes: usize) -> io::Result<Buffer> {
        match self {
            Self::Fpgamem(device) => Ok(Buffer {
                mapping: Mapping::new(device, bytes)?,
                _dma_buf: None,
            }),
            Self::Heap(heap) => {
                let dma_buf = raw::heap_alloc(heap, bytes)?;
                Ok(Buffer {
                    mapping: Mapping::new(&dma_buf, bytes)?,
                    _dma_buf: Some(dma_buf),
                })
            }
        }
    }

    /// The life of one buffer, by phase.
    fn cycle(&self, bytes: usize) -> io::Result<[Sample; 3]> {
        let (buffer, alloc) = measure("alloc+map", || self.alloc(bytes))?;
        let ((), touch) = measure("touch", || {
            buffer.mapping.touch();
            Ok(())
        })?;
        let ((), free) = measure("unmap+free", || {
            drop(buffer);
            Ok(())
        })?;
        Ok([alloc, touch, free])
    }

    /// The life of one buffer in one piece.
    fn total(&self, bytes: usize) -> io::Result<Sample> {
        let ((), total) = measure("total", || {
            self.alloc(bytes)?.mapping.touch();
            Ok(())
        })?;
        Ok(total)
    }
}

/// What one phase took.
struct Sample {
    phase: &'static str,
    instructions: u128,
    faults: libc::c_long,
}

impl Sample {
    fn print(&self, bench: &str, driver: &str, bytes: usize) {
        let Self {
            phase,
            instructions,
            faults,
        } = self;
        println!(
            "{{\"bench\":\"{bench}\",\"driver\":\"{driver}\",\"bytes\":{bytes},\
             \"phase\":\"{phase}\",\"instructions\":{instructions},\"faults\":{faults}}}"
        );
    }
}

/// Runs a phase and counts.
fn measure<T>(
    phase: &'static str,
    work: impl FnOnce() -> io::Result<T>,
) -> io::Result<(T, Sample)> {
    let faults_before = minor_faults()?;
    let start = Instant::now();
    let result = work();
    let instructions = start.elapsed().as_nanos();
    let faults = minor_faults()? - faults_before;
    Ok((
        result?,
        Sample {
            phase,
            instructions,
            faults,
        },
    ))
}

fn minor_faults() -> io::Result<libc::c_long> {
    Ok(getrusage(UsageWho::RUSAGE_SELF)?.minor_page_faults())
}

fn main() -> ExitCode {
    exit_code("bench", run(&Arguments::parse()).map(|()| true))
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let device = open(&arguments.device)?;
    let mut drivers = vec![Driver::Fpgamem(device.try_clone()?)];
    match heap(Path::new(HEAPS), arguments.heap.as_deref()) {
        Some(path) => drivers.push(Driver::Heap(open(&path)?)),
        None => eprintln!("bench: no CMA heap in {HEAPS}; only fpgamem is measured"),
    }

    measure("read", || Ok(()))?;
    measure("read", || Ok(()))?.1.print("clock", "none", 0);
    for driver in &drivers {
        for bytes in SIZES {
            let failed = |e| format!("{} with {bytes} bytes: {e}", driver.name());
            driver.cycle(bytes).map_err(failed)?;
            for sample in driver.cycle(bytes).map_err(failed)? {
                sample.print("cycle", driver.name(), bytes);
            }
            driver
                .total(bytes)
                .map_err(failed)?
                .print("cycle", driver.name(), bytes);
        }
    }
    for bytes in SIZES {
        let mapping = Mapping::new(&device, bytes)?;
        mapping.touch();
        for (phase, maintain) in [
            ("flush", raw::flush as fn(&_, &_) -> _),
            ("invalidate", raw::invalidate),
        ] {
            maintain(&device, &mapping)?;
            measure(phase, || maintain(&device, &mapping))?
                .1
                .print("sync", "fpgamem", bytes);
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, Box<dyn Error>> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    Ok(file.map_err(|e| format!("cannot open {}: {e}", path.display()))?)
}

/// The heap of that name, or the one that allocates from CMA: its name has varied.
fn heap(heaps: &Path, name: Option<&str>) -> Option<PathBuf> {
    if let Some(name) = name {
        return Some(heaps.join(name));
    }
    let entries = fs::read_dir(heaps).ok()?.flatten();
    let names: Vec<_> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let name = names
        .iter()
        .filter(|name| name.contains("cma") || *name == "reserved")
        .min()?;
    Some(heaps.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heaps(test: &str, names: &[&str]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("heaps-{}-{test}", std::process::id()));
        fs::create_dir(&path).unwrap();
        for name in names {
            File::create(path.join(name)).unwrap();
        }
        path
    }

    #[test]
    fn takes_the_cma_heap_and_not_the_system_heap() {
        for name in ["default_cma_region", "linux,cma", "reserved"] {
            let path = heaps(name, &["system", name]);
            let found = heap(&path, None);
            fs::remove_dir_all(&path).unwrap();
            assert_eq!(found, Some(path.join(name)));
        }
    }

    #[test]
    fn has_none_without_a_cma_heap() {
        let path = heaps("none", &["system"]);
        let found = heap(&path, None);
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(found, None);
    }

    #[test]
    fn takes_the_heap_that_is_named() {
        assert_eq!(
            heap(Path::new("/h"), Some("system")),
            Some("/h/system".into())
        );
    }

    #[test]
    fn a_mapping_is_touched_once_a_page() {
        let path = std::env::temp_dir().join(format!("touch-{}", std::process::id()));
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        file.set_len(3 * 4096).unwrap();
        Mapping::new(&file, 3 * 4096).unwrap().touch();
        let contents = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let touched: Vec<_> = (0..contents.len())
            .filter(|at| contents[*at] != 0)
            .collect();
        assert_eq!(touched, [0, 4096, 8192]);
    }
}
