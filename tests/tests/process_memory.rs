// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debuggers read and write buffers through `/proc/PID/mem`.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{Alloc, ALLOC_WRITE_COMBINE};
use fpgamem_tests::{
    request, Balance, Child, Errno, MapFlags, Mapping, Node, ProtFlags, PAGE, READ_WRITE,
};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

/// The memory of a process, for reading and writing.
fn memory_of(process: &str) -> File {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true);
    file.open(format!("/proc/{process}/mem"))
        .expect("the tests run as root")
}

fn read(address: u64, len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0xee; len];
    let got = memory_of("self")
        .read_at(&mut bytes, address)
        .map_err(errno)?;
    bytes.truncate(got);
    Ok(bytes)
}

fn write(address: u64, bytes: &[u8]) -> Result<usize, Errno> {
    memory_of("self").write_at(bytes, address).map_err(errno)
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().expect("the kernel's error"))
}

/// A write-combine buffer of two pages, mapped.
fn write_combine(node: &Node) -> Mapping {
    let buffer = node
        .alloc(Alloc {
            flags: ALLOC_WRITE_COMBINE,
            ..request(2 * PAGE)
        })
        .expect("there is room");
    let mapping = node.map_buffer(&buffer).expect("the offset is good");
    node.free(buffer.handle).expect("the handle is good");
    mapping
}

#[test]
fn reads_what_the_process_stored() {
    let _balance = Balance::new();
    let mapping = Node::open().map(2 * PAGE).unwrap();
    mapping.set(PAGE - 3..PAGE + 3, 0x5a);
    let bytes = read(mapping.addr() + PAGE - 4, 8).unwrap();
    assert_eq!(bytes, [0, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0]);
    let bytes = read(mapping.addr() + PAGE + 1, 4).unwrap();
    assert_eq!(bytes, [0x5a, 0x5a, 0, 0], "of the second page alone");
}

#[test]
fn writes_what_the_process_loads() {
    let _balance = Balance::new();
    let mapping = Node::open().map(2 * PAGE).unwrap();
    assert_eq!(write(mapping.addr() + 5, &[1, 2, 3]), Ok(3));
    assert_eq!(read(mapping.addr() + 4, 5).unwrap(), [0, 1, 2, 3, 0]);
    mapping.check_zero(8..2 * PAGE);
    mapping.check_zero(0..5);
}

#[test]
fn a_write_combine_buffer_is_read_and_written_too() {
    let _balance = Balance::new();
    let mapping = write_combine(&Node::open());
    mapping.set(PAGE..PAGE + 2, 0x77);
    assert_eq!(write(mapping.addr() + PAGE + 2, &[9]), Ok(1));
    let bytes = read(mapping.addr() + PAGE - 1, 5).unwrap();
    assert_eq!(bytes, [0, 0x77, 0x77, 9, 0]);
}

#[test]
fn what_is_left_of_a_split_mapping_shows_its_own_bytes() {
    let _balance = Balance::new();
    let mut mapping = Node::open().map(4 * PAGE).unwrap();
    for page in 0..4u8 {
        let start = u64::from(page) * PAGE;
        mapping.set(start..start + PAGE, page + 1);
    }
    mapping.unmap(PAGE..2 * PAGE);
    assert_eq!(read(mapping.addr(), 1).unwrap(), [1]);
    assert_eq!(read(mapping.addr() + 2 * PAGE, 1).unwrap(), [3]);
    assert_eq!(read(mapping.addr() + PAGE, 1), Err(Errno::EIO));
}

#[test]
fn a_moved_mapping_shows_its_bytes_at_the_new_place() {
    let _balance = Balance::new();
    let mut mapping = Node::open().map(2 * PAGE).unwrap();
    mapping.set(PAGE..2 * PAGE, 6);
    mapping.relocate().unwrap();
    assert_eq!(read(mapping.addr() + PAGE, 2).unwrap(), [6, 6]);
}

#[test]
fn reading_stops_where_the_mapping_ends() {
    let _balance = Balance::new();
    let mut mapping = Node::open().map(4 * PAGE).unwrap();
    mapping.fill(1);
    mapping.unmap(2 * PAGE..4 * PAGE);
    let bytes = read(mapping.addr() + 2 * PAGE - 16, 64).unwrap();
    assert_eq!(bytes.len(), 16);
}

#[test]
fn a_protected_mapping_is_read_and_not_written() {
    let _balance = Balance::new();
    let mapping = Node::open().map(PAGE).unwrap();
    mapping.set(0..1, 4);
    mapping.protect(0..PAGE, ProtFlags::PROT_NONE).unwrap();
    assert_eq!(read(mapping.addr(), 1).unwrap(), [4]);
    assert_eq!(write(mapping.addr(), &[1]), Err(Errno::EIO));
    mapping.protect(0..PAGE, READ_WRITE).unwrap();
    assert_eq!(read(mapping.addr(), 1).unwrap(), [4]);
}

#[test]
fn a_mapping_of_a_read_only_file_is_not_written() {
    let _balance = Balance::new();
    let node = Node::open_read_only();
    let mapping = node
        .map_with(PAGE, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, 0)
        .unwrap();
    assert_eq!(write(mapping.addr(), &[1]), Err(Errno::EIO));
    mapping.check_zero(0..PAGE);
}

#[test]
fn a_debugger_reads_and_writes_another_process() {
    let _balance = Balance::new();
    let mut child = Child::start(|link| {
        let mapping = Node::open().map(PAGE).unwrap();
        mapping.set(0..4, 0x31);
        link.send(mapping.addr());
        assert_eq!(link.receive(), 1);
        assert_eq!(read(mapping.addr(), 4).unwrap(), [0x31, 8, 8, 0x31]);
    });
    let address = child.link.receive();
    let memory = memory_of(&child.pid().to_string());
    let mut bytes = [0; 4];
    memory.read_exact_at(&mut bytes, address).unwrap();
    assert_eq!(bytes, [0x31; 4]);
    memory.write_all_at(&[8, 8], address + 1).unwrap();
    child.link.send(1);
    child.succeed();
}

#[test]
fn the_blocks_return_although_somebody_looks_at_the_process() {
    let balance = Balance::new();
    let mut child = Child::start(|link| {
        let mapping = Node::open().map(PAGE).unwrap();
        link.send(mapping.addr());
        link.receive();
    });
    let address = child.link.receive();
    let memory = memory_of(&child.pid().to_string());
    memory.read_exact_at(&mut [0; 4], address).unwrap();
    child.link.send(0);
    child.succeed();
    balance.expect_held(0);
    assert_eq!(memory.read_at(&mut [0; 4], address).unwrap(), 0);
}
