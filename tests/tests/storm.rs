// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many processes are killed in the middle of whatever they do with the driver.
//!
//! `FPGAMEM_STORM_SEED` and `FPGAMEM_STORM_DEATHS` set the seed and the number of deaths,
//! `FPGAMEM_STORM_SECONDS` how long a storm may take.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{self, Range};
use fpgamem_tests::calls::adopt_orphans;
use fpgamem_tests::driver::Unbound;
use fpgamem_tests::pattern::Random;
use fpgamem_tests::{node, note, request, Balance, Child, Errno, Mapping, Node, PAGE};
use nix::sys::signal::{killpg, Signal};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{setpgid, Pid};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Processes that live at the same time, without their own children.
const WORKERS: usize = 6;

/// How long a storm may take: three times what it takes in an emulator, and some.
fn limit(deaths: u64) -> Duration {
    Duration::from_secs(setting("FPGAMEM_STORM_SECONDS", 60 + deaths * 3 / 20))
}

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|error| panic!("{name} is {text}: {error}"))
    })
}

/// A live file of the node; it may be gone, or go at any time, if `doors` says so.
fn open(doors: bool) -> Node {
    loop {
        match File::options().read(true).write(true).open(node::PATH) {
            Ok(file) => return Node::from(OwnedFd::from(file)),
            Err(error) => assert!(doors, "{error}"),
        }
    }
}

/// Uses the driver in every way until the process is killed, or the device is unbound.
fn work(random: &mut Random, doors: bool, depth: u32) {
    let node = open(doors);
    let mut mappings: Vec<Mapping> = Vec::new();
    let mut children = 0;
    loop {
        let pick = usize::try_from(random.below(64)).expect("small");
        let len = (1 + random.below(16)) * PAGE;
        let result = match random.below(9) {
            0 | 1 => node.map(len).map(|mapping| {
                mapping.check_zero(0..PAGE);
                mapping.fill(random.below(1 << 40));
                mappings.push(mapping);
            }),
            2 => node.alloc(request(len)).and_then(|buffer| {
                mappings.push(node.map_buffer(&buffer)?);
                if random.below(2) == 0 {
                    node.free(buffer.handle)?;
                }
                Ok(())
            }),
            3 if !mappings.is_empty() => {
                let index = pick % mappings.len();
                mappings.swap_remove(index);
                Ok(())
            }
            4 => mappings.first_mut().map_or(Ok(()), |mapping| {
                if mapping.is_mapped(0..mapping.len()) {
                    mapping.relocate()
                } else {
                    Ok(())
                }
            }),
            5 => mappings.last_mut().map_or(Ok(()), |mapping| {
                let page = random.below(mapping.len() / PAGE) * PAGE;
                mapping.unmap(page..page + PAGE);
                Ok(())
            }),
            6 => mappings
                .iter()
                .find(|mapping| mapping.is_mapped(0..PAGE))
                .map_or(Ok(()), |mapping| {
                    node.user_to_phys(mapping.addr())?;
                    let range = Range {
                        addr: mapping.addr(),
                        len: PAGE,
                        ..Default::default()
                    };
                    node.sync(abi::SYNC_FLUSH, &[range; 8])
                }),
            7 if depth < 2 && children < 2 => {
                children += 1;
                let mut random = Random::new(random.below(1 << 40));
                let child = Child::start(|_| work(&mut random, doors, depth + 1));
                // It outlives this value, and dies with its group.
                std::mem::forget(child);
                Ok(())
            }
            _ => Ok(()),
        };
        match result {
            Ok(()) => {}
            Err(Errno::ENODEV) if doors => return,
            // What the dead have left in quarantine may fill the region for a while.
            Err(Errno::ENOMEM) => mappings.clear(),
            Err(error) => panic!("with {} mappings: {error}", mappings.len()),
        }
        mappings.truncate(10);
    }
}

/// Starts a process group that works until it is killed.
fn start(seed: u64, doors: bool) -> Child {
    Child::start(|link| {
        setpgid(Pid::from_raw(0), Pid::from_raw(0)).expect("the group is new");
        link.send(0);
        let mut random = Random::new(seed);
        loop {
            work(&mut random, doors, 0);
        }
    })
}

/// Kills the group of a worker; the number of processes that died of it.
fn kill(worker: Child) -> u64 {
    let group = Pid::from_raw(i32::try_from(worker.pid()).expect("process IDs are small"));
    killpg(group, Signal::SIGKILL).expect("the group lives");
    let mut deaths = 0;
    // The worker first: with it, its children become ours.
    let mut expect_death = |whom| match waitpid(whom, None) {
        Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _)) => {
            deaths += 1;
            true
        }
        Err(Errno::ECHILD) => false,
        // One that finds the device unbound ends by itself.
        Ok(WaitStatus::Exited(_, 0)) => true,
        other => panic!("a process ended otherwise: {other:?}"),
    };
    assert!(expect_death(group), "the worker is our child");
    while expect_death(Pid::from_raw(-group.as_raw())) {}
    worker.was_reaped();
    deaths
}

/// Lets `deaths` processes die; `between` runs now and then.
fn storm(deaths: u64, doors: bool, mut between: impl FnMut(u64)) {
    let seed = setting("FPGAMEM_STORM_SEED", 2026);
    note(&format!(
        "FPGAMEM_STORM_SEED={seed} FPGAMEM_STORM_DEATHS={deaths}"
    ));
    adopt_orphans().expect("the kernel knows the call");
    let begin = Instant::now();
    let mut random = Random::new(seed);
    let worker = |random: &mut Random| {
        let mut child = start(random.below(1 << 40), doors);
        child.link.receive();
        child
    };
    let mut workers: Vec<_> = (0..WORKERS).map(|_| worker(&mut random)).collect();
    let mut died = 0;
    while died < deaths {
        assert!(
            begin.elapsed() < limit(deaths),
            "{died} of {deaths} deaths in {:?}",
            begin.elapsed()
        );
        std::thread::sleep(Duration::from_micros(random.below(4000)));
        let victim = usize::try_from(random.below(WORKERS as u64)).expect("small");
        died += kill(workers.swap_remove(victim));
        workers.push(worker(&mut random));
        between(died);
    }
    for worker in workers {
        died += kill(worker);
    }
    note(&format!("{died} deaths in {:?}", begin.elapsed()));
}

#[test]
fn after_a_storm_of_kills_nothing_is_in_use_and_the_whole_region_is_free() {
    let balance = Balance::of_an_empty_pool();
    // In a process of its own, which alone inherits orphans.
    Child::start(|_| {
        // No device writes here, so the dead need not keep the region full.
        let quiet = |_| Node::open().quiet().expect("root may say so");
        storm(setting("FPGAMEM_STORM_DEATHS", 300), false, quiet);
    })
    .succeed();
    balance.expect_held(0);
    let node = Node::open();
    let region = node.info().unwrap().region_bytes;
    let whole = node.alloc(request(region)).unwrap();
    assert_eq!(whole.alloc_bytes, region);
}

#[test]
fn the_device_can_be_unbound_in_a_storm_of_kills() {
    let balance = Balance::of_an_empty_pool();
    Child::start(|_| storm(60, true, |_| Unbound::new().bind())).succeed();
    balance.expect_held(0);
    let node = Node::open();
    let region = node.info().unwrap().region_bytes;
    assert_eq!(node.alloc(request(region)).unwrap().alloc_bytes, region);
}
