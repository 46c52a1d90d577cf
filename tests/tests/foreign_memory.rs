// SPDX-License-Identifier: MIT OR Apache-2.0

//! No call accepts an address in memory that is not a buffer of the pool, whatever it is, even where
//! it is the same physical memory.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::abi::{Range, OWNER_CPU, OWNER_DEVICE, SYNC_FLUSH, SYNC_INVALIDATE};
use fpgamem_tests::debugfs::lines;
use fpgamem_tests::quarantine::state_of;
use fpgamem_tests::{
    dma_heap, request, zdma, Balance, Errno, MapFlags, Mapping, Node, PAGE, READ_WRITE,
};
use nix::sys::memfd::{memfd_create, MFdFlags};
use nix::unistd::ftruncate;
use std::fs::File;

const SHARED: MapFlags = MapFlags::MAP_SHARED;

/// Maps a file.
fn map(path: &str, len: u64, offset: u64) -> Mapping {
    let file = File::options().read(true).write(true).open(path);
    let file = file.unwrap_or_else(|error| panic!("{path}: {error}"));
    Mapping::of(&file, len, READ_WRITE, SHARED, offset)
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Calls everything that takes an address, and fails unless it is a fault each time.
fn refuse_everywhere(native: &Node, address: u64, what: &str) {
    let before = lines();
    let range = Range {
        addr: address,
        len: 64,
        ..Default::default()
    };
    let results = [
        native.user_to_phys(address).map(drop),
        native.flush(range),
        native.invalidate(range),
        native.sync(SYNC_FLUSH, &[range]),
        native.sync(SYNC_INVALIDATE, &[range]),
        native.set_owner_at(address, OWNER_CPU),
        native.set_owner_at(address, OWNER_DEVICE),
    ];
    assert_eq!(results, [Err(Errno::EFAULT); 7], "{what}");
    let argument = Mapping::anonymous(2 * PAGE, READ_WRITE);
    argument.store(0, address);
    argument.store(8, 64);
    let family_a = Node::open_path("/dev/fpgadrv0");
    for (node, command) in [
        (&family_a, paddle::A_FLUSH),
        (&family_a, paddle::A_INVALIDATE),
        (&family_a, paddle::OLD_FLUSH),
        (&family_a, paddle::OLD_INVALIDATE),
        (native, paddle::B_VM_TO_PHYS),
    ] {
        let result = node.command_at(command, &argument, 0);
        assert_eq!(result, Err(Errno::EFAULT), "{what}: {command:#x}");
    }
    assert_eq!(lines(), before, "{what}: lines were touched");
}

#[test]
fn memory_of_others_is_a_fault_to_every_call() {
    let _balance = Balance::new();
    let native = Node::open();
    let memory_file = memfd_create(c"file", MFdFlags::MFD_CLOEXEC).unwrap();
    ftruncate(&memory_file, PAGE.cast_signed()).unwrap();
    let uio = zdma::uio_node();
    for (what, memory) in [
        ("a buffer of a dma-heap", dma_heap::map(PAGE)),
        (
            "registers of another driver",
            map(uio.to_str().unwrap(), PAGE, 0),
        ),
        ("shared memory", map("/dev/zero", PAGE, 0)),
        (
            "a memory file",
            Mapping::of(&memory_file, PAGE, READ_WRITE, SHARED, 0).unwrap(),
        ),
        (
            "registers that this driver maps",
            map("/dev/fpgadrv0", PAGE, paddle::REGISTERS),
        ),
        ("the status area", native.map_status(PAGE).unwrap()),
        ("private memory", Mapping::anonymous(PAGE, READ_WRITE)),
    ] {
        refuse_everywhere(&native, memory.addr(), what);
        refuse_everywhere(&native, memory.addr() + PAGE - 64, what);
    }
}

#[test]
fn addresses_without_a_mapping_are_a_fault_to_every_call() {
    let _balance = Balance::new();
    let native = Node::open();
    let local = 0_u64;
    let hole = Mapping::anonymous(PAGE, READ_WRITE).addr();
    for (what, address) in [
        ("the stack", std::ptr::from_ref(&local) as u64),
        ("the program", lines as fn() -> _ as usize as u64),
        ("nothing", hole),
        ("the first page", 8),
        ("the kernel's linear mapping", 0xffff_0000_4000_0000),
        ("the kernel's text", 0xffff_8000_8000_0000),
        ("the end", u64::MAX - 63),
        ("between user and kernel", 1 << 55),
        ("a tagged address", hole | 0x5a << 56),
    ] {
        refuse_everywhere(&native, address, what);
    }
}

#[test]
fn a_buffer_of_another_pool_is_a_fault_to_every_call() {
    let _balance = Balance::new();
    let (native, other) = (Node::open(), Node::open_hasty());
    let mapping = other.map(PAGE).unwrap();
    refuse_everywhere(&native, mapping.addr(), "another pool");
    other.user_to_phys(mapping.addr()).unwrap();
}

#[test]
fn the_memory_of_a_buffer_under_another_driver_is_a_fault_to_every_call() {
    let _balance = Balance::new();
    let native = Node::open();
    let buffer = native.alloc(request(PAGE)).unwrap();
    native.map_buffer(&buffer).unwrap().fill(1);
    let same = map("/dev/mem", PAGE, buffer.phys_addr);
    same.check(1);
    refuse_everywhere(&native, same.addr(), "/dev/mem");
    let found = native.phys_to_user(buffer.phys_addr).map(drop);
    assert_eq!(found, Err(Errno::EFAULT));
    assert_eq!(state_of(buffer.phys_addr), "cpu");
}

#[test]
fn a_range_that_only_begins_in_a_buffer_is_a_fault() {
    let _balance = Balance::new();
    let native = Node::open();
    // A buffer, and what the driver does not know in place of its second page.
    let others = [
        ("/dev/zero", 0),
        ("/dev/mem", 0x4000_0000),
        ("/dev/fpgadrv0", paddle::REGISTERS),
    ];
    for (path, offset) in others {
        let mut mapping = native.map(2 * PAGE).unwrap();
        let file = File::options().read(true).write(true).open(path).unwrap();
        mapping
            .replace(PAGE..2 * PAGE, &file, SHARED, offset)
            .unwrap();
        let before = lines();
        let range = Range {
            addr: mapping.addr() + PAGE - 64,
            len: 65,
            ..Default::default()
        };
        let results = [
            native.flush(range),
            native.invalidate(range),
            native.sync(SYNC_FLUSH, &[range]),
        ];
        assert_eq!(results, [Err(Errno::EFAULT); 3], "{path}");
        assert_eq!(lines(), before, "{path}");
        let inside = native.user_to_phys(mapping.addr()).unwrap();
        assert_eq!(inside.contiguous_bytes, PAGE, "{path}");
    }
}
