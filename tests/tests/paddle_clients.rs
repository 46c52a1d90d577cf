// SPDX-License-Identifier: MIT OR Apache-2.0

//! Clients of Paddle's nodes that fork workers, and that end without having freed anything. After
//! each the whole region can be had.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::child::exit_now;
use fpgamem_tests::paddle::{expect_whole_region, Client, Tensor, FAMILIES};
use fpgamem_tests::{eventually, Balance, Child, Exit, Stats};
use std::mem::forget;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tensors of the sizes that a layer of a network has, each filled with its number.
fn layer(client: &Client) -> Vec<Tensor> {
    let sizes = [
        1_605_648,
        272,
        272,
        57_360,
        57_360,
        9_408,
        10_240,
        1_017 * 4,
    ];
    let fill = |(number, len)| {
        let tensor = client.alloc(len).expect("there is room");
        tensor.memory.fill(number);
        tensor
    };
    (0..).zip(sizes).map(fill).collect()
}

/// Frees tensors that stay where they are: in a forked child they are its parent's, too.
fn free(tensors: &mut [Tensor]) {
    for tensor in tensors {
        tensor.memory.unmap(0..tensor.memory.len());
    }
}

fn check(tensors: &[Tensor], first: u64) {
    for (number, tensor) in (first..).zip(tensors) {
        tensor.memory.check(number);
    }
}

/// As Python's multiprocessing starts workers: a fork that runs no other program, while the parent
/// works on, and a worker that ends without any destructor.
#[test]
fn workers_forked_while_the_parent_flushes_take_nothing_along() {
    let balance = Balance::of_an_empty_pool();
    for family in FAMILIES {
        let client = Client::open(family);
        let mut tensors = layer(&client);
        let ranges: Vec<_> = tensors.iter().map(Tensor::range).collect();
        let held = Stats::read().blocks_used;
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for &(base, len) in &ranges {
                        client.flush(base, len).unwrap();
                        client.invalidate(base, len).unwrap();
                    }
                }
            });
            let mut work = |worker: usize| {
                check(&tensors, 0);
                for &(base, len) in &ranges {
                    client.flush(base, len).unwrap();
                }
                let own = client.alloc(70_000).unwrap();
                own.memory.check_zero(0..70_000);
                own.memory.fill(7);
                client.flush(own.base, 70_000).unwrap();
                own.memory.check(7);
                if worker == 0 {
                    free(&mut tensors);
                }
                forget(own);
            };
            for round in 0..5 {
                let workers: Vec<_> = (0..4)
                    .map(|worker| Child::start(|_| work(worker)))
                    .collect();
                for worker in workers {
                    worker.succeed();
                }
                assert_eq!(Stats::read().blocks_used, held, "round {round}");
            }
            done.store(true, Ordering::Relaxed);
        });
        check(&tensors, 0);
        for (number, tensor) in (100..).zip(&tensors) {
            tensor.memory.fill(number);
            client.flush(tensor.base, tensor.memory.len()).unwrap();
        }
        check(&tensors, 100);
        drop(tensors);
        balance.expect_held(0);
    }
    expect_whole_region();
}

#[test]
fn a_tensor_is_freed_with_the_last_process_that_has_it() {
    let balance = Balance::of_an_empty_pool();
    for family in FAMILIES {
        let mut parent = Child::start(|link| {
            let client = Client::open(family);
            let mut tensors = layer(&client);
            Child::start(|_| free(&mut tensors)).succeed();
            check(&tensors, 0);
            let worker = Child::start(|to_parent| {
                to_parent.wait_for_close();
                check(&tensors, 0);
                link.send(Stats::read().blocks_used);
                link.receive();
            });
            forget(worker);
            exit_now(0);
        });
        assert!(parent.link.receive() > 100, "its parent has ended");
        parent.link.send(0);
        parent.succeed();
        eventually("the end of the worker", || Stats::read().blocks_used == 0);
        balance.expect_held(0);
    }
    expect_whole_region();
}

#[test]
fn an_exit_without_a_free_leaves_nothing() {
    let balance = Balance::of_an_empty_pool();
    for family in FAMILIES {
        for status in [0, 255] {
            let client = Child::start(|_| {
                let client = Client::open(family);
                for _ in 0..20 {
                    let tensors = layer(&client);
                    for (base, len) in tensors.iter().map(Tensor::range) {
                        client.flush(base, len).unwrap();
                    }
                    forget(tensors);
                }
                assert!(Stats::read().blocks_used > 20 * 100);
                exit_now(status);
            });
            assert_eq!(client.wait(), Exit::Status(status));
            balance.expect_held(0);
        }
    }
    expect_whole_region();
}
