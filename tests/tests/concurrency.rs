// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many users of one pool at once: no block has two owners, and no owner sees another's bytes.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::Range;
use fpgamem_tests::pattern::Random;
use fpgamem_tests::{request, Balance, Child, Errno, Mapping, Node};

/// Allocates, checks for zeroes, writes its pattern, checks it and frees, in seeded order.
fn churn(node: &Node, seed: u64, rounds: u64) {
    let mut random = Random::new(seed << 32);
    let mut live: Vec<(u64, Mapping)> = Vec::new();
    for round in 0..rounds {
        let mark = seed << 32 | round;
        if live.len() < 12 && random.below(3) > 0 {
            let len = 1 + random.below(100_000);
            let mapping = if random.below(2) == 0 {
                node.map(len)
            } else {
                let buffer = node.alloc(request(len)).expect("there is room");
                let mapping = node.map_buffer(&buffer);
                node.free(buffer.handle).expect("the handle is good");
                mapping
            };
            let mapping = mapping.expect("there is room");
            mapping.check_zero(0..mapping.len());
            mapping.fill(mark);
            live.push((mark, mapping));
        } else if !live.is_empty() {
            let index = random.below(live.len() as u64);
            let (mark, mapping) = live.swap_remove(usize::try_from(index).expect("small"));
            let range = Range {
                addr: mapping.addr(),
                len: mapping.len(),
                ..Default::default()
            };
            node.flush(range).expect("the range is good");
            let phys_addr = node.user_to_phys(mapping.addr()).expect("ours").phys_addr;
            let back = node.phys_to_user(phys_addr).expect("ours");
            assert_eq!(back.user_addr, mapping.addr());
            mapping.check(mark);
        }
    }
    for (mark, mapping) in &live {
        mapping.check(*mark);
    }
}

#[test]
fn processes_do_not_disturb_each_other() {
    let _balance = Balance::new();
    let children: Vec<_> = (1..=4)
        .map(|seed| Child::start(move |_| churn(&Node::open(), seed, 200)))
        .collect();
    children.into_iter().for_each(Child::succeed);
}

#[test]
fn processes_that_share_a_file_do_not_disturb_each_other() {
    let _balance = Balance::new();
    let node = Node::open();
    let children: Vec<_> = (1..=4)
        .map(|seed| Child::start(|_| churn(&node, seed, 200)))
        .collect();
    children.into_iter().for_each(Child::succeed);
}

#[test]
fn threads_do_not_disturb_each_other() {
    let _balance = Balance::new();
    let node = Node::open();
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            let node = &node;
            scope.spawn(move || churn(node, seed, 200));
        }
    });
}

#[test]
fn processes_that_compete_for_the_last_blocks_lose_none() {
    let balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let info = node.info().unwrap();
    // All but 40 blocks are taken, and each process wants up to 20.
    let blocks = info.region_bytes / info.block_bytes;
    node.alloc(request((blocks - 40) * info.block_bytes))
        .unwrap();
    let children: Vec<_> = (1..=4)
        .map(|seed| {
            Child::start(move |_| {
                let node = Node::open();
                let mut random = Random::new(seed);
                let mut refused = 0;
                for round in 0..300 {
                    match node.map((1 + random.below(20)) * info.block_bytes) {
                        Ok(mapping) => {
                            mapping.fill(round);
                            std::thread::yield_now();
                            mapping.check(round);
                        }
                        Err(error) => {
                            assert_eq!(error, Errno::ENOMEM);
                            refused += 1;
                        }
                    }
                }
                assert!(refused < 300, "now and then there is room");
            })
        })
        .collect();
    children.into_iter().for_each(Child::succeed);
    balance.expect_held(blocks - 40);
}

#[test]
fn unmapping_while_another_thread_syncs_and_translates_is_safe() {
    let _balance = Balance::new();
    let node = Node::open();
    let (mapping, other) = (node.map(1 << 20).unwrap(), node.map(1 << 20).unwrap());
    let (addr, kept) = (mapping.addr(), other.addr());
    let node = &node;
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            let mut refused = false;
            while !refused {
                let gone = Range {
                    addr,
                    len: 1 << 20,
                    ..Default::default()
                };
                // Either wholly there or wholly gone.
                match node.flush(gone) {
                    Ok(()) => {}
                    Err(error) => {
                        assert_eq!(error, Errno::EFAULT);
                        refused = true;
                    }
                }
                node.invalidate(Range { addr: kept, ..gone }).unwrap();
                assert_eq!(node.user_to_phys(kept).unwrap().contiguous_bytes, 1 << 20);
            }
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        drop(mapping);
        worker.join().unwrap();
    });
    drop(other);
}
