// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel on the emulated device, under every policy of its caches.

use super::model::VectorAddModel;
use super::*;
use fpgamem::{Device, Policy};

fn policies() -> impl Iterator<Item = Policy> {
    let seeded = (1..4).flat_map(|seed| [Policy::Evict(seed), Policy::Prefetch(seed)]);
    std::iter::once(Policy::Never).chain(seeded)
}

fn kernel(policy: Policy) -> (Device, VectorAdd) {
    let device = Device::emulated().policy(policy).open().unwrap();
    let registers = Registers::emulated(&device, VectorAddModel::default()).unwrap();
    (device, VectorAdd::new(registers))
}

/// Vectors of so many numbers each, and of the sum.
fn vectors(device: &Device, lengths: [usize; 3]) -> [TypedBuffer<u32>; 3] {
    let [mut a, mut b, mut sum] = lengths.map(|len| device.alloc_elements::<u32>(len).unwrap());
    (0..).zip(a.iter_mut()).for_each(|(i, number)| *number = i);
    (0..)
        .zip(b.iter_mut())
        .for_each(|(i, number)| *number = 1000 * i);
    sum.fill(u32::MAX);
    [a, b, sum]
}

#[test]
fn adds_under_every_policy_again_and_again() {
    for policy in policies() {
        let (device, mut kernel) = kernel(policy);
        let [mut a, mut b, mut sum] = vectors(&device, [500; 3]);
        for round in 1..=3 {
            a[7] = round;
            [a, b, sum] = kernel.run(a, b, sum).unwrap();
            let right = (0..500).all(|i| sum[i] == a[i] + b[i]);
            assert!(right, "{policy:?}, round {round}");
        }
    }
}

#[test]
fn a_kernel_that_does_not_end_is_a_timeout() {
    /// Registers with nothing behind them.
    struct Dead;
    impl fpgamem::mmio::RegisterModel for Dead {
        fn len(&self) -> usize {
            64
        }
        fn read(&mut self, _: usize) -> u32 {
            0
        }
        fn write(&mut self, _: usize, _: u32) -> bool {
            false
        }
        fn run(&mut self, _: &mut fpgamem::FpgaMemory<'_>) -> Result<(), fpgamem::BusError> {
            Ok(())
        }
    }
    let device = Device::emulated().open().unwrap();
    let mut kernel = VectorAdd::new(Registers::emulated(&device, Dead).unwrap());
    let [a, b, sum] = vectors(&device, [4; 3]);
    assert!(matches!(kernel.run(a, b, sum), Err(HlsError::Timeout(_))));
    assert_eq!(
        device.abandoned().buffers,
        3,
        "the kernel may still use them"
    );
}

#[test]
fn vectors_of_other_lengths_are_refused() {
    let (device, mut kernel) = kernel(Policy::Never);
    let [a, b, sum] = vectors(&device, [4, 4, 5]);
    let error = kernel.run(a, b, sum).unwrap_err();
    assert!(matches!(error, HlsError::Length { a: 4, b: 4, sum: 5 }));
}

#[test]
fn a_model_tells_its_state_as_the_hardware_does() {
    let (device, kernel) = kernel(Policy::Never);
    let mut registers = kernel.registers;
    let [a, ..] = vectors(&device, [4; 3]);
    let a = a.into_device(Direction::Bidirectional).unwrap();
    for pointer in [A, B, SUM] {
        registers
            .write_addr(pointer, a.as_bytes().device_addr())
            .unwrap();
    }
    registers.write32(LENGTH, 4).unwrap();
    registers.write32(INTERRUPTS, 1).unwrap();
    assert_eq!(registers.read32(CONTROL).unwrap(), 4, "idle");
    registers.write32(CONTROL, START).unwrap();
    assert_eq!(registers.read32(CONTROL).unwrap(), 6, "done and idle");
    assert_eq!(
        registers.read32(CONTROL).unwrap(),
        4,
        "reading has cleared it"
    );
    assert_eq!(registers.read32(INTERRUPT_STATUS).unwrap(), 1);
    registers.write32(INTERRUPT_STATUS, 1).unwrap();
    assert_eq!(
        registers.read32(INTERRUPT_STATUS).unwrap(),
        0,
        "writing toggles"
    );
}
