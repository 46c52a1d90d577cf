// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `fpgamem` on the driver, as root, as a member of the node's group, and as neither.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::abi::{Alloc, ALLOC_WRITE_COMBINE, OWNER_DEVICE};
use fpgamem_tests::{block_map, debugfs, request, Balance, Node};
use nix::unistd::{chown, Gid};
use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

/// In the search path of the guest.
const TOOL: &str = "fpgamem";
const NODE: &str = "/dev/fpgamem0";
/// Who is nobody in particular.
const USER: u32 = 1000;
/// The group that the node is given to.
const GROUP: u32 = 1234;

fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(TOOL);
    command.args(arguments);
    command
}

fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{TOOL}: {error}"))
}

/// What a call by root prints.
fn printed(arguments: &[&str]) -> String {
    let output = run(&mut tool(arguments));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("output is text")
}

fn json(arguments: &[&str]) -> Value {
    let text = printed(&[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// Runs the command as a user without privileges, in a group.
fn as_user(arguments: &[&str], group: u32) -> Output {
    run(tool(arguments).gid(group).uid(USER))
}

/// The node given to a group, and back to root at the end.
struct Given;

impl Given {
    fn to_group() -> Self {
        chown(NODE, None, Some(Gid::from_raw(GROUP))).expect("root may");
        Self
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let _ = chown(NODE, None, Some(Gid::from_raw(0)));
    }
}

#[test]
fn info_says_what_the_ioctl_says() {
    let _balance = Balance::new();
    let node = Node::open();
    let _buffer = node.alloc(request(100_000)).unwrap();
    let (expected, info) = (node.info().unwrap(), json(&["info"]));
    assert_eq!(info["device"], NODE);
    for (field, value) in [
        ("phys_addr", expected.phys_addr),
        ("region_bytes", expected.region_bytes),
        ("block_bytes", expected.block_bytes),
        ("free_bytes", expected.free_bytes),
        ("quarantined_bytes", 0),
        ("largest_free_bytes", expected.largest_free_bytes[2]),
        ("buffers", expected.nr_buffers.into()),
        ("feature_bits", expected.features),
    ] {
        assert_eq!(info[field], value, "{field}");
    }
    let used = expected.region_bytes - expected.free_bytes;
    assert_eq!(info["used_bytes"], used);
    assert_eq!(info["coherent"], false);
}

#[test]
fn a_map_shows_each_buffer_where_it_is() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let plain = node.alloc(request(100_000)).unwrap();
    let flags = ALLOC_WRITE_COMBINE;
    let gathered = node
        .alloc(Alloc {
            flags,
            ..request(1)
        })
        .unwrap();
    node.set_owner(gathered.handle, OWNER_DEVICE).unwrap();
    let map = json(&["map"]);
    let buffers = map["buffers"].as_array().unwrap();
    assert_eq!(buffers.len(), block_map::read().len());
    for (buffer, state, write_combine) in [(plain, "cpu", false), (gathered, "device", true)] {
        let shown = buffers.iter().find(|b| b["phys_addr"] == buffer.phys_addr);
        let shown = shown.unwrap();
        assert_eq!(shown["bytes"], buffer.alloc_bytes);
        assert_eq!(shown["state"], state);
        assert_eq!(shown["write_combine"], write_combine);
        assert_eq!(shown["pid"], std::process::id());
        assert!(shown["command"]
            .as_str()
            .is_some_and(|name| !name.is_empty()));
    }
    let stats = debugfs::Stats::read();
    assert_eq!(map["free_bytes"], stats.blocks_free * stats.block_bytes);
    let picture = printed(&["map", "--width", "80", "--color", "never"]);
    let first = picture.lines().nth(3).unwrap();
    assert!(first.starts_with("0x040000000  "), "{picture}");
    let cells = first.split_whitespace().nth(1).unwrap();
    // 112 KiB and 16 KiB: one cell of 1 MiB, of which the first buffer has more.
    assert_eq!((cells.len(), &cells[..2]), (64, "a."), "{picture}");
    node.set_owner(gathered.handle, 0).unwrap();
}

#[test]
fn a_sound_board_is_healthy() {
    let output = run(&mut tool(&["doctor"]));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let report = json(&["doctor"]);
    assert_eq!(report["healthy"], true);
    let findings = report["findings"].as_array().unwrap();
    let of = |check: &str| {
        let finding = findings.iter().find(|finding| finding["check"] == check);
        finding.unwrap_or_else(|| panic!("no {check} in {text}"))["status"].clone()
    };
    for check in [
        "kernel",
        "board",
        "device tree",
        "boot loader",
        "module",
        "driver",
        "UIO",
    ] {
        assert_eq!(of(check), "good", "{check}: {text}");
    }
}

#[test]
fn a_user_outside_the_group_is_told_how_to_get_in() {
    let _given = Given::to_group();
    for command in ["info", "map"] {
        let output = as_user(&[command], USER);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(
            errors.contains("usermod -aG fpgamem"),
            "{command}: {errors}"
        );
    }
    let output = as_user(&["doctor"], USER);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("usermod -aG fpgamem 1000"), "{text}");
}

#[test]
fn a_member_of_the_group_needs_no_more_than_that() {
    let _given = Given::to_group();
    let output = as_user(&["info", "--json"], GROUP);
    let info: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(info["abi"], 1);
    let output = as_user(&["doctor"], GROUP);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("this user is in the node's group"), "{text}");
    assert!(output.status.success(), "{text}");
}

#[test]
fn the_map_is_for_root() {
    let _given = Given::to_group();
    let output = as_user(&["map"], GROUP);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("run it as root"), "{errors}");
}

#[test]
fn the_command_leaves_the_pool_alone() {
    let balance = Balance::new();
    for command in ["info", "map", "doctor"] {
        printed(&[command]);
    }
    balance.expect_held(0);
}
