// SPDX-License-Identifier: MIT OR Apache-2.0

//! What kind of memory a mapping is: no faults, normal memory, not to be pinned by the kernel.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Alloc};
use fpgamem_tests::page_faults::faults_in;
use fpgamem_tests::{
    request, Balance, Child, Errno, MapFlags, Mapping, MmapAdvise, Node, ProtFlags, PAGE,
    READ_WRITE,
};
use nix::sys::uio::{process_vm_readv, process_vm_writev, RemoteIoVec};
use nix::unistd::Pid;
use std::io::{IoSlice, IoSliceMut, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

fn read_each_page(mapping: &Mapping) {
    for page in 0..mapping.len() / PAGE {
        assert_eq!(mapping.load(page * PAGE), 0);
    }
}

fn write_each_page(mapping: &Mapping) {
    for page in 0..mapping.len() / PAGE {
        mapping.store(page * PAGE, 0);
    }
}

/// Runs the accesses once on other memory, so that only the mapping's own faults are counted later.
fn warm_up() {
    let memory = Mapping::anonymous(16 * PAGE, READ_WRITE);
    write_each_page(&memory);
    read_each_page(&memory);
}

#[test]
fn reading_one_mib_takes_no_page_fault() {
    let _balance = Balance::new();
    let mapping = Node::open().map(1 << 20).unwrap();
    warm_up();
    assert_eq!(faults_in(|| read_each_page(&mapping)), 0);
}

#[test]
fn writing_one_mib_takes_no_page_fault() {
    let _balance = Balance::new();
    let mapping = Node::open().map(1 << 20).unwrap();
    warm_up();
    assert_eq!(faults_in(|| write_each_page(&mapping)), 0);
}

#[test]
fn writing_the_mapping_of_a_handle_takes_no_page_fault() {
    let _balance = Balance::new();
    let node = Node::open();
    let mapping = node
        .map_buffer(&node.alloc(request(1 << 20)).unwrap())
        .unwrap();
    warm_up();
    assert_eq!(faults_in(|| write_each_page(&mapping)), 0);
}

#[test]
fn writing_write_combine_memory_takes_no_page_fault() {
    let _balance = Balance::new();
    let node = Node::open();
    let flags = abi::ALLOC_WRITE_COMBINE;
    let buffer = node
        .alloc(Alloc {
            flags,
            ..request(1 << 20)
        })
        .unwrap();
    let mapping = node.map_buffer(&buffer).unwrap();
    warm_up();
    assert_eq!(faults_in(|| write_each_page(&mapping)), 0);
}

#[test]
fn writing_a_mapping_that_was_read_only_before_takes_no_page_fault() {
    let _balance = Balance::new();
    let flags = MapFlags::MAP_SHARED;
    let mapping = Node::open()
        .map_with(1 << 20, ProtFlags::PROT_READ, flags, 0)
        .unwrap();
    mapping.protect(0..1 << 20, READ_WRITE).unwrap();
    warm_up();
    assert_eq!(faults_in(|| write_each_page(&mapping)), 0);
}

#[test]
fn writing_a_moved_mapping_takes_no_page_fault() {
    let _balance = Balance::new();
    let mut mapping = Node::open().map(1 << 20).unwrap();
    mapping.relocate().unwrap();
    warm_up();
    assert_eq!(faults_in(|| write_each_page(&mapping)), 0);
}

#[test]
fn writing_sixteen_mib_takes_at_most_a_fault_per_two_mib() {
    let _balance = Balance::new();
    let mapping = Node::open().map(16 << 20).unwrap();
    warm_up();
    let faults = faults_in(|| write_each_page(&mapping));
    assert!(faults <= 8, "{faults} faults");
}

#[test]
fn unaligned_access_works() {
    let _balance = Balance::new();
    let mapping = Node::open().map(2 * PAGE).unwrap();
    for offset in (1..64).chain(PAGE - 7..PAGE) {
        mapping.store(offset, 0x0123_4567_89ab_cdef ^ offset);
        assert_eq!(mapping.load(offset), 0x0123_4567_89ab_cdef ^ offset);
    }
}

#[test]
fn memset_to_zero_works() {
    let _balance = Balance::new();
    let mapping = Node::open().map(1 << 20).unwrap();
    mapping.fill(1);
    // The C library zeroes whole lines by DC ZVA, which device memory would not take.
    mapping.set(3..(1 << 20) - 5, 0);
    mapping.check_zero(3..(1 << 20) - 5);
    mapping.check_range(0..3, 1, 0);
}

#[test]
fn write_combine_memory_takes_unaligned_access_and_keeps_what_is_written() {
    let _balance = Balance::new();
    let node = Node::open();
    let flags = abi::ALLOC_WRITE_COMBINE;
    let buffer = node
        .alloc(Alloc {
            flags,
            ..request(1 << 20)
        })
        .unwrap();
    let mapping = node.map_buffer(&buffer).unwrap();
    mapping.check_zero(0..1 << 20);
    mapping.fill(2);
    mapping.check(2);
    mapping.store(1021, 77);
    assert_eq!(mapping.load(1021), 77);
}

#[test]
fn write_combine_memory_is_zero_where_a_cached_buffer_was_before() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    // There is one address with this alignment only.
    let cached = Alloc {
        align: abi::MAX_ALIGN,
        ..request(1 << 20)
    };
    let before = node.alloc(cached).unwrap();
    node.map_buffer(&before).unwrap().fill(3);
    node.free(before.handle).unwrap();
    let after = node
        .alloc(Alloc {
            flags: abi::ALLOC_WRITE_COMBINE,
            ..cached
        })
        .unwrap();
    assert_eq!(after.phys_addr, before.phys_addr);
    node.map_buffer(&after).unwrap().check_zero(0..1 << 20);
}

#[test]
fn read_fills_a_mapping_from_a_pipe() {
    let _balance = Balance::new();
    let mapping = Node::open().map(PAGE).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"as plain memory").unwrap();
    assert_eq!(mapping.read_from(&reader, 100..115), Ok(15));
    let mut bytes = [0; 15];
    mapping.read(100, &mut bytes);
    assert_eq!(&bytes, b"as plain memory");
}

#[test]
fn write_sends_a_mapping_to_a_pipe() {
    let _balance = Balance::new();
    let mapping = Node::open().map(PAGE).unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    mapping.write(200, b"as plain memory");
    assert_eq!(mapping.write_to(&writer, 200..215), Ok(15));
    let mut bytes = [0; 15];
    reader.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"as plain memory");
}

#[test]
fn the_kernel_cannot_pin_the_pages() {
    let _balance = Balance::new();
    let mapping = Node::open().map(PAGE).unwrap();
    let (_reader, writer) = std::io::pipe().unwrap();
    assert_eq!(mapping.vmsplice_to(&writer, 0..PAGE), Err(Errno::EFAULT));
}

#[test]
fn memory_cannot_be_a_fixed_buffer_of_io_uring() {
    let _balance = Balance::new();
    // Ordinary memory can; this has no struct pages that could be pinned.
    let ordinary = Mapping::anonymous(PAGE, READ_WRITE);
    assert_eq!(ordinary.register_with_io_uring(0..PAGE), Ok(()));
    let mapping = Node::open().map(PAGE).unwrap();
    let result = mapping.register_with_io_uring(0..PAGE);
    assert_eq!(result, Err(Errno::EFAULT));
}

#[test]
fn memory_has_no_shared_futex() {
    let _balance = Balance::new();
    let ordinary = Mapping::anonymous(PAGE, READ_WRITE);
    ordinary.store(0, 1);
    assert_eq!(ordinary.futex_wake(), Ok(()));
    let mapping = Node::open().map(PAGE).unwrap();
    assert_eq!(mapping.futex_wake(), Err(Errno::EFAULT));
}

#[test]
fn direct_access_works_where_the_file_system_copies() {
    // As tmpfs does. One that hands the pages to a block device needs to pin them, like io_uring.
    let _balance = Balance::new();
    let path = "/tmp/direct";
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(nix::libc::O_DIRECT)
        .open(path)
        .unwrap();
    let node = Node::open();
    let (from, to) = (node.map(4 * PAGE).unwrap(), node.map(4 * PAGE).unwrap());
    from.fill(5);
    assert_eq!(from.write_to(&file, 0..4 * PAGE), Ok(4 * 4096));
    (&file).rewind().unwrap();
    assert_eq!(to.read_from(&file, 0..4 * PAGE), Ok(4 * 4096));
    to.check(5);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn another_process_cannot_copy_the_pages() {
    let _balance = Balance::new();
    let mut child = Child::start(|link| {
        let mapping = Node::open().map(PAGE).unwrap();
        let ordinary = Mapping::anonymous(PAGE, READ_WRITE);
        mapping.fill(1);
        ordinary.fill(1);
        link.send(mapping.addr());
        link.send(ordinary.addr());
        link.receive();
        mapping.check(1);
    });
    let (buffer, ordinary) = (child.link.receive(), child.link.receive());
    let pid = Pid::from_raw(i32::try_from(child.pid()).unwrap());
    let remote = |address: u64| RemoteIoVec {
        base: usize::try_from(address).unwrap(),
        len: 4096,
    };
    let mut bytes = [0; 4096];
    let mut local = [IoSliceMut::new(&mut bytes)];
    // Debuggers use /proc/PID/mem, for which the driver copies; this pins pages.
    let read = process_vm_readv(pid, &mut local, &[remote(buffer)]);
    assert_eq!(read, Err(Errno::EFAULT));
    let read = process_vm_readv(pid, &mut local, &[remote(ordinary)]);
    assert_eq!(read, Ok(4096));
    let local = [IoSlice::new(&bytes)];
    let written = process_vm_writev(pid, &local, &[remote(buffer)]);
    assert_eq!(written, Err(Errno::EFAULT));
    child.link.send(0);
    child.succeed();
}

#[test]
fn memory_cannot_be_discarded_by_madvise() {
    let _balance = Balance::new();
    let mapping = Node::open().map(PAGE).unwrap();
    mapping.fill(4);
    assert_eq!(
        mapping.advise(MmapAdvise::MADV_DONTNEED),
        Err(Errno::EINVAL)
    );
    mapping.check(4);
}
