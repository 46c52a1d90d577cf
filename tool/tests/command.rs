// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command as people and programs call it, without a board.

#![forbid(unsafe_code)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A recorded map: the pool of the test board in the middle of a replay.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/map.json");
/// What it looks like at 80 columns.
const GOLDEN: &str = include_str!("data/map.txt");
/// The same of a driver that did not tell what is being scrubbed.
const RECORDED_OLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/map-older.json");
const GOLDEN_OLDER: &str = include_str!("data/map-older.txt");

/// Runs the command; no variable of the caller changes what it does.
fn fpgamem(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fpgamem"));
    command.args(arguments);
    for variable in ["FPGAMEM_DEVICE", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command.output().expect("the command runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("output is text")
}

/// What a successful call prints.
fn printed(arguments: &[&str]) -> String {
    let output = fpgamem(arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(arguments)).expect("the output is JSON")
}

/// What a call that cannot do its work says.
fn refusal(arguments: &[&str]) -> String {
    let output = fpgamem(arguments);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    stderr(&output)
}

/// A file of one test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("fpgamem-{}-{name}", std::process::id())))
    }

    fn with(name: &str, text: &str) -> Self {
        let scratch = Self::new(name);
        std::fs::write(&scratch.0, text).expect("there is room for a file");
        scratch
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the name is text")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_recorded_map_looks_as_it_did() {
    for (recorded, golden) in [(RECORDED, GOLDEN), (RECORDED_OLDER, GOLDEN_OLDER)] {
        let picture = printed(&["map", "--from", recorded, "--width", "80"]);
        assert_eq!(picture, golden);
        assert!(picture.lines().all(|line| line.chars().count() <= 80));
    }
    assert!(GOLDEN.contains("~ scrubbing") && !GOLDEN_OLDER.contains("scrubbing"));
}

#[test]
fn without_a_terminal_a_picture_has_80_columns_and_no_colour() {
    let picture = printed(&["map", "--from", RECORDED]);
    assert_eq!(picture, GOLDEN);
    assert!(!picture.contains('\u{1b}'));
}

#[test]
fn colour_is_had_by_asking_for_it() {
    let picture = printed(&["map", "--from", RECORDED, "--color", "always"]);
    assert!(picture.contains("\u{1b}[32m"));
}

#[test]
fn a_map_prints_what_it_can_read_again() {
    for file in [RECORDED, RECORDED_OLDER] {
        let printed = printed(&["map", "--from", file, "--json"]);
        let recorded: Value =
            serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), recorded);
        assert_eq!(printed.lines().count(), 1);
    }
}

#[test]
fn a_map_accounts_for_every_byte() {
    let map = json(&["map", "--from", RECORDED, "--json"]);
    let sum = |list: &str| -> u64 {
        let items = map[list].as_array().unwrap().iter();
        items.map(|item| item["bytes"].as_u64().unwrap()).sum()
    };
    assert_eq!(sum("free_runs"), map["free_bytes"].as_u64().unwrap());
    let region = map["region_bytes"].as_u64().unwrap();
    assert_eq!(sum("free_runs") + sum("buffers"), region);
    let scrubbing = map["scrubbing_bytes"].as_u64().unwrap();
    assert_eq!(sum("scrubbing_runs"), scrubbing);
    assert!(0 < scrubbing && scrubbing < sum("free_runs"));
}

#[test]
fn a_map_becomes_a_drawing() {
    let file = Scratch::new("map.svg");
    assert_eq!(
        printed(&["map", "--from", RECORDED, "--svg", file.path()]),
        ""
    );
    let svg = std::fs::read_to_string(&file.0).unwrap();
    assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("3 MiB, device-owned") && svg.contains("2 MiB, quarantined"));
    let titles = svg.matches("<title>").count();
    assert_eq!(titles, svg.matches("</title></rect>").count());
    assert!(svg.contains("CPU-owned, process 96 replay, 1 mappings"));
    assert!(svg.contains("dark grey: scrubbing, 17.6 MiB"));
    assert!(svg.contains("[0x40408000, 0x40410000) 32 KiB, free, scrubbing"));
}

#[test]
fn what_is_no_map_is_refused() {
    let nonsense = Scratch::with("nonsense.json", "{\"device\": 3}");
    let text = refusal(&["map", "--from", nonsense.path()]);
    assert!(
        text.contains("holds no map") && text.contains("map --json"),
        "{text}"
    );
    let overlap = std::fs::read_to_string(RECORDED).unwrap();
    let region = "\"region_bytes\":67108864";
    assert!(overlap.contains(region));
    let overlap = Scratch::with(
        "overlap.json",
        &overlap.replace(region, "\"region_bytes\":16384"),
    );
    let text = refusal(&["map", "--from", overlap.path()]);
    assert!(
        text.contains("cannot be") && text.contains("leave the region"),
        "{text}"
    );
    let text = refusal(&["map", "--from", "/nonexistent.json"]);
    assert!(text.contains("cannot read /nonexistent.json"), "{text}");
}

#[test]
fn a_picture_needs_some_columns() {
    let text = refusal(&["map", "--from", RECORDED, "--width", "39"]);
    assert!(
        text.contains("too narrow") && text.contains("--width 40"),
        "{text}"
    );
}

#[test]
fn an_emulated_pool_is_described_when_it_is_asked_for() {
    let info = json(&["info", "--emulated", "--json"]);
    assert_eq!(info["device"], "emulated");
    assert_eq!(info["abi"], 1);
    assert_eq!(info["free_bytes"], info["region_bytes"]);
    assert_eq!(info["largest_free_bytes"], info["region_bytes"]);
    assert!(info["features"]
        .as_array()
        .unwrap()
        .contains(&"write-combine".into()));
    let text = printed(&["info", "--emulated"]);
    assert!(text.contains("block            16 KiB"), "{text}");
}

#[test]
fn a_missing_node_is_an_error_with_its_way_out() {
    for command in [&["info"][..], &["map"], &["info", "--json"]] {
        let text = refusal(&[command, &["--device", "/nonexistent/fpgamem0"]].concat());
        let expected = "fpgamem: cannot open /nonexistent/fpgamem0: there is no such node; load";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("modprobe fpgamem"), "{text}");
    }
}

#[test]
fn the_variable_names_the_node() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fpgamem"));
    let output = command
        .arg("info")
        .env("FPGAMEM_DEVICE", "/dev/null")
        .output()
        .unwrap();
    assert!(stderr(&output).contains("/dev/null is not a node of the fpgamem driver"));
}

#[test]
fn the_doctor_says_that_a_folder_without_a_board_is_none() {
    let output = fpgamem(&["doctor", "--root", env!("CARGO_MANIFEST_DIR"), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["healthy"], false);
    for finding in report["findings"].as_array().unwrap() {
        let status = finding["status"].as_str().unwrap();
        assert!(["good", "note", "unknown", "bad"].contains(&status));
        let mended = finding["mend"]
            .as_str()
            .is_some_and(|mend| !mend.is_empty());
        assert_eq!(mended, status != "good", "{finding}");
    }
    assert!(refusal(&["doctor", "--root", "/nonexistent"]).contains("is no folder"));
}

#[test]
fn unknown_words_are_refused() {
    assert!(refusal(&["mapp"]).contains("map"));
    assert!(refusal(&["map", "--width", "wide"]).contains("--width"));
    assert!(refusal(&["info", "--colour"]).contains("--color"));
    assert!(refusal(&[]).contains("Usage"));
}

#[test]
fn completions_exist_for_the_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let text = printed(&["completions", shell]);
        assert!(text.contains("doctor"), "{shell}");
    }
    assert!(refusal(&["completions", "dos"]).contains("bash"));
}

#[test]
fn every_command_has_a_man_page() {
    let page = printed(&["man"]);
    assert!(page.contains(".TH fpgamem 1"), "{page}");
    let folder = std::env::temp_dir().join(format!("fpgamem-man-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(printed(&["man", folder.to_str().unwrap()]), "");
    let help = printed(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names: Vec<_> = commands
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(
        names.contains(&"doctor") && names.contains(&"map"),
        "{help}"
    );
    for name in names.iter().filter(|name| **name != "help") {
        assert!(folder.join(format!("fpgamem-{name}.1")).exists(), "{name}");
    }
    let pages = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(
        pages,
        names.len(),
        "one for each command but help, and one for all"
    );
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(refusal(&["man", "/nonexistent"]).contains("/nonexistent"));
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let script = format!(
        "{} completions bash | head -1",
        env!("CARGO_BIN_EXE_fpgamem")
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(stderr(&output), "");
    assert!(Path::new(RECORDED).exists());
}

/// The traces of the examples.
fn trace(name: &str) -> String {
    format!(
        "{}/../examples/data/{name}.trace",
        env!("CARGO_MANIFEST_DIR")
    )
}

#[test]
fn a_trace_says_which_region_it_needs() {
    let file = trace("mobilenetv1");
    let report = json(&["trace", &file, "--region", "64M", "--json"]);
    assert_eq!(report["fits"], true);
    assert_eq!(report["block_bytes"], 16384);
    let smallest = report["smallest_region_bytes"].as_u64().unwrap();
    assert_eq!(smallest, 48512 << 10);
    let fits = |bytes: u64| {
        let output = fpgamem(&["trace", &file, "--region", &bytes.to_string(), "--json"]);
        let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(
            output.status.code(),
            Some(i32::from(report["fits"] == false))
        );
        report["fits"].as_bool().unwrap()
    };
    assert!(fits(smallest) && !fits(smallest - 16384));
}

#[test]
fn an_arena_needs_hardly_more_than_the_tensors() {
    let file = trace("mobilenetv1");
    let of = |options: &[&str]| {
        json(&[&["trace", &file, "--region", "256M", "--json"], options].concat())
    };
    let (own, shared) = (of(&[]), of(&["--arena"]));
    let number = |report: &Value, field: &str| report[field].as_f64().unwrap();
    let factor = |report| number(report, "peak_block_bytes") / number(report, "peak_bytes");
    assert!(factor(&shared) <= 1.03 && factor(&own) > 1.05);
    assert!(number(&shared, "peak_mappings") < number(&own, "peak_mappings") / 4.0);
    assert!(number(&shared, "device_allocs") < number(&own, "device_allocs"));
}

#[test]
fn a_trace_is_replayed_without_a_board_when_it_is_asked_for() {
    let file = trace("mobilenetv1");
    let report = json(&["trace", &file, "--emulated", "--json"]);
    assert_eq!(report["device"], "emulated");
    assert_eq!(report["failures"], serde_json::json!([]));
    assert!(report["checked_bytes"].as_u64().unwrap() > 40 << 20);
    let text = printed(&["trace", &file, "--emulated", "--arena", "--unchecked"]);
    assert!(text.contains("replayed") && !text.contains('\r'), "{text}");
}

#[test]
fn what_is_no_trace_is_refused() {
    let bad = Scratch::with("bad.trace", "A 1 4096\nX 2\n");
    let text = refusal(&["trace", bad.path(), "--emulated"]);
    assert!(
        text.contains(":2:") && text.contains("found \"X 2\""),
        "{text}"
    );
    assert!(refusal(&["trace", "/nonexistent", "--region", "1M"]).contains("/nonexistent"));
    let file = trace("mobilenetv1");
    assert!(refusal(&["trace", &file, "--region", "many"]).contains("16K"));
    let text = refusal(&["trace", &file, "--region", "1M", "--block", "0"]);
    assert!(text.contains("whole blocks"), "{text}");
}

#[test]
fn stress_is_the_same_for_the_same_seed() {
    let run = |seed: &str| {
        let operations = [
            "--operations",
            "300",
            "--seconds",
            "60",
            "--largest",
            "64K",
            "--most",
            "1M",
        ];
        json(
            &[
                &["stress", "--emulated", "--json", "--seed", seed],
                &operations[..],
            ]
            .concat(),
        )
    };
    let first = run("7");
    assert_eq!(first["operations"], 300);
    assert_eq!(first["failures"], serde_json::json!([]));
    assert!(first["hand_overs"].as_u64().unwrap() > 0 && first["splits"].as_u64().unwrap() > 0);
    assert_eq!(run("7"), first);
    assert_ne!(run("8"), first);
    let text = refusal(&["stress", "--emulated", "--largest", "0"]);
    assert!(text.contains("--largest at least 1"), "{text}");
}

#[test]
fn the_selftest_finds_that_emulated_caches_are_not_snooped() {
    let file = Scratch::new("report.json");
    let arguments = ["selftest", "--dma", "--emulated", "--rounds", "2", "--json"];
    let report = json(&[&arguments[..], &["--report", file.path()]].concat());
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&file.0).unwrap()).unwrap();
    assert_eq!(report, written);
    assert_eq!(report["format"], "fpgamem-selftest-1");
    assert_eq!(
        report["machine"]["emulator"],
        "the library's emulated device"
    );
    assert_eq!(report["dma"]["port"], "not-coherent");
    assert_eq!(report["dma"]["correct"], true);
    assert_eq!(report["dma"]["agrees"], true);
    for experiment in report["dma"]["experiments"].as_array().unwrap() {
        assert_eq!(experiment["bytes"], 140_000);
    }
    let lengths = report["sync"]["lengths"].as_array().unwrap();
    assert!(lengths
        .iter()
        .all(|sync| sync["lines"] == sync["bytes"].as_u64().unwrap() / 64));
    let text = printed(&arguments[..5]);
    assert!(text.contains("does not behave coherently"), "{text}");
    assert!(text.contains("THIS IS AN EMULATOR"), "{text}");
}

#[test]
fn commands_for_a_board_say_what_is_missing_without_one() {
    let missing = ["--device", "/nonexistent/fpgamem0"];
    let commands: [&[&str]; 10] = [
        &["alloc", "1M"],
        &["fill", "0x5a"],
        &["dump"],
        &["sync", "device"],
        &["translate"],
        &["top"],
        &["stress"],
        &["stress", "--processes", "2"],
        &["selftest"],
        &["trace", RECORDED],
    ];
    for command in commands {
        let text = refusal(&[command, &missing[..]].concat());
        let way_out = text.contains("modprobe") || text.contains("load the module");
        assert!(way_out || text.contains("no trace"), "{command:?}: {text}");
    }
    for (command, expected) in [
        (&["fill", "512"][..], "random:SEED"),
        (&["sync", "fpga"], "device, cpu"),
        (&["alloc", "lots"], "found \"lots\""),
        (&["top", "--interval", "0"], "above 0"),
        (&["dump", "--raw", "--check", "0"], "--check"),
    ] {
        let text = refusal(command);
        assert!(text.contains(expected), "{command:?}: {text}");
    }
}
