// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who outlives whom: drivers of accelerators, calls of them, and the memory that they hold.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::accelerator::{command, Accelerator, Bench, Probe, Registration};
use fpgamem_tests::quarantine::Ward;
use fpgamem_tests::{block_map, driver, Balance, Child, Errno, Exit, Node, Stats, PAGE};
use nix::sys::signal::Signal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What the kernel says of a module that is in use.
const IN_USE: Result<(), Errno> = Err(Errno::EWOULDBLOCK);

fn nothing() -> Probe {
    Probe::default()
}

#[test]
fn each_bad_registration_has_its_errno() {
    let bench = Bench::new();
    for (registration, errno) in [
        (Registration::WithoutPool, Errno::EINVAL),
        (Registration::WithoutOperations, Errno::EINVAL),
        (Registration::WithoutIoctl, Errno::EINVAL),
        (Registration::OfAnotherNode, Errno::ENODEV),
    ] {
        let result = bench.register(registration);
        assert_eq!(result, Err(errno), "{registration:?}");
        let result = bench.call(command::RETURN, nothing());
        assert_eq!(result, Err(Errno::ENOTTY));
    }
    bench.register(Registration::Good).unwrap();
    bench.call(command::RETURN, nothing()).unwrap();
    assert_eq!(bench.register(Registration::Good), Err(Errno::EBUSY));
    let sample = Accelerator::load(Accelerator::SAMPLE);
    assert_eq!(sample.unwrap_err(), Errno::EBUSY);
    // The first one goes on, until it leaves.
    bench.call(command::RETURN, nothing()).unwrap();
    bench.unregister().unwrap();
    let result = bench.call(command::RETURN, nothing());
    assert_eq!(result, Err(Errno::ENOTTY));
    let sample = Accelerator::load(Accelerator::SAMPLE).unwrap();
    assert_eq!(bench.register(Registration::Good), Err(Errno::EBUSY));
    drop(sample);
    bench.register(Registration::Good).unwrap();
}

#[test]
fn unregistering_waits_for_the_calls_and_lets_none_begin() {
    let bench = Bench::registered();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let calls: Vec<_> = (0..2)
            .map(|_| {
                let call = scope.spawn(|| bench.call(command::WAIT, nothing()));
                bench.control(command::ARRIVED, nothing()).unwrap();
                call
            })
            .collect();
        let unregister = scope.spawn(|| {
            let result = bench.unregister();
            done.store(true, Ordering::Relaxed);
            result
        });
        thread::sleep(Duration::from_millis(200));
        let late_call = bench.call(command::RETURN, nothing());
        bench.control(command::GO, nothing()).unwrap();
        thread::sleep(Duration::from_millis(200));
        let early = done.load(Ordering::Relaxed);
        bench.control(command::GO, nothing()).unwrap();
        assert_eq!(unregister.join().unwrap(), Ok(()));
        for call in calls {
            call.join().unwrap().unwrap();
        }
        assert!(!early, "a call was being carried out");
        assert_eq!(late_call, Err(Errno::ENOTTY));
    });
    bench.register(Registration::Good).unwrap();
}

#[test]
fn a_call_keeps_the_module_of_its_driver() {
    let mut bench = Bench::registered();
    let node = Node::open_path("/dev/fpgadrv0");
    thread::scope(|scope| {
        let call = scope.spawn(|| nothing().ask(&node, command::WAIT));
        bench.control(command::ARRIVED, nothing()).unwrap();
        let unloaded = bench.accelerator.unload();
        let _ = bench.control(command::GO, nothing());
        assert_eq!(unloaded, IN_USE);
        call.join().unwrap().unwrap();
    });
    // A file that is open does not.
    bench.accelerator.unload().unwrap();
    assert_eq!(nothing().ask(&node, command::WAIT), Err(Errno::ENOTTY));
}

#[test]
fn drivers_come_and_go_in_the_middle_of_calls() {
    let balance = Balance::new();
    let bench = Bench::new();
    let users: Vec<_> = (0..3)
        .map(|slot| {
            let mut child = Child::start(|link| {
                let node = Node::open_path("/dev/fpgadrv0");
                let mapping = node.map(PAGE).unwrap();
                let range = Probe {
                    addr: mapping.addr(),
                    len: PAGE,
                    operation: slot,
                    ..nothing()
                };
                link.send(0);
                loop {
                    match range.ask(&node, command::HOLD) {
                        Ok(answer) => assert_eq!(answer.result, 0),
                        Err(errno) => assert_eq!(errno, Errno::ENOTTY),
                    }
                    bench.release(slot);
                }
            });
            child.link.receive();
            child
        })
        .collect();
    for _ in 0..40 {
        bench.register(Registration::Good).unwrap();
        thread::sleep(Duration::from_millis(2));
        // Fails if a call is still being carried out, or begins later.
        bench.unregister().unwrap();
    }
    for user in users {
        assert_eq!(user.kill(), Exit::Signal(Signal::SIGKILL));
    }
    (0..3).for_each(|slot| bench.release(slot));
    Node::open().quiet().unwrap();
    balance.expect_held(0);
}

#[test]
fn what_is_held_outlives_its_mapping_and_goes_to_nobody_else() {
    let balance = Balance::new();
    let bench = Bench::registered();
    let mapping = bench.node.map(3 << 14).unwrap();
    let inside = mapping.addr() + 100;
    let translated = Probe {
        addr: inside,
        len: 1,
        ..nothing()
    };
    let translated = bench.call(command::TRANSLATE, translated).unwrap();
    bench.hold(inside, PAGE, 0).unwrap();
    drop(mapping);
    balance.expect_held(3);
    let place = bench.control(command::PLACE, nothing()).unwrap();
    assert_eq!(place.phys_addr, translated.phys_addr);
    assert_eq!(place.device_addr, translated.device_addr);
    assert_eq!((place.bytes, place.flags), (PAGE, 0));
    let held = translated.phys_addr - 100..translated.phys_addr - 100 + (3 << 14);
    let others: Vec<_> = (0..8).map(|_| bench.node.map(PAGE).unwrap()).collect();
    for other in &others {
        let phys_addr = Node::open().user_to_phys(other.addr()).unwrap().phys_addr;
        assert!(!held.contains(&phys_addr), "{phys_addr:#x} has two owners");
    }
    drop(others);
    bench.release(0);
    balance.expect_held(0);
    assert!(block_map::line_of(held.start).is_none());
}

#[test]
fn each_hold_counts() {
    let balance = Balance::new();
    let bench = Bench::registered();
    let mapping = bench.node.map(PAGE).unwrap();
    bench.hold(mapping.addr(), PAGE, 0).unwrap();
    bench.hold(mapping.addr() + 64, 4, 1).unwrap();
    drop(mapping);
    bench.release(0);
    balance.expect_held(1);
    bench.release(1);
    balance.expect_held(0);
    // Nothing to release.
    bench.release(1);
}

/// A buffer of a child that ends as `end` says is in use until it is released, and free then.
fn outlives(end: impl FnOnce(Child)) {
    let balance = Balance::new();
    let bench = Bench::registered();
    let quarantined = Stats::read().blocks_quarantined;
    let mut child = Child::start(|link| {
        let node = Node::open_path("/dev/fpgadrv0");
        let mapping = node.map(PAGE).expect("there is room");
        mapping.fill(9);
        let range = Probe {
            addr: mapping.addr(),
            len: PAGE,
            ..nothing()
        };
        let answer = range.ask(&node, command::HOLD);
        assert_eq!(answer.expect("somebody answers").result, 0);
        link.send(0);
        link.receive();
    });
    child.link.receive();
    end(child);
    balance.expect_held(1);
    assert_eq!(Stats::read().blocks_quarantined, quarantined);
    bench.release(0);
    balance.expect_held(0);
    assert_eq!(Stats::read().blocks_quarantined, quarantined);
}

#[test]
fn what_is_held_outlives_a_process_that_exits() {
    outlives(|mut child| {
        child.link.send(0);
        child.succeed();
    });
}

#[test]
fn what_is_held_outlives_a_process_that_is_killed() {
    outlives(|child| assert_eq!(child.kill(), Exit::Signal(Signal::SIGKILL)));
}

#[test]
fn a_process_can_be_killed_during_a_call() {
    let balance = Balance::new();
    let bench = Bench::registered();
    let mut child = Child::start(|link| {
        let node = Node::open_path("/dev/fpgadrv0");
        let mapping = node.map(PAGE).unwrap();
        link.send(0);
        let _ = nothing().ask(&node, command::WAIT);
        mapping.fill(1);
    });
    child.link.receive();
    bench.control(command::ARRIVED, nothing()).unwrap();
    thread::scope(|scope| {
        let killed = scope.spawn(|| child.kill());
        thread::sleep(Duration::from_millis(100));
        // The device works on, and so the memory stays.
        balance.expect_held(1);
        bench.control(command::GO, nothing()).unwrap();
        assert_eq!(killed.join().unwrap(), Exit::Signal(Signal::SIGKILL));
    });
    balance.expect_held(0);
    bench.unregister().unwrap();
    Node::open().quiet().unwrap();
}

#[test]
fn a_kernel_thread_that_releases_last_leaves_the_blocks_in_quarantine() {
    let ward = Ward::new();
    let bench = Bench::registered();
    let mapping = bench.node.map(PAGE).unwrap();
    bench.hold(mapping.addr(), PAGE, 0).unwrap();
    drop(mapping);
    bench
        .control(command::RELEASE_BY_THREAD, nothing())
        .unwrap();
    assert_eq!(ward.quarantined(), 1);
}

#[test]
fn what_is_held_outlives_a_bind_of_the_pool() {
    let bench = Bench::registered();
    let mapping = bench.node.map(PAGE).unwrap();
    bench.hold(mapping.addr(), PAGE, 0).unwrap();
    drop(mapping);
    let phys_addr = bench.control(command::PLACE, nothing()).unwrap().phys_addr;
    let unbound = driver::Unbound::new();
    unbound.bind();
    assert!(block_map::line_of(phys_addr).is_some());
    bench.release(0);
    assert!(block_map::line_of(phys_addr).is_none());
}

#[test]
fn the_pool_can_be_unbound_during_a_call() {
    let bench = Bench::registered();
    let mapping = bench.node.map(PAGE).unwrap();
    thread::scope(|scope| {
        let call = scope.spawn(|| bench.call(command::WAIT, nothing()));
        bench.control(command::ARRIVED, nothing()).unwrap();
        let unbound = driver::Unbound::new();
        let result = bench.call(command::RETURN, nothing());
        assert_eq!(result, Err(Errno::ENODEV));
        unbound.bind();
        bench.control(command::GO, nothing()).unwrap();
        call.join().unwrap().unwrap();
    });
    mapping.fill(1);
}

#[test]
fn a_hold_that_its_driver_forgot_keeps_the_memory_driver() {
    let balance = Balance::new();
    let _reload = driver::Reload;
    let mut bench = Bench::registered();
    let mapping = bench.node.map(PAGE).unwrap();
    bench.hold(mapping.addr(), PAGE, 0).unwrap();
    drop(mapping);
    let forgotten = bench.control(command::FORGET, nothing()).unwrap();
    assert_ne!(forgotten.addr, 0);
    bench.accelerator.unload().unwrap();
    drop(bench);
    let unloaded = driver::unload();
    if unloaded.is_ok() {
        driver::load().unwrap();
    }
    assert_eq!(unloaded, IN_USE);
    balance.expect_held(1);

    let bench = Bench::new();
    bench.control(command::ADOPT, forgotten).unwrap();
    bench.release(0);
    balance.expect_held(0);
    drop(bench);
    driver::unload().unwrap();
    driver::load().unwrap();
}
