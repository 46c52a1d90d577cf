// SPDX-License-Identifier: MIT OR Apache-2.0

//! What clients of Paddle's node ask of the accelerator: its registers, and its version.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::child::Child;
use fpgamem_tests::driver::Unbound;
use fpgamem_tests::READ_WRITE;
use fpgamem_tests::{driver, Balance, Errno, Exit, MapFlags, Mapping, Node, ProtFlags, PAGE};
use nix::sys::signal::Signal;
use std::fs::OpenOptions;

const NODE: &str = "/dev/fpgadrv0";

/// A register of the idle ZDMA channel that the device tree names, and what it holds after reset.
const DATA_ATTRIBUTES: (u64, u32) = (0x120, 0x0483_d20f);
/// A register of that channel that holds what is stored.
const SOURCE: u64 = 0x128;

fn open() -> Node {
    Node::open_path(NODE)
}

/// Maps `len` bytes of registers.
fn map(node: &Node, len: u64) -> Result<Mapping, Errno> {
    node.map_with(len, READ_WRITE, MapFlags::MAP_SHARED, paddle::REGISTERS)
}

#[test]
fn registers_read_and_write() {
    let balance = Balance::new();
    let registers = map(&open(), PAGE).unwrap();
    balance.expect_held(0);
    let (offset, value) = DATA_ATTRIBUTES;
    assert_eq!(registers.load_register(offset), value);
    registers.store_register(SOURCE, 0x1234_5678);
    let again = map(&open(), 256 + 44).unwrap();
    assert_eq!(again.load_register(offset), value);
    assert_eq!(
        map(&open(), PAGE).unwrap().load_register(SOURCE),
        0x1234_5678
    );
}

#[test]
fn registers_are_device_memory() {
    let _balance = Balance::new();
    let registers = map(&open(), PAGE).unwrap();
    // Only Device memory refuses an unaligned access, whatever lies behind it.
    let child = Child::start(|_| {
        registers.load(DATA_ATTRIBUTES.0 + 1);
    });
    assert_eq!(child.wait(), Exit::Signal(Signal::SIGBUS));
}

#[test]
fn registers_stay_device_memory_when_their_protection_changes() {
    let _balance = Balance::new();
    let registers = map(&open(), PAGE).unwrap();
    registers.protect(0..PAGE, ProtFlags::PROT_READ).unwrap();
    assert_eq!(
        registers.load_register(DATA_ATTRIBUTES.0),
        DATA_ATTRIBUTES.1
    );
    let child = Child::start(|_| registers.store_register(SOURCE, 1));
    assert_eq!(child.wait(), Exit::Signal(Signal::SIGSEGV));
    registers.protect(0..PAGE, READ_WRITE).unwrap();
    let child = Child::start(|_| {
        registers.load(DATA_ATTRIBUTES.0 + 1);
    });
    assert_eq!(child.wait(), Exit::Signal(Signal::SIGBUS));
}

#[test]
fn more_than_the_registers_is_refused() {
    let _balance = Balance::new();
    assert_eq!(map(&open(), PAGE + 1).unwrap_err(), Errno::EINVAL);
    assert_eq!(map(&open(), 1 << 30).unwrap_err(), Errno::EINVAL);
}

#[test]
fn private_and_executable_mappings_of_registers_are_refused() {
    let _balance = Balance::new();
    let node = open();
    let private = MapFlags::MAP_PRIVATE;
    let result = node.map_with(PAGE, READ_WRITE, private, paddle::REGISTERS);
    assert_eq!(result.unwrap_err(), Errno::EINVAL);
    let (executable, shared) = (READ_WRITE | ProtFlags::PROT_EXEC, MapFlags::MAP_SHARED);
    let result = node.map_with(PAGE, executable, shared, paddle::REGISTERS);
    assert_eq!(result.unwrap_err(), Errno::EINVAL);
    let registers = map(&node, PAGE).unwrap();
    let result = registers.protect(0..PAGE, executable);
    assert_eq!(result, Err(Errno::EACCES));
}

#[test]
fn a_file_opened_for_reading_maps_registers_for_reading() {
    let _balance = Balance::new();
    let file = OpenOptions::new().read(true).open(NODE).unwrap();
    let shared = MapFlags::MAP_SHARED;
    let map = |protection| Mapping::of(&file, PAGE, protection, shared, paddle::REGISTERS);
    assert_eq!(map(READ_WRITE).unwrap_err(), Errno::EACCES);
    let registers = map(ProtFlags::PROT_READ).unwrap();
    assert_eq!(
        registers.load_register(DATA_ATTRIBUTES.0),
        DATA_ATTRIBUTES.1
    );
}

#[test]
fn other_offsets_and_the_native_node_have_no_registers() {
    let _balance = Balance::new();
    let (shared, node) = (MapFlags::MAP_SHARED, open());
    for offset in [PAGE, paddle::REGISTERS - PAGE, paddle::REGISTERS + PAGE] {
        let result = node.map_with(PAGE, READ_WRITE, shared, offset);
        assert_eq!(result.unwrap_err(), Errno::ENXIO, "{offset:#x}");
    }
    let result = map(&Node::open(), PAGE);
    assert_eq!(result.unwrap_err(), Errno::EINVAL);
}

#[test]
fn registers_stay_mapped_when_the_device_is_unbound_and_keep_the_module() {
    let node = open();
    let registers = map(&node, PAGE).unwrap();
    let unbound = Unbound::new();
    assert_eq!(map(&node, PAGE).unwrap_err(), Errno::ENODEV);
    drop(node);
    assert_eq!(driver::unload(), Err(Errno::EWOULDBLOCK));
    assert_eq!(
        registers.load_register(DATA_ATTRIBUTES.0),
        DATA_ATTRIBUTES.1
    );
    unbound.bind();
}

/// What VERSION leaves in 16 bytes of 0xff when it is told that there is room for `size`.
fn version(size: u64) -> Result<[u8; 16], Errno> {
    let memory = Mapping::anonymous(PAGE, READ_WRITE);
    memory.set(0..PAGE, 0xff);
    memory.store(0, memory.addr() + 64);
    memory.store(8, size);
    open().command_at(paddle::A_VERSION, &memory, 0)?;
    let mut bytes = [0; 16];
    memory.read(64, &mut bytes);
    Ok(bytes)
}

#[test]
fn the_version_fills_the_room_that_it_is_given() {
    let mut expected = [0xff; 16];
    assert_eq!(version(0), Ok(expected));
    expected[0] = 0;
    assert_eq!(version(1), Ok(expected));
    expected[..2].copy_from_slice(b"1\0");
    for size in [2, 3, 21, u64::MAX] {
        assert_eq!(version(size), Ok(expected), "{size}");
    }
}

#[test]
fn a_version_that_cannot_be_written_is_an_error() {
    let memory = Mapping::anonymous(PAGE, READ_WRITE);
    memory.store(8, 21);
    for address in [0, u64::MAX, memory.addr() + PAGE - 1 + (1 << 47)] {
        memory.store(0, address);
        let result = open().command_at(paddle::A_VERSION, &memory, 0);
        assert_eq!(result, Err(Errno::EFAULT), "{address:#x}");
    }
}

#[test]
fn versions_without_a_size_are_unknown() {
    let memory = Mapping::anonymous(8 * PAGE, READ_WRITE);
    for command in [0x4008_4701, 0x504f_4101] {
        let result = open().command_at(command, &memory, 0);
        assert_eq!(result, Err(Errno::ENOTTY), "{command:#x}");
    }
}
