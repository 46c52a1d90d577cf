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

/// Frees all of the pool, dirty, and shows the map until it shows something of that.
fn map_while_it_is_scrubbed(node: &Node) -> Value {
    // One try is enough, unless the command gets no processor for as long as the scrubber needs.
    for _ in 0..100 {
        let stats = debugfs::Stats::read();
        let all = node
            .map(stats.blocks * stats.block_bytes)
            .expect("the pool is empty");
        drop(all);
        let before = debugfs::Stats::read();
        let map = json(&["map"]);
        let after = debugfs::Stats::read();
        let bytes = map["scrubbing_bytes"].as_u64().expect("the driver tells");
        // Nothing else is freed or allocated, so that dirty blocks become fewer all the time.
        let blocks = after.blocks_dirty..=before.blocks_dirty;
        assert!(
            blocks.contains(&(bytes / stats.block_bytes)),
            "{blocks:?}, {map}"
        );
        if bytes != 0 {
            return map;
        }
    }
    panic!("a hundred times the scrubber was faster");
}

#[test]
fn a_map_tells_what_is_being_scrubbed_from_what_is_clean() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let map = map_while_it_is_scrubbed(&node);
    let runs = map["scrubbing_runs"].as_array().unwrap();
    let [run] = &runs[..] else {
        panic!("one run is left of one buffer: {map}");
    };
    // From the lowest block on it is scrubbed.
    let end = run["phys_addr"].as_u64().unwrap() + run["bytes"].as_u64().unwrap();
    let info = node.info().unwrap();
    assert_eq!(end, info.phys_addr + info.region_bytes);
    assert_eq!(map["free_bytes"], info.region_bytes);
    while debugfs::Stats::read().blocks_dirty != 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let map = json(&["map"]);
    assert_eq!(map["scrubbing_bytes"], 0);
    assert_eq!(map["scrubbing_runs"], serde_json::json!([]));
    let picture = printed(&["map", "--color", "never"]);
    assert!(picture.contains("~ scrubbing") && picture.contains("; 0 B scrubbing"));
}

/// The debugfs files of a driver that has no `scrub_map`, until this is dropped.
struct OlderDriver;

impl OlderDriver {
    fn new() -> Self {
        let directory = debugfs::directory();
        let files = ["stats", "block_map"];
        let texts = files.map(|file| std::fs::read(directory.join(file)).expect("root may"));
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "tmpfs"]).arg(&directory);
        assert!(mount.status().is_ok_and(|status| status.success()));
        let older = Self;
        for (file, text) in files.iter().zip(texts) {
            std::fs::write(directory.join(file), text).expect("root may");
        }
        older
    }
}

impl Drop for OlderDriver {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(debugfs::directory()).status();
        let done = unmounted.is_ok_and(|status| status.success());
        assert!(done || std::thread::panicking());
    }
}

#[test]
fn a_map_of_an_older_driver_says_nothing_of_scrubbing() {
    let _balance = Balance::of_an_empty_pool();
    let node = Node::open();
    let buffer = node.alloc(request(100_000)).unwrap();
    let older = OlderDriver::new();
    let map = json(&["map"]);
    assert_eq!(map["buffers"][0]["phys_addr"], buffer.phys_addr);
    let region = node.info().unwrap().region_bytes;
    assert_eq!(map["free_bytes"], region - buffer.alloc_bytes);
    assert_eq!(
        (map.get("scrubbing_bytes"), map.get("scrubbing_runs")),
        (None, None)
    );
    let picture = printed(&["map", "--color", "never"]);
    assert!(
        picture.contains(". free") && !picture.contains("scrubbing"),
        "{picture}"
    );
    drop(older);
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
