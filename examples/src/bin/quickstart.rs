// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fills a buffer from a file, has the ZDMA copy it to another buffer by its device address, and
//! compares the two.
//!
//! Exits with 0 where the copy is right, 1 where it is not, 2 where something failed.

use clap::Parser;
use fpgamem::{Device, Direction};
use fpgamem_examples::{exit_code, zdma::Zdma};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Hand a buffer to a bus master and get the result back.
///
/// Fills a buffer from a file, hands it to the ZDMA, which copies it to a second buffer by device
/// address while the CPU touches neither, takes both back and compares them byte by byte.
///
/// Exits with 0 if the copy is right, 1 if it is not, 2 if something failed.
#[derive(Parser)]
struct Arguments {
    /// The file to copy; without it, this program itself
    file: Option<PathBuf>,
    /// Do everything but start the ZDMA: the comparison must fail
    #[arg(long)]
    no_start: bool,
}

fn main() -> ExitCode {
    exit_code("quickstart", run(&Arguments::parse()))
}

/// Says whether the copy is right.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let path = arguments
        .file
        .clone()
        .map_or_else(std::env::current_exe, Ok)?;
    let contents = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut zdma = Zdma::open()?;

    let device = Device::open()?;
    let info = device.info()?;
    let (mib, start) = (info.region_bytes >> 20, info.phys_addr);
    println!(
        "pool      {}: {mib} MiB of memory at {start}",
        device.path().display()
    );

    let mut input = device.alloc(contents.len())?;
    input.copy_from_slice(&contents);
    println!("input     {} bytes of {}", input.len(), path.display());
    println!(
        "          physical {}, for the device {}",
        input.phys_addr(),
        input.device_addr()
    );
    let output = device.alloc(contents.len())?;
    println!("output    {} bytes, all zero", output.len());
    println!(
        "          physical {}, for the device {}",
        output.phys_addr(),
        output.device_addr()
    );

    let input = input.into_device(Direction::ToDevice)?;
    let output = output.into_device(Direction::FromDevice)?;
    println!("hand-over both buffers belong to the ZDMA, the CPU has no access");

    let moved = if arguments.no_start {
        zdma.prepare(&input, &output, contents.len())?;
        println!("ZDMA      programmed, not started");
        zdma.moved_bytes()
    } else {
        zdma.copy(&input, &output, contents.len())?
    };
    println!("ZDMA      moved {moved} bytes, by its own count");

    // SAFETY: The ZDMA is the only device that was told of the buffer; it has finished, as `copy`
    // says, or was never started.
    let input = unsafe { input.into_cpu() }?;
    // SAFETY: As above.
    let output = unsafe { output.into_cpu() }?;
    println!("taken back");

    let verdicts = [
        verify("input", &input, &contents),
        verify("output", &output, &contents),
        verify_count(moved, contents.len()),
    ];
    Ok(verdicts.into_iter().all(|right| right))
}

fn verify(name: &str, buffer: &[u8], contents: &[u8]) -> bool {
    let different = buffer.iter().zip(contents).filter(|(a, b)| a != b).count();
    if different == 0 {
        println!(
            "verified  the {name} equals the file in all {} bytes",
            contents.len()
        );
    } else {
        println!(
            "MISMATCH  the {name} differs from the file in {different} of {} bytes",
            contents.len()
        );
    }
    different == 0
}

fn verify_count(moved: usize, expected: usize) -> bool {
    if moved != expected {
        println!("MISMATCH  the ZDMA moved {moved} bytes instead of {expected}");
    }
    moved == expected
}
