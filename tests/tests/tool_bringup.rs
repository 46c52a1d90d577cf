// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands of `fpgamem` that hold, fill, show and sync buffers, and those that try the board.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_tests::zdma::Zdma;
use fpgamem_tests::{block_map, eventually, Balance, Node};
use nix::unistd::{chown, Gid};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

/// In the search path of the guest.
const TOOL: &str = "fpgamem";
const NODE: &str = "/dev/fpgamem0";
const USER: u32 = 1000;
const GROUP: u32 = 1234;

fn run(arguments: &[&str]) -> Output {
    let output = Command::new(TOOL).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{TOOL}: {error}"))
}

/// What a call prints that must succeed.
fn json(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("the output is JSON")
}

/// A running `fpgamem alloc`; killed at the end of a test.
struct Holder {
    child: Child,
    said: Value,
}

impl Holder {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command runs");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        output
            .read_line(&mut line)
            .expect("it says where the buffer is");
        let said = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
        Self { child, said }
    }

    fn new(arguments: &[&str]) -> Self {
        Self::start(Command::new(TOOL).args(["alloc", "--json"]).args(arguments))
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    fn number(&self, field: &str) -> u64 {
        self.said[field]
            .as_u64()
            .unwrap_or_else(|| panic!("no {field}"))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What it held was the device's, which is quiet.
        let _ = Node::open().quiet();
    }
}

#[test]
fn a_held_buffer_is_where_it_says_and_goes_with_its_holder() {
    let balance = Balance::new();
    let holder = Holder::new(&["70000", "--align", "1M"]);
    let phys = holder.number("phys_addr");
    assert_eq!(phys % (1 << 20), 0);
    assert_eq!(holder.number("bytes"), 70_000);
    let line = block_map::line_of(phys).unwrap();
    assert_eq!(
        (line.state.as_str(), line.pid),
        ("device", holder.child.id().into())
    );
    assert_eq!(line.bytes, holder.number("block_bytes"));
    drop(holder);
    balance.expect_held(0);
}

#[test]
fn a_killed_holder_leaves_its_buffer_in_quarantine() {
    let _balance = Balance::new();
    let mut holder = Holder::new(&["1M"]);
    let phys = holder.number("phys_addr");
    holder.child.kill().unwrap();
    holder.child.wait().unwrap();
    assert_eq!(block_map::line_of(phys).unwrap().state, "quarantined");
    let map = json(&["map"]);
    let buffers = map["buffers"].as_array().unwrap();
    let shown = buffers.iter().find(|buffer| buffer["phys_addr"] == phys);
    assert_eq!(shown.unwrap()["state"], "quarantined");
    drop(holder);
    eventually("the end of the quarantine", || {
        block_map::line_of(phys).is_none()
    });
}

#[test]
fn an_accelerator_is_tried_by_hand() {
    let _balance = Balance::new();
    let (from, to) = (Holder::new(&["100000"]), Holder::new(&["100000"]));
    let [source, destination] = [&from, &to].map(Holder::pid);
    json(&["fill", "counter", "--pid", &source]);
    json(&["fill", "0xee", "--pid", &destination]);
    assert_eq!(json(&["sync", "device", "--pid", &source])["for"], "device");
    json(&["sync", "cpu", "--pid", &destination]);
    Zdma::open().copy(from.number("phys_addr"), to.number("phys_addr"), 100_000);
    json(&["sync", "cpu", "--pid", &destination]);
    let checked = json(&[
        "dump",
        "--check",
        "counter",
        "--pid",
        &destination,
        "--bytes",
        "100000",
    ]);
    assert_eq!(
        (checked["bytes"].as_u64(), checked["wrong_bytes"].as_u64()),
        (Some(100_000), Some(0))
    );
    let output = run(&["dump", "--check", "address", "--pid", &destination]);
    assert_eq!(output.status.code(), Some(1));
    let dumped = json(&[
        "dump",
        "--pid",
        &destination,
        "--offset",
        "4",
        "--bytes",
        "8",
    ]);
    assert_eq!(dumped["hex"], "0100000002000000");
}

#[test]
fn addresses_are_translated_both_ways() {
    let _balance = Balance::new();
    let holder = Holder::new(&["64K"]);
    let (pid, phys) = (holder.pid(), holder.number("phys_addr"));
    let all = json(&["translate", "--pid", &pid]);
    let [mapping] = &all["mappings"].as_array().unwrap()[..] else {
        panic!("{all}");
    };
    assert_eq!(mapping["phys_addr"], phys);
    assert_eq!(mapping["bytes"], 65536);
    assert_eq!(mapping["device_addr"], holder.number("device_addr"));
    let user = mapping["user_addr"].as_u64().unwrap() + 5000;
    let there = json(&["translate", "--pid", &pid, "--user", &user.to_string()]);
    assert_eq!(there["mappings"][0]["phys_addr"], phys + 5000);
    let back = json(&[
        "translate",
        "--pid",
        &pid,
        "--phys",
        &format!("{:#x}", phys + 5000),
    ]);
    assert_eq!(back["mappings"][0]["user_addr"], user);
    assert_eq!(back["mappings"][0]["bytes"], 65536 - 5000);
    let output = run(&[
        "translate",
        "--pid",
        &pid,
        "--phys",
        &(phys + 65536).to_string(),
    ]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_program_of_its_own_can_be_looked_at_and_not_synced() {
    let _balance = Balance::new();
    let node = Node::open();
    let mapping = node.map(16384).unwrap();
    let pid = std::process::id().to_string();
    json(&["fill", "address", "--pid", &pid]);
    let phys = node.user_to_phys(mapping.addr()).unwrap().phys_addr;
    assert_eq!(mapping.load(8), phys + 8);
    let errors = run(&["sync", "device", "--pid", &pid]);
    let errors = String::from_utf8_lossy(&errors.stderr).into_owned();
    assert!(errors.contains("let that program sync"), "{errors}");
}

#[test]
fn ranges_outside_and_strangers_are_refused() {
    let _balance = Balance::new();
    chown(NODE, None, Some(Gid::from_raw(GROUP))).unwrap();
    let holder = Holder::new(&["64K"]);
    let pid = holder.pid();
    let refused = |output: &Output, expected: &str| {
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    };
    refused(
        &run(&["dump", "--pid", &pid, "--offset", "64K"]),
        "leaves the buffer",
    );
    refused(
        &run(&["fill", "0", "--pid", &pid, "--bytes", "65537"]),
        "leaves the buffer",
    );
    refused(&run(&["dump", "--pid", "1"]), "no buffer of /dev/fpgamem0");
    let as_user = |arguments: &[&str]| {
        let mut command = Command::new(TOOL);
        command
            .args(arguments)
            .gid(GROUP)
            .uid(USER)
            .output()
            .unwrap()
    };
    refused(&as_user(&["dump", "--pid", &pid]), "run it as root");
    let mut own = Command::new(TOOL);
    own.args(["alloc", "64K", "--json"]).gid(GROUP).uid(USER);
    let own = Holder::start(&mut own);
    assert!(as_user(&["sync", "cpu", "--pid", &own.pid()])
        .status
        .success());
    json(&["sync", "cpu", "--pid", &own.pid()]);
    let several = run(&["translate"]);
    refused(&several, &own.pid());
    chown(NODE, None, Some(Gid::from_raw(0))).unwrap();
}

#[test]
fn an_impossible_buffer_is_refused_with_its_numbers() {
    let _balance = Balance::new();
    let output = run(&["alloc", "64G", "--once"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("are possible"), "{errors}");
    let once = json(&["alloc", "10000", "--once", "--write-combine"]);
    assert_eq!(
        (
            once["write_combine"].as_bool(),
            once["block_bytes"].as_u64()
        ),
        (Some(true), Some(16384))
    );
}

#[test]
fn traces_and_stress_find_nothing_wrong() {
    let balance = Balance::new();
    for options in [&[][..], &["--arena"]] {
        let report = json(&[&["trace", "/data/mobilenetv1.trace"], options].concat());
        assert_eq!(report["failures"].as_array().map(Vec::len), Some(0));
        assert!(report["checked_bytes"].as_u64().unwrap() > 40 << 20);
    }
    let limits = [
        "--operations",
        "200",
        "--seconds",
        "60",
        "--largest",
        "256K",
        "--most",
        "4M",
    ];
    let summary = json(&[&["stress", "--processes", "3"], &limits[..]].concat());
    assert_eq!(summary["failures"].as_array().map(Vec::len), Some(0));
    assert_eq!(summary["operations"], 600);
    balance.expect_held(0);
}

#[test]
fn the_selftest_says_what_it_ran_on() {
    let balance = Balance::new();
    let report = json(&["selftest", "--dma", "--rounds", "2"]);
    assert!(report["machine"]["emulator"]
        .as_str()
        .unwrap()
        .contains("QEMU"));
    assert_eq!(report["dma"]["correct"], true);
    assert_eq!(report["dma"]["agrees"], true);
    assert_eq!(report["sync"]["by_instructions"], true);
    assert_eq!(report["sync"]["lengths"].as_array().map(Vec::len), Some(8));
    assert_eq!(report["pool"]["device"], NODE);
    let text = run(&["selftest"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("THIS IS AN EMULATOR"));
    balance.expect_held(0);
}

#[test]
fn top_counts_what_happens_between_looks() {
    let _balance = Balance::new();
    let _holder = Holder::new(&["1M"]);
    let output = run(&["top", "--count", "2", "--interval", "0.1", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let looks: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(looks.len(), 2);
    assert!(looks[0]["rates"].is_null() && looks[1]["rates"]["allocations"].is_number());
    assert_eq!(looks[1]["processes"][0]["device_bytes"], 1 << 20);
}

/// The scripts that a guide shows.
fn scripts_of(guide: &str) -> impl Iterator<Item = &str> {
    let blocks = guide.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default())
}

#[test]
fn every_command_of_the_guide_works() {
    let balance = Balance::new();
    let mut count = 0;
    for script in scripts_of(include_str!("../../docs/tool.md")) {
        let output = Command::new("sh")
            .args(["-ec", script])
            .current_dir("/tmp")
            .output()
            .expect("the guest has a shell");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {errors}");
        count += script.lines().count();
    }
    assert!(count >= 20, "the guide shows {count} lines");
    balance.expect_held(0);
}
