// SPDX-License-Identifier: MIT OR Apache-2.0

//! A forked child of a program with an emulated device.

use fpgamem::{Arena, Device, Direction, Error};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, ForkResult};

/// Runs a closure in a forked child, and says whether it returned true.
fn in_child(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: The child only asks the library, whose locks nobody holds: the program's other thread
    // waits for this one. The C library takes care of its own.
    match unsafe { fork() }.expect("a process is free") {
        ForkResult::Child => {
            let status = if body() { 0 } else { 1 };
            std::process::exit(status)
        }
        ForkResult::Parent { child } => {
            matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0)))
        }
    }
}

// One test, so that there is no other thread.
#[test]
fn a_child_can_neither_use_nor_free_what_its_parent_has() {
    let device = Device::emulated().region_bytes(1 << 20).open().unwrap();
    let arena = Arena::new(&device);
    let mut buffer = device.alloc(100).unwrap();
    buffer.fill(7);
    let byte = std::ptr::from_ref(&buffer[0]);
    let phys_addr = buffer.phys_addr();
    let owned = device.alloc(100).unwrap();
    let owned = owned.into_device(Direction::ToDevice).unwrap();
    let piece = arena.alloc(100).unwrap();
    let free_bytes = device.info().unwrap().free_bytes;
    let parent = std::process::id();

    let mut inherited = Some((buffer, owned, piece));
    let refused = |error: &Error| {
        let Error::Forked { owner, child } = error else {
            return false;
        };
        (*owner, *child) == (parent, std::process::id())
    };
    assert!(in_child(|| {
        let (buffer, owned, piece) = inherited.take().expect("it is there");
        let synced = owned.sync_for_cpu(..);
        let failed = buffer.into_device(Direction::ToDevice).unwrap_err();
        let all = [
            refused(&failed.error),
            synced.is_err_and(|error| refused(&error)),
            device.alloc(1).is_err_and(|error| refused(&error)),
            device.info().is_err_and(|error| refused(&error)),
            arena.alloc(1).is_err_and(|error| refused(&error)),
            device.phys_of(byte).is_none(),
            device.user_of(phys_addr).is_none(),
        ];
        drop((failed, owned, piece));
        let nothing_ended = device.abandoned().buffers == 0 && arena.usage().buffers == 1;
        all == [true; 7] && nothing_ended
    }));

    // A child of its own has its own devices.
    assert!(in_child(|| {
        let device = Device::emulated().region_bytes(1 << 20).open();
        let buffer = device.expect("there is memory").alloc(100);
        buffer
            .expect("there is room")
            .into_device(Direction::ToDevice)
            .is_ok()
    }));

    let (buffer, _owned, _piece) = inherited.expect("it is still there");
    assert!(buffer.iter().all(|byte| *byte == 7));
    assert_eq!(device.info().unwrap().free_bytes, free_bytes);
    assert_eq!(arena.usage().buffers, 1);
}
