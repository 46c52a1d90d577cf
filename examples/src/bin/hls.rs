// SPDX-License-Identifier: MIT OR Apache-2.0

//! Adds two vectors by a kernel made with Vitis HLS, on a board or without one.
//!
//! Exits with 0 where the sum is right, 1 where it is not, 2 where something failed.

use clap::{Parser, ValueEnum};
use fpgamem::mmio::Registers;
use fpgamem::{Device, Policy};
use fpgamem_examples::exit_code;
use fpgamem_examples::hls::{model::VectorAddModel, VectorAdd};
use std::error::Error;
use std::num::NonZeroUsize;
use std::process::ExitCode;

/// Add two vectors by an HLS kernel: registers over AXI-Lite, an interrupt at the end.
///
/// Exits with 0 if the sum is right, 1 if it is not, 2 if something failed.
#[derive(Parser)]
struct Arguments {
    /// Numbers in a vector
    #[arg(long, value_name = "N", default_value = "1000")]
    length: NonZeroUsize,
    /// Name of the kernel's UIO device on a board
    #[arg(long, value_name = "NAME", default_value = "vadd")]
    uio: String,
    /// Run without a board, on caches that do nothing unasked, that evict, or that prefetch
    #[arg(long, value_name = "POLICY", conflicts_with = "uio")]
    emulated: Option<Emulated>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Emulated {
    Never,
    Evict,
    Prefetch,
}

fn main() -> ExitCode {
    exit_code("hls", run(&Arguments::parse()))
}

/// Says whether the sum is right.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let (device, registers) = match arguments.emulated {
        Some(emulated) => {
            let policy = match emulated {
                Emulated::Never => Policy::Never,
                Emulated::Evict => Policy::Evict(1),
                Emulated::Prefetch => Policy::Prefetch(1),
            };
            let device = Device::emulated().policy(policy).open()?;
            let registers = Registers::emulated(&device, VectorAddModel::default())?;
            (device, registers)
        }
        None => {
            let device = Device::open()?;
            // SAFETY: The kernel writes to its third pointer alone, which `VectorAdd` points at a
            // device-owned buffer.
            let registers = unsafe { Registers::open(&arguments.uio) }?;
            (device, registers)
        }
    };
    let length = arguments.length.get();
    let mut a = device.alloc_elements::<u32>(length)?;
    let mut b = device.alloc_elements::<u32>(length)?;
    let sum = device.alloc_elements::<u32>(length)?;
    (0..).zip(a.iter_mut()).for_each(|(i, number)| *number = i);
    (0..)
        .zip(b.iter_mut())
        .for_each(|(i, number)| *number = 3 * i);

    let [a, b, sum] = VectorAdd::new(registers).run(a, b, sum)?;

    let terms = a.iter().zip(b.iter());
    let wrong = terms
        .zip(sum.iter())
        .filter(|((a, b), sum)| a.wrapping_add(**b) != **sum);
    let wrong = wrong.count();
    println!("{}: {length} sums, {wrong} wrong", device.path().display());
    Ok(wrong == 0)
}
