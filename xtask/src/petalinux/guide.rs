// SPDX-License-Identifier: MIT OR Apache-2.0

//! The board guide against what it speaks of: files of the repository, packages of the recipes, options
//! of the command, device-tree sources, and commands, each of which is executed somewhere or listed here
//! with the reason why it is not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{bail, Context as _, Result};

use crate::context::Context;
use crate::files::files_below;
use crate::process::capture;

/// The guide.
pub(super) const GUIDE: &str = "docs/board-guide.md";

/// Sources of the command, which sends its users to files of the repository.
const TOOL: &str = "tool/src";

/// What executes commands of the guide on the emulated board.
const CHECK_IMAGE: &str = "xtask/guest/check-image";

/// Programs by which a span of code is known to be a command.
const PROGRAMS: [&str; 18] = [
    "bdinfo",
    "bitbake-layers",
    "cargo",
    "cat",
    "dmesg",
    "dtc",
    "fpgamem",
    "fpgautil",
    "fuser",
    "grep",
    "groupdel",
    "ls",
    "mkdir",
    "modprobe",
    "mount",
    "printenv",
    "rmdir",
    "setenv",
];

/// The same, by how they begin.
const FAMILIES: [&str; 2] = ["fpgamem-", "petalinux-"];

/// Beginnings of commands that are executed nowhere, each with the reason.
const NOT_EXECUTED: [(&str, &str); 13] = [
    ("bdinfo", "U-Boot's prompt"),
    ("printenv", "U-Boot's prompt"),
    ("setenv", "U-Boot's prompt"),
    ("petalinux-", "a tool of AMD's that is not at hand"),
    (
        "bitbake-layers add-layer",
        "the stage bitbake writes the file",
    ),
    ("cargo xtask image --boot", "it is the stage image"),
    ("fpgautil", "there is no PL to program"),
    ("mount -t configfs", "an interface of AMD's kernel"),
    ("mkdir /sys/kernel/config/", "an interface of AMD's kernel"),
    ("cat fpgamem-pl.dtbo >", "an interface of AMD's kernel"),
    ("rmdir", "an interface of AMD's kernel"),
    ("fuser -v", "busybox has no such option"),
    ("groupdel fpgamem", "busybox has it under another name"),
];

/// A piece of code in the guide.
#[derive(Debug, PartialEq)]
enum Code {
    /// Between backticks in a sentence.
    Span(String),
    /// Between fences, with its language.
    Block(String, String),
}

/// Checks the guide; what is wrong with it.
pub(super) fn check(context: &Context, packages: &BTreeSet<String>) -> Result<Vec<String>> {
    let text = fs::read_to_string(context.root.join(GUIDE)).context(GUIDE)?;
    let script = fs::read_to_string(context.root.join(CHECK_IMAGE)).context(CHECK_IMAGE)?;
    let mut problems = Vec::new();
    let mut cargo = context.cargo();
    cargo.args(["build", "--locked", "--quiet", "--package", "fpgamem-tool"]);
    capture(&mut cargo)?;
    let tool = context.target.join("debug/fpgamem");
    let mut all = Vec::new();
    for code in code(&text) {
        match &code {
            Code::Span(span) => {
                let lacking = lacking_file(&context.root, span);
                problems.extend(lacking.map(|problem| format!("{GUIDE}: {problem}")));
                all.extend(commands(span).map(str::to_owned));
            }
            Code::Block(language, block) if language == "sh" => {
                all.extend(block.lines().flat_map(commands).map(str::to_owned));
            }
            Code::Block(_, block) => problems.extend(lacking_packages(block, packages)),
        }
    }
    for command in &all {
        problems.extend(unchecked(context, &tool, &script, command)?);
    }
    for path in files_below(&context.root.join(TOOL))? {
        let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let words = source.split([' ', '"', '`', '\n']);
        let lacking = words.filter_map(|word| lacking_file(&context.root, word));
        problems.extend(lacking.map(|problem| format!("{}: {problem}", path.display())));
    }
    for (begins, _) in NOT_EXECUTED {
        if !all.iter().any(|command| command.starts_with(begins)) {
            problems.push(format!("{GUIDE} has no command `{begins}` any more"));
        }
    }
    Ok(problems)
}

/// Lines of BitBake's configuration in the guide, in their order.
pub(super) fn settings(context: &Context) -> Result<String> {
    let text = fs::read_to_string(context.root.join(GUIDE)).context(GUIDE)?;
    let mut lines = String::new();
    let assignment = |line: &&str| line.contains(":append") && line.ends_with('"');
    for code in code(&text) {
        let part = match &code {
            Code::Span(part) | Code::Block(_, part) => part,
        };
        let wanted = part.lines().map(str::trim).filter(assignment);
        wanted.for_each(|line| lines.push_str(&format!("{line}\n")));
    }
    if lines.is_empty() {
        bail!("{GUIDE} has no line for BitBake's configuration");
    }
    Ok(lines)
}

/// Device-tree sources in the guide: nodes for a tree's root, or additions to nodes by label.
pub(crate) fn device_trees(root: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(root.join(GUIDE)).context(GUIDE)?;
    let blocks = code(&text).into_iter().filter_map(|code| match code {
        Code::Block(_, block) if block.contains("compatible = ") => Some(block),
        _ => None,
    });
    let blocks: Vec<String> = blocks.collect();
    if blocks.is_empty() {
        bail!("{GUIDE} has no device-tree source");
    }
    Ok(blocks)
}

/// All code of a page in Markdown.
fn code(page: &str) -> Vec<Code> {
    let mut found = Vec::new();
    let mut prose = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            prose.push_str(line.trim_start());
            // A span of code may go on in the next line.
            prose.push(if line.is_empty() { '\n' } else { ' ' });
            continue;
        };
        let inside = lines
            .by_ref()
            .take_while(|l| !l.trim_start().starts_with("```"));
        let block = inside.map(|line| format!("{line}\n")).collect();
        found.push(Code::Block(language.to_owned(), block));
    }
    for paragraph in prose.lines() {
        let spans = paragraph.split('`').skip(1).step_by(2);
        found.extend(spans.map(|span| Code::Span(span.to_owned())));
    }
    found
}

/// A file of the repository that is named and is not there.
fn lacking_file(root: &Path, span: &str) -> Option<String> {
    let folders = [
        "docs/",
        "driver/",
        "dts/",
        "examples/",
        "petalinux/",
        "xtask/",
    ];
    let named = folders.iter().any(|folder| span.starts_with(folder));
    let lacking = named && !span.contains(' ') && !root.join(span).exists();
    lacking.then(|| format!("{span} is named, which is not there"))
}

/// Packages that are to be installed and that no recipe makes.
fn lacking_packages(block: &str, packages: &BTreeSet<String>) -> Vec<String> {
    let names = block
        .lines()
        .filter_map(|line| line.strip_prefix("CONFIG_"));
    let lacking = names.filter(|name| !packages.contains(*name));
    lacking
        .map(|name| format!("{GUIDE} has {name} installed, which no recipe makes"))
        .collect()
}

/// The commands in a line, without comments.
fn commands(line: &str) -> impl Iterator<Item = &str> {
    let line = line.split(" #").next().unwrap_or(line);
    line.split(';').map(str::trim).filter(|command| {
        let first = command.split(' ').next().unwrap_or(command);
        let family = FAMILIES.iter().any(|family| first.starts_with(family));
        // A package or a recipe is no command: a word by itself is one only if it runs somewhere.
        let alone = family && first == *command && first != "fpgamem-first";
        (PROGRAMS.contains(&first) || family) && !alone && *command != "fpgamem"
    })
}

/// What is wrong with a command, if anything is.
fn unchecked(
    context: &Context,
    tool: &Path,
    script: &str,
    command: &str,
) -> Result<Option<String>> {
    if NOT_EXECUTED
        .iter()
        .any(|(begins, _)| command.starts_with(begins))
    {
        return Ok(None);
    }
    if command.starts_with("dtc ") {
        return Ok(compile_overlay(context, command)?.err());
    }
    if let Some(arguments) = command.strip_prefix("fpgamem ") {
        // What comes before --help is parsed first.
        let mut parse = Command::new(tool);
        parse.args(arguments.split(' ')).arg("--help");
        if !parse
            .output()
            .context("cannot run fpgamem")?
            .status
            .success()
        {
            return Ok(Some(format!(
                "{GUIDE} has `{command}`, which fpgamem refuses"
            )));
        }
    }
    let executed = script.lines().any(|line| line.contains(command));
    Ok((!executed).then(|| {
        format!("{GUIDE} has `{command}`, which {CHECK_IMAGE} does not execute: add it there")
    }))
}

/// Runs the guide's call of dtc where the overlay lies.
fn compile_overlay(context: &Context, command: &str) -> Result<Result<(), String>> {
    let folder = context.target.join("guide");
    fs::create_dir_all(&folder)?;
    let overlay = "fpgamem-pl.dtso";
    fs::copy(context.root.join("dts").join(overlay), folder.join(overlay))?;
    let mut shell = Command::new("sh");
    let output = shell.current_dir(&folder).args(["-c", command]).output()?;
    Ok(if output.status.success() {
        Ok(())
    } else {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("`{command}` of {GUIDE} fails:\n{text}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_blocks_and_spans_over_two_lines() {
        let page = "a `b\nc` d\n\n* x\n  ```sh\n  ls y\n  ```\n\n`e`\n";
        let expected = [
            Code::Block("sh".to_owned(), "  ls y\n".to_owned()),
            Code::Span("b c".to_owned()),
            Code::Span("e".to_owned()),
        ];
        assert_eq!(code(page), expected);
    }

    #[test]
    fn knows_commands_from_words() {
        let found = |line: &'static str| commands(line).collect::<Vec<_>>();
        assert_eq!(found("ls -l; modprobe x # y"), ["ls -l", "modprobe x"]);
        assert!(found("fpgamem-module").is_empty());
        assert_eq!(found("fpgamem-first"), ["fpgamem-first"]);
        assert!(found("no-map").is_empty());
    }
}
