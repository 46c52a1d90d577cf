// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measures the life of a buffer, from allocation to free, beside the kernel's heaps, and what is done with it.
//!
//! One JSON object a line. Under QEMU with `-icount shift=0` the clock counts guest instructions; anywhere
//! else the numbers are nanoseconds. They are as read: what reading the clock costs is a line of its own.

#![deny(unsafe_code)]

mod clock;
// System calls.
#[allow(unsafe_code)]
mod raw;

use clap::Parser;
use clock::Span;
use fpgamem_examples::exit_code;
use nix::sys::resource::{getrusage, UsageWho};
use raw::Mapping;
use std::cell::RefCell;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const HEAPS: &str = "/dev/dma_heap";
const SIZES: [usize; 5] = [16 << 10, 64 << 10, 1 << 20, 8 << 20, 64 << 20];
/// Each figure is the least of so many runs: what else the kernel had to do meanwhile is not counted.
const RUNS: usize = 5;
/// Live buffers of one block in the pool, beside the one that is measured.
const CROWDS: [usize; 3] = [0, 1000, 10_000];
/// Longer than the driver waits before it clears in the background what was freed.
const REST: Duration = Duration::from_millis(500);

/// Measure allocate, map, touch, unmap and free per size, beside the kernel's dma-buf heaps; cache
/// maintenance and translation of addresses.
///
/// Prints one JSON object a line. "instructions" is what the clock says: guest instructions under QEMU with
/// -icount shift=0, nanoseconds elsewhere. Each figure is the least of five runs.
#[derive(Parser)]
struct Arguments {
    /// The fpgamem node
    #[arg(long, default_value = "/dev/fpgamem0")]
    device: PathBuf,
    /// The heap in /dev/dma_heap to compare with; without it, the CMA heap that is there and the system heap
    #[arg(long)]
    heap: Option<String>,
}

/// Where buffers come from.
enum Driver {
    Fpgamem(File),
    Heap(&'static str, File),
}

/// A buffer that is not mapped.
enum Buffer {
    Handle(u32, u64),
    DmaBuf(OwnedFd),
}

impl Driver {
    fn name(&self) -> &'static str {
        match self {
            Self::Fpgamem(_) => "fpgamem",
            Self::Heap(name, _) => name,
        }
    }

    fn alloc(&self, bytes: usize) -> io::Result<Buffer> {
        Ok(match self {
            Self::Fpgamem(device) => {
                let alloc = raw::alloc(device, bytes)?;
                Buffer::Handle(alloc.handle, alloc.mmap_offset)
            }
            Self::Heap(_, heap) => Buffer::DmaBuf(raw::heap_alloc(heap, bytes)?),
        })
    }

    fn map(&self, buffer: &Buffer, bytes: usize) -> io::Result<Mapping> {
        match (self, buffer) {
            (Self::Fpgamem(device), Buffer::Handle(_, offset)) => {
                Mapping::new(device, bytes, *offset)
            }
            (_, Buffer::DmaBuf(dma_buf)) => Mapping::new(dma_buf, bytes, 0),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn free(&self, buffer: Buffer) -> io::Result<()> {
        match (self, buffer) {
            (Self::Fpgamem(device), Buffer::Handle(handle, _)) => raw::free(device, handle),
            _ => Ok(()),
        }
    }

    /// The life of one buffer, by phase.
    fn cycle(&self, bytes: usize) -> io::Result<[Sample; 5]> {
        let (buffer, alloc) = measure("allocate", || self.alloc(bytes))?;
        let (mapping, map) = measure("map", || self.map(&buffer, bytes))?;
        let touch = touch(&mapping)?;
        let ((), unmap) = measure("unmap", || {
            drop(mapping);
            Ok(())
        })?;
        let ((), free) = measure("free", || self.free(buffer))?;
        Ok([alloc, map, touch, unmap, free])
    }

    /// The life of one buffer in one piece, as short as the driver allows.
    fn total(&self, phase: &'static str, bytes: usize) -> io::Result<[Sample; 1]> {
        let ((), total) = measure(phase, || {
            let (mapping, buffer) = match self {
                // It allocates.
                Self::Fpgamem(device) => (Mapping::new(device, bytes, 0)?, None),
                Self::Heap(..) => {
                    let buffer = self.alloc(bytes)?;
                    (self.map(&buffer, bytes)?, Some(buffer))
                }
            };
            mapping.touch();
            drop(mapping);
            buffer.map_or(Ok(()), |buffer| self.free(buffer))
        })?;
        Ok([total])
    }
}

fn touch(mapping: &Mapping) -> io::Result<Sample> {
    let touched = measure("touch", || {
        mapping.touch();
        Ok(())
    })?;
    Ok(touched.1)
}

/// What one phase took.
#[derive(Clone, Copy)]
struct Sample {
    phase: &'static str,
    instructions: u64,
    faults: libc::c_long,
}

impl Sample {
    fn print(&self, bench: &str, driver: &str, bytes: usize, live: usize) {
        let Self {
            phase,
            instructions,
            faults,
        } = self;
        println!(
            "{{\"bench\":\"{bench}\",\"driver\":\"{driver}\",\"bytes\":{bytes},\"live\":{live},\
             \"phase\":\"{phase}\",\"instructions\":{instructions},\"faults\":{faults}}}"
        );
    }

    fn least(self, other: Self) -> Self {
        Self {
            instructions: self.instructions.min(other.instructions),
            faults: self.faults.min(other.faults),
            ..self
        }
    }
}

/// Runs a phase and counts.
fn measure<T>(
    phase: &'static str,
    work: impl FnOnce() -> io::Result<T>,
) -> io::Result<(T, Sample)> {
    let faults_before = minor_faults()?;
    let span = Span::start();
    let result = work();
    let instructions = span.count();
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

/// The least of some runs, before each of which the machine `rests`.
fn least<const N: usize>(
    rest: Duration,
    run: impl Fn() -> io::Result<[Sample; N]>,
) -> io::Result<[Sample; N]> {
    let again = || {
        std::thread::sleep(rest);
        clock::wait_for_tick();
        run()
    };
    let mut best = again()?;
    for _ in 1..RUNS {
        for (best, sample) in best.iter_mut().zip(again()?) {
            *best = best.least(sample);
        }
    }
    Ok(best)
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
        Some(path) => drivers.push(Driver::Heap("cma-heap", open(&path)?)),
        None => eprintln!("bench: no CMA heap in {HEAPS}"),
    }
    if let Ok(heap) = open(&Path::new(HEAPS).join("system")) {
        drivers.push(Driver::Heap("system-heap", heap));
    }

    print(
        "clock",
        "none",
        0,
        0,
        least(Duration::ZERO, || {
            Ok([measure("read", || Ok(()))?.1, system_call()?])
        })?,
    );
    for driver in &drivers {
        for bytes in SIZES {
            let failed = |e| format!("{} with {bytes} bytes: {e}", driver.name());
            let cycle = least(REST, || driver.cycle(bytes)).map_err(failed)?;
            print("cycle", driver.name(), bytes, 0, cycle);
            let total = least(REST, || driver.total("total", bytes)).map_err(failed)?;
            print("cycle", driver.name(), bytes, 0, total);
            if matches!(driver, Driver::Fpgamem(_)) {
                // Nothing is free that is known to be clear.
                let dirty = least(Duration::ZERO, || {
                    driver.total("total", bytes)?;
                    driver.total("dirty", bytes)
                });
                print("cycle", driver.name(), bytes, 0, dirty.map_err(failed)?);
            }
        }
    }
    crowds(&drivers[0])?;
    for bytes in SIZES {
        print("sync", "fpgamem", bytes, 0, sync(&device, bytes)?);
    }
    print("translate", "fpgamem", 1 << 20, 0, translate(&device)?);
    for bytes in SIZES {
        print("sync", "library", bytes, 0, library_sync(arguments, bytes)?);
    }
    print("translate", "library", 1 << 20, 0, library(arguments)?);
    Ok(())
}

fn print<const N: usize>(
    bench: &str,
    driver: &str,
    bytes: usize,
    live: usize,
    samples: [Sample; N],
) {
    for sample in samples {
        sample.print(bench, driver, bytes, live);
    }
}

/// The shortest system call.
fn system_call() -> io::Result<Sample> {
    let work = || {
        nix::unistd::getppid();
        Ok(())
    };
    Ok(measure("getppid", work)?.1)
}

/// The life of a small buffer among others.
fn crowds(driver: &Driver) -> Result<(), Box<dyn Error>> {
    let bytes = SIZES[0];
    let mut others = Vec::new();
    for live in CROWDS {
        while others.len() < live {
            others.push(driver.alloc(bytes)?);
        }
        let cycle = least(REST, || driver.cycle(bytes))?;
        print("live", driver.name(), bytes, live, cycle);
    }
    for buffer in others {
        driver.free(buffer)?;
    }
    Ok(())
}

/// Cache maintenance by the driver.
fn sync(device: &File, bytes: usize) -> io::Result<[Sample; 2]> {
    let mapping = Mapping::new(device, bytes, 0)?;
    mapping.touch();
    least(Duration::ZERO, || {
        Ok([
            measure("flush", || raw::flush(device, &mapping))?.1,
            measure("invalidate", || raw::invalidate(device, &mapping))?.1,
        ])
    })
}

/// Translation by the driver of the address of the byte in the middle.
fn translate(device: &File) -> io::Result<[Sample; 2]> {
    let mapping = Mapping::new(device, 1 << 20, 0)?;
    let address = mapping.middle();
    let phys_addr = raw::user_to_phys(device, address)?;
    least(Duration::ZERO, || {
        Ok([
            measure("to-phys", || raw::user_to_phys(device, address))?.1,
            measure("to-user", || raw::phys_to_user(device, phys_addr))?.1,
        ])
    })
}

/// Cache maintenance in user space.
fn library_sync(arguments: &Arguments, bytes: usize) -> Result<[Sample; 2], Box<dyn Error>> {
    let device = fpgamem::Device::open_path(&arguments.device)?;
    let buffer = RefCell::new(device.alloc(bytes)?);
    let samples = least(Duration::ZERO, || {
        let buffer = &mut *buffer.borrow_mut();
        Ok([
            measure("flush", || Ok(buffer.sync_for_device(..)?))?.1,
            measure("invalidate", || Ok(buffer.sync_for_cpu(..)?))?.1,
        ])
    })?;
    Ok(samples)
}

/// Translation without the driver: by a buffer, and by its device for a mere address; and the life of a
/// buffer that shares an allocation with others.
fn library(arguments: &Arguments) -> Result<[Sample; 4], Box<dyn Error>> {
    let device = fpgamem::Device::open_path(&arguments.device)?;
    let buffer = device.alloc(1 << 20)?;
    let middle = buffer.len() / 2;
    let address: *const u8 = &buffer[middle];
    let arena = fpgamem::Arena::new(&device);
    // Keeps the arena's chunk.
    let _first = arena.alloc(1 << 10)?;
    let samples = least(Duration::ZERO, || {
        Ok([
            measure("to-phys", || {
                Ok(black_box(buffer.phys_of(black_box(middle))))
            })?
            .1,
            measure("any-to-phys", || {
                Ok(black_box(device.phys_of(black_box(address))))
            })?
            .1,
            measure("to-offset", || {
                let phys_addr = black_box(buffer.phys_addr());
                Ok(black_box(buffer.offset_of_phys(phys_addr)))
            })?
            .1,
            measure("arena-cycle", || {
                drop(arena.alloc(16 << 10)?);
                Ok(())
            })?
            .1,
        ])
    })?;
    Ok(samples)
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
        Mapping::new(&file, 3 * 4096, 0).unwrap().touch();
        let contents = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let touched: Vec<_> = (0..contents.len())
            .filter(|at| contents[*at] != 0)
            .collect();
        assert_eq!(touched, [0, 4096, 8192]);
    }
}
