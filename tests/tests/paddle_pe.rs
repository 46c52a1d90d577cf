// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands for the accelerator, with the sample driver that carries out BYPASS as a copy.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::accelerator::Accelerator;
use fpgamem_tests::{driver, in_child, Balance, Errno, Mapping, Node, PAGE, READ_WRITE};

const BYPASS: u32 = 0x4060_4718;
const FP16: u32 = 0;
const FP32: u32 = 1;

fn open() -> Node {
    Node::open_path("/dev/fpgadrv0")
}

/// The sample driver, loaded.
fn sample() -> Accelerator {
    Accelerator::load(Accelerator::SAMPLE).expect("the sample loads")
}

/// What BYPASS is told, as a client of v2.9 or later lays it out.
#[derive(Clone, Copy)]
struct Bypass {
    types: [u32; 2],
    layouts: [u32; 2],
    input: u64,
    input_scale: u64,
    channels: u32,
    width: u32,
    height: u32,
    output: u64,
    output_scale: u64,
}

impl Bypass {
    /// A copy of `len` bytes, a multiple of 4.
    fn copy(input: u64, output: u64, len: u64) -> Self {
        Self {
            types: [FP32; 2],
            layouts: [0; 2],
            input,
            input_scale: 0,
            channels: 1,
            width: u32::try_from(len / 4).expect("an image fits"),
            height: 1,
            output,
            output_scale: 0,
        }
    }

    fn call(&self, node: &Node) -> Result<(), Errno> {
        let mut bytes = Vec::new();
        for word in [self.types, self.layouts].concat() {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(self.input.to_ne_bytes());
        bytes.extend(self.input_scale.to_ne_bytes());
        // The last three: padding of the image, and of the structure.
        for word in [self.channels, self.width, self.height, 0, 0, 0] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(self.output.to_ne_bytes());
        bytes.extend(self.output_scale.to_ne_bytes());
        bytes.resize(96, 0);
        let memory = Mapping::anonymous(PAGE, READ_WRITE);
        memory.write(0, &bytes);
        node.command_at(BYPASS, &memory, 0)
    }
}

#[test]
fn without_a_driver_there_are_no_commands_for_the_accelerator() {
    let balance = Balance::new();
    let node = open();
    let mapping = node.map(2 * PAGE).unwrap();
    let bypass = Bypass::copy(mapping.addr(), mapping.addr() + PAGE, PAGE);
    assert_eq!(bypass.call(&node), Err(Errno::ENOTTY));
    let sample = sample();
    bypass.call(&node).unwrap();
    drop(sample);
    assert_eq!(bypass.call(&node), Err(Errno::ENOTTY));
    drop(mapping);
    balance.expect_held(0);
}

#[test]
fn bypass_copies_between_buffers() {
    let balance = Balance::new();
    let _sample = sample();
    let node = open();
    for len in [4, 272, PAGE, 301_072, 3 << 20] {
        let (input, output) = (node.map(len).unwrap(), node.map(len).unwrap());
        input.fill(len);
        Bypass::copy(input.addr(), output.addr(), len)
            .call(&node)
            .unwrap();
        output.check_range(0..len, len, 0);
        input.check_range(0..len, len, 0);
    }
    balance.expect_held(0);
}

#[test]
fn bypass_copies_between_places_inside_buffers_and_nothing_beside_them() {
    let balance = Balance::new();
    let _sample = sample();
    let node = open();
    let (input, output) = (node.map(9 * PAGE).unwrap(), node.map(8 * PAGE).unwrap());
    input.fill(5);
    for (from, to, len) in [(64, 32, 64), (3 * PAGE + 24, PAGE + 44, 3 * PAGE + 8)] {
        output.set(0..output.len(), 0xee);
        Bypass::copy(input.addr() + from, output.addr() + to, len)
            .call(&node)
            .unwrap();
        output.check_range(to..to + len, 5, from);
        for offset in [to - 8, to + len] {
            assert_eq!(output.load(offset), 0xeeee_eeee_eeee_eeee, "{offset}");
        }
    }
    drop((input, output));
    balance.expect_held(0);
}

#[test]
fn the_scale_lies_in_ordinary_memory() {
    let _balance = Balance::new();
    let _sample = sample();
    let node = open();
    let mapping = node.map(2 * PAGE).unwrap();
    let scales = Mapping::anonymous(PAGE, READ_WRITE);
    scales.store(0, 0x3c12);
    let mut bypass = Bypass::copy(mapping.addr(), mapping.addr() + PAGE, 64);
    bypass.types = [FP16; 2];
    bypass.input_scale = scales.addr();
    bypass.output_scale = scales.addr() + 16;
    bypass.call(&node).unwrap();
    assert_eq!(scales.load(16), 0x3c12);
    bypass.output_scale = 8;
    assert_eq!(bypass.call(&node), Err(Errno::EFAULT));
}

#[test]
fn memory_that_is_not_wholly_the_callers_is_refused() {
    let balance = Balance::new();
    let _sample = sample();
    let node = open();
    let mapping = node.map(4 * PAGE).unwrap();
    let mut holed = node.map(4 * PAGE).unwrap();
    holed.unmap(PAGE..2 * PAGE);
    let ordinary = Mapping::anonymous(4 * PAGE, READ_WRITE);
    let good = mapping.addr();
    for bad in [
        // Overruns by one element, or lies in a buffer with a hole, or outside of all.
        good + 2 * PAGE + 4,
        holed.addr(),
        ordinary.addr(),
        0,
        u64::MAX - 3,
    ] {
        let to = Bypass::copy(good, bad, 2 * PAGE);
        assert_eq!(to.call(&node), Err(Errno::EFAULT), "to {bad:#x}");
        let from = Bypass::copy(bad, good, 2 * PAGE);
        assert_eq!(from.call(&node), Err(Errno::EFAULT), "from {bad:#x}");
    }
    mapping.check_zero(0..4 * PAGE);
    drop((mapping, holed));
    balance.expect_held(0);
}

#[test]
fn a_buffer_that_only_another_process_maps_is_refused() {
    let balance = Balance::new();
    let _sample = sample();
    let node = open();
    let (mapping, mut other) = (node.map(PAGE).unwrap(), node.map(PAGE).unwrap());
    in_child(|| {
        let own = mapping.addr();
        other.unmap(0..PAGE);
        let result = Bypass::copy(own, other.addr(), 64).call(&node);
        assert_eq!(result, Err(Errno::EFAULT));
        Bypass::copy(own, own + 64, 64).call(&node).unwrap();
    });
    drop(mapping);
    balance.expect_held(1);
}

#[test]
fn nothing_that_a_failed_call_says_passes_for_a_failed_allocation() {
    let _balance = Balance::new();
    let _sample = sample();
    let node = open();
    let mapping = node.map(2 * PAGE).unwrap();
    // Nothing to copy is EINVAL inside the kernel.
    let mut bypass = Bypass::copy(mapping.addr(), mapping.addr() + PAGE, 64);
    bypass.channels = 0;
    assert_eq!(bypass.call(&node), Err(Errno::EIO));
    bypass.types[1] = FP16;
    assert_eq!(bypass.call(&node), Err(Errno::EOPNOTSUPP));
}

#[test]
fn the_sample_keeps_the_memory_driver_and_there_is_one_at_a_time() {
    let mut sample = sample();
    assert_eq!(driver::unload(), Err(Errno::EWOULDBLOCK));
    assert_eq!(
        Accelerator::load(Accelerator::SAMPLE).unwrap_err(),
        Errno::EEXIST
    );
    sample.unload().unwrap();
    let _reload = driver::Reload;
    driver::unload().unwrap();
    // Its symbols are missing now.
    assert_eq!(
        Accelerator::load(Accelerator::SAMPLE).unwrap_err(),
        Errno::ENOENT
    );
    driver::load().unwrap();
}

#[test]
fn a_client_that_keeps_its_file_open_sees_the_driver_come_and_go() {
    let balance = Balance::new();
    let node = open();
    let mapping = node.map(2 * PAGE).unwrap();
    let bypass = Bypass::copy(mapping.addr(), mapping.addr() + PAGE, PAGE);
    for round in 0..5 {
        let mut sample = sample();
        mapping.fill(round);
        bypass.call(&node).unwrap();
        mapping.check_range(PAGE..2 * PAGE, round, 0);
        sample.unload().unwrap();
        assert_eq!(bypass.call(&node), Err(Errno::ENOTTY));
    }
    drop(mapping);
    balance.expect_held(0);
}

#[test]
fn the_driver_goes_on_when_the_pool_is_bound_again() {
    let _sample = sample();
    let node = open();
    let mapping = node.map(2 * PAGE).unwrap();
    mapping.fill(1);
    let bypass = Bypass::copy(mapping.addr(), mapping.addr() + PAGE, PAGE);
    let unbound = driver::Unbound::new();
    assert_eq!(bypass.call(&node), Err(Errno::ENODEV));
    unbound.bind();
    bypass.call(&open()).unwrap();
    mapping.check_range(PAGE..2 * PAGE, 1, 0);
}
