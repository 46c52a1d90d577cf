// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's allocations and copies fail at every place of the calls about owners, of the status
//! area, and of the node for Paddle's clients. Runs on the debug kernel, which can inject faults.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::abi::{OWNER_CPU, OWNER_DEVICE};
use fpgamem_tests::debugfs::{lines, Stats};
use fpgamem_tests::faults::{
    errno, nothing_is_left_and_no_spare, nothing_is_left_of, Faults, Tally, LARGE, SWEEPS,
};
use fpgamem_tests::quarantine::{quarantine, state_of};
use fpgamem_tests::{
    abi, block_map, request, Balance, Errno, MapFlags, Mapping, Node, PAGE, READ_WRITE,
};
use std::cell::{Cell, RefCell};
use std::fs::OpenOptions;

const PADDLE: &str = "/dev/fpgadrv0";
/// The tally of a call that allocates nothing and copies so many times.
fn copies(bad_copy: u32) -> Tally {
    Tally {
        bad_copy: bad_copy * SWEEPS,
        ..Tally::default()
    }
}

#[test]
fn set_owner() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let buffer = node.alloc(request(PAGE)).unwrap();
    let mapping = node.map_buffer(&buffer).unwrap();
    let owner = || block_map::line_of(buffer.phys_addr).map(|line| line.state);
    // The owner changes when the call succeeds, and only then.
    for (to, before, after) in [
        (OWNER_DEVICE, "cpu", "device"),
        (OWNER_CPU, "device", "cpu"),
    ] {
        let by_address = Cell::new(false);
        let tally = faults.sweep(
            || {
                if by_address.get() {
                    node.set_owner_at(mapping.addr(), to)
                } else {
                    node.set_owner(buffer.handle, to)
                }
            },
            |errno| {
                assert_eq!(errno, Some(Errno::EFAULT));
                assert_eq!(owner().as_deref(), Some(before));
                by_address.set(true);
            },
        );
        assert_eq!((tally.no_memory, tally.bad_copy), (0, 1), "{tally:?}");
        assert_eq!(owner().as_deref(), Some(after));
    }
}

#[test]
fn quiet_needs_nothing() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let phys_addr = quarantine(&node, PAGE);
    assert_eq!(state_of(phys_addr), "quarantined");
    assert_eq!(faults.sweep(|| node.quiet(), |_| ()), Tally::default());
    assert_eq!(state_of(phys_addr), "free");
}

#[test]
fn the_last_reference_needs_nothing() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let mapping = RefCell::new(None);
    // Unmapping a whole buffer is what must not fail, whoever owns it.
    for owner in [OWNER_CPU, OWNER_DEVICE] {
        let buffer = node.map(PAGE).unwrap();
        node.set_owner_at(buffer.addr(), owner).unwrap();
        let phys_addr = node.user_to_phys(buffer.addr()).unwrap().phys_addr;
        mapping.replace(Some(buffer));
        let tally = faults.sweep(
            || match &mut *mapping.borrow_mut() {
                Some(mapping) if !mapping.is_empty() => mapping.try_unmap(0..PAGE),
                _ => Ok(()),
            },
            |_| (),
        );
        assert_eq!(tally.bad_copy, 0, "{tally:?}");
        let state = state_of(phys_addr);
        let expected = if owner == OWNER_CPU {
            "free"
        } else {
            "quarantined"
        };
        assert_eq!(state, expected);
    }
    node.quiet().unwrap();
}

#[test]
fn the_status_area() {
    let _balance = Balance::new();
    let faults = Faults::new();
    // Each call needs a file without an area.
    let node = RefCell::new(Node::open());
    let len = 8 * PAGE;
    let tally = faults.at_each_place(
        || node.borrow().map_status(len),
        |errno| {
            if errno.is_some() {
                // The file is as good as new: a second try succeeds, with words of 0.
                let area = node.borrow().map_status(len).expect("without a fault");
                area.check_zero(0..len);
                let buffer = node.borrow().alloc(request(PAGE)).unwrap();
                assert_ne!(buffer.status_slot, abi::NO_SLOT);
            }
            node.replace(Node::open());
        },
    );
    // Pages, a list of them, and tables.
    assert!(tally.no_memory >= 8 * SWEEPS, "{tally:?}");
    assert_eq!(tally.bad_copy, 0, "{tally:?}");
}

/// A handle that is dropped with the value.
struct Handle<'a>(&'a Node, u32);

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        self.0.free(self.1).expect("the handle exists");
    }
}

#[test]
fn alloc_with_a_status_area() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open());
    let (area, other) = (node.map_status(PAGE).unwrap(), Node::open());
    let tally = faults.at_each_place(
        || Ok(Handle(&node, node.alloc(request(PAGE))?.handle)),
        nothing_is_left_and_no_spare(&other),
    );
    assert!(tally.no_memory >= 2 * SWEEPS, "{tally:?}");
    // No word is lost: as many buffers as words have one.
    let words = area.len() / 4;
    let slots = (0..words).map(|_| node.alloc(request(PAGE)).unwrap().status_slot);
    assert!(slots.take(1000).all(|slot| slot != abi::NO_SLOT));
}

#[test]
fn opening_paddles_node() {
    let _balance = Balance::new();
    let faults = Faults::new();
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let tally = faults.at_each_place(
        || options.open(PADDLE).map_err(errno),
        nothing_is_left_of(Stats::read()),
    );
    // The file, and the native one inside it.
    assert!(tally.no_memory >= 3 * SWEEPS, "{tally:?}");
    Node::open_path(PADDLE).map(PAGE).unwrap().fill(1);
}

#[test]
fn mmap_of_paddles_node() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open_path(PADDLE));
    let before = Stats::read();
    let tally = faults.at_each_place(|| node.map(LARGE), nothing_is_left_of(before));
    assert!(tally.no_memory >= 5, "{tally:?}");
    let registers = || {
        let (flags, offset) = (MapFlags::MAP_SHARED, paddle::REGISTERS);
        node.map_with(PAGE, READ_WRITE, flags, offset)
    };
    let tally = faults.at_each_place(registers, nothing_is_left_of(before));
    assert!(tally.no_memory >= 1, "{tally:?}");
    registers().unwrap();
}

#[test]
fn ioctls_of_paddles_node() {
    let _balance = Balance::new();
    let faults = Faults::new();
    let (family_a, native) = (Node::open_path(PADDLE), Node::open());
    let mapping = native.map(PAGE).unwrap();
    let phys_addr = native.user_to_phys(mapping.addr()).unwrap().phys_addr;
    let argument = Mapping::anonymous(2 * PAGE, READ_WRITE);
    // So that no place is that of a page of this memory.
    argument.fill(0);
    let distance = phys_addr - paddle::B_BASE;
    // The last numbers are those of the places, and of the lines that the call touches.
    for (node, command, first, second, places, touches) in [
        (&family_a, paddle::A_DEVICE_INFO, 0, 0, 1, 0),
        (&family_a, paddle::A_FLUSH, mapping.addr(), 64, 1, 1),
        (&family_a, paddle::A_INVALIDATE, mapping.addr(), 64, 1, 1),
        (&native, paddle::B_VM_TO_PHYS, mapping.addr(), 0, 2, 0),
        (&native, paddle::B_FLUSH, distance, 64, 1, 1),
        (&native, paddle::B_INVALIDATE, distance, 64, 1, 1),
    ] {
        let before = lines();
        let mut calls = 0;
        let tally = faults.at_each_place(
            || {
                argument.store(0, first);
                argument.store(8, second);
                node.command_at(command, &argument, 0)
            },
            |_| calls += 1,
        );
        assert_eq!(tally, copies(places), "{command:#x}");
        // Each sweep ends with the one call without a fault, which alone touches lines.
        let now = lines();
        let touched = now.0 - before.0 + now.1 - before.1;
        assert_eq!(touched, touches * u64::from(SWEEPS), "{command:#x}");
        assert_eq!(calls, places * SWEEPS);
    }
}

#[test]
fn version_of_paddles_node() {
    let _balance = Balance::new();
    let (faults, node) = (Faults::new(), Node::open_path(PADDLE));
    let argument = Mapping::anonymous(2 * PAGE, READ_WRITE);
    // So that no place is that of a page of this memory.
    argument.fill(0);
    let tally = faults.at_each_place(
        || {
            argument.store(0, argument.addr() + PAGE);
            argument.store(8, 16);
            match node.command_at(paddle::A_VERSION, &argument, 0) {
                // Clients take this one for a failed allocation of theirs.
                Err(Errno::ENOMEM) => panic!("clients exit"),
                Err(Errno::EIO) => Err(Errno::ENOMEM),
                other => other,
            }
        },
        |_| (),
    );
    // The argument, the text and its end; what the text is made in.
    assert!(tally.bad_copy >= 2 * SWEEPS, "{tally:?}");
    assert!(tally.no_memory >= 1, "{tally:?}");
    assert_eq!(argument.load(PAGE) & 0xffff, u64::from(b'1'));
}
