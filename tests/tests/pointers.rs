// SPDX-License-Identifier: MIT OR Apache-2.0

//! Nothing that the driver gives away is an address of the kernel.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::abi::{self, Alloc, Buffer, PhysToUser, SetOwner, UserToPhys};
use fpgamem_tests::driver::{self, Unbound};
use fpgamem_tests::kernel_log::KernelLog;
use fpgamem_tests::quarantine::quarantine;
use fpgamem_tests::user_limit::become_user;
use fpgamem_tests::{
    block_map, debugfs, in_child, pointers, request, Balance, MapFlags, Mapping, Node, ProtFlags,
    PAGE, READ_WRITE,
};
use std::fs;
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// A user and a group that own nothing.
const NOBODY: u32 = 1000;

/// A file with buffers of every kind, mapped, one of them split, one with a handle alone.
fn busy() -> (Node, Vec<Mapping>) {
    let node = Node::open();
    let mut mappings = vec![node.map_status(PAGE).expect("there is none yet")];
    mappings.extend((1..4).map(|pages| node.map(pages * PAGE).expect("there is room")));
    for flags in [0, abi::ALLOC_WRITE_COMBINE, abi::ALLOC_COHERENT] {
        let request = Alloc {
            flags,
            ..request(4 * PAGE)
        };
        let buffer = node.alloc(request).expect("there is room");
        mappings.push(node.map_buffer(&buffer).expect("the offset is good"));
    }
    let last = mappings.last().expect("there are some");
    last.protect(PAGE..2 * PAGE, ProtFlags::PROT_READ)
        .expect("it is mapped");
    node.alloc(request(PAGE)).expect("there is room");
    (node, mappings)
}

/// Issues a command, successful or not, with an argument that begins with `inputs`, and fails where
/// the memory has an address of the kernel afterwards.
fn call(node: &Node, command: u32, inputs: &[(usize, u64)]) -> Mapping {
    let memory = Mapping::anonymous(2 * PAGE, READ_WRITE);
    for &(offset, value) in inputs {
        memory.store(offset as u64, value);
    }
    let result = node.command_at(command, &memory, 0);
    let mut bytes = vec![0; 2 * 4096];
    memory.read(0, &mut bytes);
    let found = pointers::in_bytes(&bytes);
    assert_eq!(
        found,
        None,
        "{command:#x} ({result:?}): {:x?}",
        &bytes[..256]
    );
    memory
}

#[test]
fn no_command_gives_one_away() {
    let _balance = Balance::new();
    let (node, mappings) = busy();
    for mapping in &mappings[1..] {
        let address = mapping.addr();
        let answer = call(&node, abi::IOC_USER_TO_PHYS, &[(0, address)]);
        let phys_addr = answer.load(offset_of!(UserToPhys, phys_addr) as u64);
        assert_ne!(phys_addr, 0);
        let answer = call(&node, abi::IOC_PHYS_TO_USER, &[(0, phys_addr)]);
        assert_eq!(
            answer.load(offset_of!(PhysToUser, user_addr) as u64),
            address
        );
        call(&node, paddle::B_VM_TO_PHYS, &[(0, address)]);
    }
    let answer = call(&node, abi::IOC_INFO, &[]);
    answer.check_zero(offset_of!(abi::Info, reserved) as u64..2 * PAGE);
    let answer = call(&node, abi::IOC_ALLOC, &[(0, PAGE)]);
    let handle = answer.load(offset_of!(Alloc, flags) as u64) >> 32;
    call(
        &node,
        abi::IOC_QUERY,
        &[(offset_of!(Buffer, handle), handle)],
    );
    let at = offset_of!(SetOwner, handle);
    call(&node, abi::IOC_SET_OWNER, &[(at, handle)]);
    // Refused: what was not filled in must not be told.
    for command in [
        abi::IOC_ALLOC,
        abi::IOC_FREE,
        abi::IOC_QUERY,
        abi::IOC_USER_TO_PHYS,
        abi::IOC_PHYS_TO_USER,
        abi::IOC_FLUSH,
        abi::IOC_INVALIDATE,
        abi::IOC_SYNC,
        abi::IOC_SET_OWNER,
        paddle::B_VM_TO_PHYS,
    ] {
        call(&node, command, &[]);
    }
    let paddle_node = Node::open_path("/dev/fpgadrv0");
    call(&paddle_node, paddle::A_DEVICE_INFO, &[]);
    let mut status = vec![0; 4096];
    mappings[0].read(0, &mut status);
    assert_eq!(pointers::in_bytes(&status), None);
}

/// Searches what the kernel tells of this process and of an open file of it.
fn search_process(node: &Node) {
    let descriptor = node.as_fd().as_raw_fd();
    let fdinfo = format!("/proc/self/fdinfo/{descriptor}");
    for path in [&fdinfo, "/proc/self/maps", "/proc/self/smaps"] {
        assert_eq!(pointers::search(Path::new(path)), 1, "{path} is readable");
    }
}

#[test]
fn files_for_root_have_none() {
    let _balance = Balance::new();
    let (node, _mappings) = busy();
    quarantine(&node, PAGE);
    assert!(block_map::read().len() >= 8);
    assert!(pointers::search(&debugfs::directory()) >= 2);
    search_process(&node);
    node.quiet().unwrap();
}

#[test]
fn what_the_unprivileged_can_read_has_none() {
    let _balance = Balance::new();
    let (node, _mappings) = busy();
    let device = driver::device_name();
    in_child(|| {
        become_user(NOBODY);
        let denied = fs::read_dir("/sys/kernel/debug").map_err(|error| error.kind());
        assert_eq!(denied.map(drop), Err(std::io::ErrorKind::PermissionDenied));
        search_process(&node);
        for (folder, least) in [
            ("/sys/module/fpgamem".to_owned(), 5),
            (format!("/sys/bus/platform/devices/{device}"), 3),
            ("/sys/class/misc/fpgamem0".to_owned(), 2),
            ("/sys/class/misc/fpgadrv0".to_owned(), 2),
            ("/proc/misc".to_owned(), 1),
            ("/proc/iomem".to_owned(), 1),
            ("/proc/modules".to_owned(), 1),
        ] {
            let real = fs::canonicalize(&folder).expect("it exists");
            let files = pointers::search(&real);
            assert!(files >= least, "{files} files in {folder}");
        }
    });
}

#[test]
fn the_log_has_none() {
    let _balance = Balance::new();
    let mut log = KernelLog::from_start();
    Unbound::new().bind();
    let lines = log.driver_lines();
    assert!(!lines.is_empty());
    for line in &lines {
        assert_eq!(pointers::in_text(line), None, "{line}");
    }
}

#[test]
fn tracepoints_have_none() {
    const TRACEFS: &str = "/sys/kernel/tracing";
    let _balance = Balance::new();
    let switch = |value| fs::write(format!("{TRACEFS}/events/fpgamem/enable"), value).unwrap();
    fs::write(format!("{TRACEFS}/trace"), "").unwrap();
    switch("1");
    let (node, mappings) = busy();
    quarantine(&node, PAGE);
    drop((mappings, node));
    switch("0");
    let trace = fs::read_to_string(format!("{TRACEFS}/trace")).unwrap();
    let events = trace.lines().filter(|line| line.contains("fpgamem_"));
    assert!(events.clone().count() > 10, "{trace}");
    for event in events {
        assert_eq!(pointers::in_text(event), None, "{event}");
    }
    Node::open().quiet().unwrap();
}

#[test]
fn offsets_are_neither_physical_addresses_nor_pointers() {
    let _balance = Balance::new();
    let node = Node::open();
    let buffer = node.alloc(request(PAGE)).unwrap();
    assert_ne!(buffer.mmap_offset, buffer.phys_addr);
    assert!(!pointers::is_pointer(buffer.mmap_offset));
    // A physical address is no offset, and neither is an address of the kernel.
    for offset in [buffer.phys_addr, 0xffff_0000_0000_0000 >> 1 & !(PAGE - 1)] {
        let mapped = node.map_with(PAGE, READ_WRITE, MapFlags::MAP_SHARED, offset);
        assert!(mapped.is_err(), "{offset:#x} can be mapped");
    }
}
