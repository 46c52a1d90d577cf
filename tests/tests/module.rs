// SPDX-License-Identifier: MIT OR Apache-2.0

//! Unloading and loading the module.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::driver::{self, Reload, Unbound};
use fpgamem_tests::{request, Balance, Errno, Node, PAGE};

/// What the kernel says of a module that is in use.
const IN_USE: Result<(), Errno> = Err(Errno::EWOULDBLOCK);

#[test]
fn an_open_file_keeps_the_module() {
    let _balance = Balance::new();
    let _reload = Reload;
    let node = Node::open();
    assert_eq!(driver::unload(), IN_USE);
    node.info().unwrap();
}

#[test]
fn a_handle_keeps_the_module() {
    let _balance = Balance::new();
    let _reload = Reload;
    let node = Node::open();
    node.alloc(request(1)).unwrap();
    assert_eq!(driver::unload(), IN_USE);
}

#[test]
fn a_mapping_without_descriptor_keeps_the_module() {
    let _balance = Balance::new();
    let _reload = Reload;
    let mapping = Node::open().map(PAGE).unwrap();
    mapping.fill(1);
    assert_eq!(driver::unload(), IN_USE);
    mapping.check(1);
}

#[test]
fn a_mapping_keeps_the_module_when_the_device_is_unbound() {
    let _balance = Balance::new();
    let _reload = Reload;
    let mapping = Node::open().map(PAGE).unwrap();
    mapping.fill(1);
    let device = Unbound::new();
    assert_eq!(driver::unload(), IN_USE);
    mapping.check(1);
    device.bind();
}

#[test]
fn without_users_the_module_goes_with_all_it_made() {
    let _balance = Balance::new();
    let _reload = Reload;
    driver::unload().unwrap();
    assert!(!driver::is_loaded());
    assert!(!driver::node_exists());
    assert!(!std::path::Path::new(driver::SYSFS).exists());
    assert!(!std::path::Path::new("/sys/kernel/debug/fpgamem").exists());
    driver::load().unwrap();
    Node::open().map(PAGE).unwrap().fill(1);
}

#[test]
fn the_module_goes_after_its_last_mapping() {
    let _balance = Balance::new();
    let _reload = Reload;
    let mapping = Node::open().map(PAGE).unwrap();
    assert_eq!(driver::unload(), IN_USE);
    drop(mapping);
    driver::unload().unwrap();
    driver::load().unwrap();
}

#[test]
fn the_module_goes_while_its_device_is_unbound() {
    let _balance = Balance::new();
    let _reload = Reload;
    let device = Unbound::new();
    driver::unload().unwrap();
    // Loading binds the device, so there is nothing left to bind.
    driver::load().unwrap();
    device.is_bound_again();
    Node::open().info().unwrap();
}

#[test]
fn twenty_rounds_of_loading_and_unloading_work() {
    let _balance = Balance::new();
    let _reload = Reload;
    for round in 0..20 {
        let node = Node::open();
        let mapping = node.map(PAGE).unwrap();
        mapping.check_zero(0..PAGE);
        mapping.fill(round);
        drop((mapping, node));
        driver::unload().unwrap();
        driver::load().unwrap();
    }
}

#[test]
fn memory_is_zero_after_loading_again() {
    let _balance = Balance::of_an_empty_pool();
    let _reload = Reload;
    let region = {
        let node = Node::open();
        let region = node.info().unwrap().region_bytes;
        node.map(region).unwrap().set(0..region, 0x77);
        region
    };
    driver::unload().unwrap();
    driver::load().unwrap();
    Node::open().map(region).unwrap().check_zero(0..region);
}
