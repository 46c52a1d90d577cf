// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who may open the node.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::{in_child, node, Balance, Errno, Node, PAGE};
use nix::unistd::{chown, setgid, setgroups, setuid, Gid, Uid};
use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// A user and a group that own nothing.
const NOBODY: u32 = 1000;

/// What a process gets that opens the node with these identities.
fn open_as(user: u32, group: u32, supplementary: &[Gid]) -> Result<(), Errno> {
    setgroups(supplementary).expect("root may");
    setgid(Gid::from_raw(group)).expect("root may");
    setuid(Uid::from_raw(user)).expect("root may");
    let result = OpenOptions::new().read(true).write(true).open(node::PATH);
    result
        .map(drop)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

/// Gives the node to a group until it is dropped.
struct GroupOfNode;

impl GroupOfNode {
    fn set(group: u32) -> Self {
        chown(node::PATH, None, Some(Gid::from_raw(group))).expect("root may");
        Self
    }
}

impl Drop for GroupOfNode {
    fn drop(&mut self) {
        chown(node::PATH, None, Some(Gid::from_raw(0))).expect("root may");
    }
}

#[test]
fn the_node_is_for_its_owner_and_its_group() {
    let metadata = std::fs::metadata(node::PATH).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o660);
    assert_eq!(metadata.uid(), 0);
}

#[test]
fn others_may_not_open_it() {
    let _balance = Balance::new();
    in_child(|| assert_eq!(open_as(NOBODY, NOBODY, &[]), Err(Errno::EACCES)));
}

#[test]
fn a_member_of_the_group_may_open_it() {
    let _balance = Balance::new();
    let _group = GroupOfNode::set(77);
    in_child(|| {
        assert_eq!(open_as(NOBODY, NOBODY, &[Gid::from_raw(77)]), Ok(()));
        Node::open().map(PAGE).unwrap().fill(1);
    });
}

#[test]
fn a_member_of_another_group_may_not_open_it() {
    let _balance = Balance::new();
    let _group = GroupOfNode::set(77);
    let other = Gid::from_raw(78);
    in_child(|| assert_eq!(open_as(NOBODY, NOBODY, &[other]), Err(Errno::EACCES)));
}

#[test]
fn an_open_file_works_for_who_inherits_it() {
    let _balance = Balance::new();
    let node = Node::open();
    in_child(|| {
        assert_eq!(open_as(NOBODY, NOBODY, &[]), Err(Errno::EACCES));
        node.map(PAGE).unwrap().fill(1);
        node.info().unwrap();
    });
}
