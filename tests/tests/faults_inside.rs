// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's allocations and copies fail at every place in turn: each call says so, and leaves
//! nothing behind. Runs on the debug kernel, which can inject faults.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{Range, SYNC_FLUSH, SYNC_INVALIDATE};
use fpgamem_tests::debugfs::Stats;
use fpgamem_tests::driver::{self, Unbound};
use fpgamem_tests::faults::{
    errno, nothing_is_left_and_no_spare, nothing_is_left_of, Faults, Tally, LARGE, SWEEPS,
};
use fpgamem_tests::{debugfs, node, request, Balance, Errno, MapFlags, Node, PAGE, READ_WRITE};
use std::cell::{Cell, RefCell};
use std::fs::OpenOptions;

#[test]
fn open() {
    let _balance = Balance::new();
    let faults = Faults::new();
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let tally = faults.at_each_place(
        || options.open(node::PATH).map_err(errno),
        nothing_is_left_of(Stats::read()),
    );
    // The driver's own: the file, its totals.
    assert!(tally.no_memory >= 2, "{tally:?}");
    Node::open().info().unwrap();
}

#[test]
fn mmap_of_a_block() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let tally = faults.at_each_place(|| node.map(PAGE), nothing_is_left_of(Stats::read()));
    assert!(tally.no_memory >= 3, "{tally:?}");
    assert_eq!(node.fdinfo("fpgamem-buffers"), 0);
}

#[test]
fn mmap_of_many_pages() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    // The end needs a table of pages, the rest has huge ones.
    let len = LARGE - PAGE;
    let tally = faults.at_each_place(|| node.map(len), nothing_is_left_of(Stats::read()));
    // A page table more than a small mapping at least.
    assert!(tally.no_memory >= 4, "{tally:?}");
    node.map(len).unwrap().check_zero(0..len);
}

#[test]
fn mmap_of_a_part_between_huge_pages() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let buffer = node.alloc(request(LARGE)).unwrap();
    let (offset, len) = (buffer.mmap_offset + PAGE, LARGE - 2 * PAGE);
    let map = || node.map_with(len, READ_WRITE, MapFlags::MAP_SHARED, offset);
    let tally = faults.at_each_place(map, nothing_is_left_of(Stats::read()));
    // A table of pages for either end.
    assert!(tally.no_memory >= 4, "{tally:?}");
    map().unwrap().check_zero(0..len);
    node.free(buffer.handle).unwrap();
}

#[test]
fn mmap_of_a_handle() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let buffer = node.alloc(request(LARGE)).unwrap();
    let tally = faults.at_each_place(
        || node.map_buffer(&buffer),
        nothing_is_left_of(Stats::read()),
    );
    assert!(tally.no_memory >= 3, "{tally:?}");
    node.free(buffer.handle).unwrap();
}

/// A handle that is dropped with the value.
struct Handle<'a>(&'a Node, u32);

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        self.0.free(self.1).expect("the handle exists");
    }
}

#[test]
fn alloc() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let other = Node::open();
    let mut unchanged = nothing_is_left_and_no_spare(&other);
    let tally = faults.at_each_place(
        || Ok(Handle(&node, node.alloc(request(PAGE))?.handle)),
        |errno| {
            unchanged(errno);
            assert_eq!(node.fdinfo("fpgamem-handles"), 0);
        },
    );
    // The handle, the buffer and its record; the copies in and out. One may be missed in a sweep.
    assert!(tally.no_memory >= 2 * SWEEPS, "{tally:?}");
    assert!(tally.bad_copy >= SWEEPS, "{tally:?}");
}

#[test]
fn free() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let buffer = node.alloc(request(PAGE)).unwrap();
    let tally = faults.sweep(
        || node.free(buffer.handle),
        |_| {
            node.query(buffer.handle)
                .expect("the handle is still there");
        },
    );
    assert_eq!((tally.no_memory, tally.bad_copy), (0, 1), "{tally:?}");
}

/// The tally of a call that allocates nothing and copies so many times.
fn copies(bad_copy: u32) -> Tally {
    Tally {
        bad_copy: bad_copy * SWEEPS,
        ..Tally::default()
    }
}

#[test]
fn query() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let buffer = node.alloc(request(PAGE)).unwrap();
    let tally = faults.at_each_place(|| node.query(buffer.handle), |_| ());
    assert_eq!(tally, copies(2));
}

#[test]
fn info() {
    let (faults, node) = (Faults::new(), Node::open());
    let tally = faults.at_each_place(|| node.info(), |_| ());
    assert_eq!(tally, copies(1));
}

#[test]
fn translation() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let mapping = node.map(PAGE).unwrap();
    let tally = faults.at_each_place(|| node.user_to_phys(mapping.addr()), |_| ());
    assert_eq!(tally, copies(2));
    let phys = node.user_to_phys(mapping.addr()).unwrap().phys_addr;
    let tally = faults.at_each_place(|| node.phys_to_user(phys), |_| ());
    assert_eq!(tally, copies(2));
}

/// Fails if a call that failed has touched a line.
fn no_line_is_touched() -> impl FnMut(Option<Errno>) {
    let mut before = debugfs::lines();
    move |errno| {
        let now = debugfs::lines();
        assert!(errno.is_none() || now == before, "{before:?} {now:?}");
        before = now;
    }
}

#[test]
fn flush_and_invalidate() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let mapping = node.map(PAGE).unwrap();
    let range = Range {
        addr: mapping.addr(),
        len: PAGE,
        ..Default::default()
    };
    for call in [Node::flush, Node::invalidate] {
        let tally = faults.sweep(|| call(&node, range), no_line_is_touched());
        assert!(tally.bad_copy >= 1, "{tally:?}");
    }
}

#[test]
fn sync_of_many_ranges() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let mapping = node.map(LARGE).unwrap();
    // The lists take more than a page.
    let ranges: Vec<_> = (0..200)
        .map(|i| Range {
            addr: mapping.addr() + i * PAGE,
            len: 64,
            ..Default::default()
        })
        .collect();
    for op in [SYNC_FLUSH, SYNC_INVALIDATE] {
        let tally = faults.sweep(|| node.sync(op, &ranges), no_line_is_touched());
        // Where a list cannot be had in one piece, it is made of pages.
        assert!(tally.tolerated + tally.no_memory >= 2, "{tally:?}");
        // Every range is copied.
        assert!(tally.bad_copy >= 190, "{tally:?}");
    }
}

#[test]
fn binding() {
    let _balance = Balance::new();
    let faults = Faults::new();
    let device = Unbound::new();
    let name = device.name().to_owned();
    let tally = faults.sweep(
        || driver::bind(&name).map_err(errno),
        |errno| {
            if errno.is_none() {
                assert_eq!(driver::driver_of(&name).as_deref(), Some("fpgamem"));
                driver::unbind(&name).expect("it is bound");
            }
            assert_eq!(driver::driver_of(&name), None);
            assert!(!driver::node_exists(), "a node is left");
            assert!(!debugfs::directory().exists(), "a directory is left");
        },
    );
    device.is_bound_again();
    // The driver's own: the pool, its entry, the name, the node and what they consist of.
    assert!(tally.no_memory >= 8, "{tally:?}");
    Node::open().map(PAGE).unwrap().fill(1);
}

#[test]
fn unmapping_the_middle() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let mapping = RefCell::new(node.map(LARGE).unwrap());
    let base = mapping.borrow().addr();
    mapping.borrow().fill(3);
    // The next page to unmap; one stays between it and the one before.
    let page = Cell::new(PAGE);
    let mut unchanged = nothing_is_left_of(Stats::read());
    let tally = faults.sweep(
        || {
            mapping
                .borrow_mut()
                .try_unmap(page.get()..page.get() + PAGE)
        },
        |errno| {
            unchanged(errno);
            let found = node.user_to_phys(base + page.get()).map(drop);
            match errno {
                Some(_) => found.expect("it is still mapped"),
                None => page.set(page.get() + 2 * PAGE),
            }
        },
    );
    assert!(tally.no_memory >= 1, "{tally:?}");
    let found = node.user_to_phys(base + page.get()).map(drop);
    assert_eq!(found, Err(Errno::EFAULT));
}
