// SPDX-License-Identifier: MIT OR Apache-2.0

//! `docs/guide.md` shows the program that is here, and its commands do what it says.

use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).expect(name)
}

/// The text of every block of the guide in a language.
fn blocks(guide: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}\n");
    let blocks = guide.split(&start).skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn the_guide_shows_the_program() {
    let program = read("examples/src/bin/first.rs");
    let (_licence, program) = program.split_once("\n\n").unwrap();
    assert_eq!(blocks(&read("docs/guide.md"), "rust"), [program]);
}

#[test]
fn the_commands_of_the_guide_end_as_it_says() {
    let commands = blocks(&read("docs/guide.md"), "sh").concat();
    let mut count = 0;
    for line in commands.lines() {
        let (command, note) = line.split_once('#').unwrap_or((line, ""));
        let Some(words) = command.strip_prefix("cargo run -p fpgamem-examples --bin ") else {
            continue;
        };
        let (name, arguments) = words.split_once(" -- ").unwrap();
        let program = match name {
            "first" => env!("CARGO_BIN_EXE_first"),
            "stream" => env!("CARGO_BIN_EXE_stream"),
            other => panic!("the guide runs {other}"),
        };
        let mut command = Command::new(program);
        command.args(arguments.split_whitespace());
        let status = command.current_dir(root()).status().unwrap();
        let expected = i32::from(note.contains("exit status 1"));
        assert_eq!(status.code(), Some(expected), "{line}");
        count += 1;
    }
    assert_eq!(count, 3, "commands for the host");
}

#[test]
fn the_guest_runs_the_program_of_the_guide() {
    let checked = read("xtask/guest/check-examples");
    assert!(checked.lines().any(|line| line == "expect 0 first"));
}
