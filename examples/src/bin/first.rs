// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program of `docs/guide.md`: from memory of the CPU to the FPGA and back.

use fpgamem::{BusError, Device, DeviceAddr, Direction, FpgaMemory, Policy};
use fpgamem_examples::zdma::Zdma;
use std::error::Error;

const LEN: usize = 4096;

/// What the hardware does, for a machine without it: here it copies.
fn model(memory: &mut FpgaMemory<'_>, from: DeviceAddr, to: DeviceAddr) -> Result<(), BusError> {
    let mut bytes = [0; LEN];
    memory.read(from, &mut bytes)?;
    memory.write(to, &bytes)
}

fn main() -> Result<(), Box<dyn Error>> {
    let laptop = std::env::args().any(|argument| argument == "--laptop");
    let device = if laptop {
        Device::emulated().policy(Policy::Evict(1)).open()?
    } else {
        Device::open()?
    };

    let mut input = device.alloc(LEN)?;
    input.fill(0x5a);
    let output = device.alloc(LEN)?;

    let input = input.into_device(Direction::ToDevice)?;
    let output = output.into_device(Direction::FromDevice)?;
    let (from, to) = (input.device_addr(), output.device_addr());
    match device.emulator() {
        Some(fpga) => fpga.run(&mut |memory: &mut FpgaMemory<'_>| model(memory, from, to))?,
        None => {
            Zdma::open()?.copy(&input, &output, LEN)?;
        }
    }

    // SAFETY: The model has returned, or the ZDMA has reported its end.
    let output = unsafe { output.into_cpu() }?;
    assert!(output.iter().all(|byte| *byte == 0x5a));
    println!(
        "{LEN} bytes went from {from} to {to} on {}",
        device.path().display()
    );
    Ok(())
}
