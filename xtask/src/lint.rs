// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks of the sources that run nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{bail, Context as _, Result};

use crate::context::Context;
use crate::files::files_below;
use crate::process::run;

/// Files without a licence line: the licences themselves, and data as others wrote it.
const WITHOUT_LICENCE: [&str; 6] = [
    "LICENSES/",
    "Cargo.lock",
    "examples/data/",
    "tests/misuse/cases/",
    "tool/tests/data/",
    "xtask/bench-baseline.jsonl",
];

/// Formatting, of the workspace and of the kernel module.
pub(crate) fn fmt(context: &Context) -> Result<()> {
    run(context.cargo().args(["fmt", "--all", "--check"]))?;
    let mut module = Command::new(context.tools.rustc.with_file_name("rustfmt"));
    module.current_dir(&context.root);
    run(module.args(["--check", "--edition", "2021", "driver/main.rs"]))
}

/// Clippy, for the host and, of the programs that run there, for the guest.
pub(crate) fn clippy(context: &Context) -> Result<()> {
    let deny = ["--", "-D", "warnings"];
    let quiet = ["--quiet", "--all-targets"];
    run(context
        .cargo()
        .args(["clippy", "--workspace"])
        .args(quiet)
        .args(deny))?;
    let mut guest = context.tools.guest_cargo("clippy");
    guest
        .current_dir(&context.root)
        .args(["-p", "fpgamem-tests", "-p", "fpgamem-examples"])
        .args(["-p", crate::programs::SITUATIONS, "-p", "fpgamem-mistakes"])
        .args(["-p", "fpgamem-fuzz", "-p", "fpgamem-tool"]);
    run(guest.args(quiet).args(deny))
}

/// The documentation builds without a warning.
pub(crate) fn docs(context: &Context) -> Result<()> {
    let mut cargo = context.cargo();
    cargo.args(["doc", "--workspace", "--no-deps", "--quiet"]);
    run(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Every tracked file says under which licence it is.
pub(crate) fn licences(context: &Context) -> Result<()> {
    let mut lacking = Vec::new();
    for path in context.tracked_files()? {
        let name = path.display().to_string();
        if WITHOUT_LICENCE
            .iter()
            .any(|exempt| name.starts_with(exempt))
        {
            continue;
        }
        // A file that was removed but not yet from the index has no licence to show.
        let Ok(bytes) = fs::read(context.root.join(&path)) else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
        if !head
            .lines()
            .take(5)
            .any(|line| line.contains("SPDX-License-Identifier:"))
        {
            lacking.push(name);
        }
    }
    if !lacking.is_empty() {
        bail!(
            "no SPDX-License-Identifier in the first lines of: {}",
            lacking.join(", ")
        );
    }
    Ok(())
}

/// In the module, only `driver/kapi/` may be unsafe or name the kernel's bindings.
pub(crate) fn layering(context: &Context) -> Result<()> {
    let driver = context.root.join("driver");
    let mut found = Vec::new();
    for path in files_below(&driver)? {
        let rust = path.extension().is_some_and(|extension| extension == "rs");
        if !rust || path.starts_with(driver.join("kapi")) {
            continue;
        }
        found.extend(layering_of(&path)?);
    }
    if !found.is_empty() {
        bail!(
            "only driver/kapi/ may say these words:\n{}",
            found.join("\n")
        );
    }
    Ok(())
}

fn layering_of(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let found = forbidden_words(&text);
    Ok(found
        .into_iter()
        .map(|(line, word)| format!("{}:{line}: {word}", path.display()))
        .collect())
}

/// Line numbers of the words `unsafe` and `bindings` in code, not in comments or strings.
fn forbidden_words(text: &str) -> Vec<(usize, &'static str)> {
    let code = without_comments_and_strings(text);
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for word in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
            for forbidden in ["unsafe", "bindings"] {
                if word == forbidden {
                    found.push((number + 1, forbidden));
                }
            }
        }
    }
    found
}

/// The text with comments and string literals blanked out, line ends kept.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if first == '"' {
            string_literal(rest)
        } else if rest.starts_with("'\"'") {
            // Not the beginning of a string.
            3
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..length].chars().filter(|&c| c == '\n'));
        code.push(' ');
        rest = &rest[length..];
    }
    code
}

/// The length of the comment, which may hold others, at the start of `text`.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string literal at the start of `text`, quotes included.
fn string_literal(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_unsafe_code_and_bindings() {
        let text = "fn f() {\n    unsafe { g() }\n}\nuse kernel::bindings;\n";
        assert_eq!(forbidden_words(text), [(2, "unsafe"), (4, "bindings")]);
    }

    #[test]
    fn leaves_comments_strings_and_lint_names_alone() {
        let text = "#![deny(unsafe_op_in_unsafe_fn)]\n// unsafe\n/* bindings /* */ unsafe */\n\
                    let s = \"unsafe \\\" bindings\";\nlet c = '\"'; // unsafe\n";
        assert_eq!(forbidden_words(text), []);
    }

    #[test]
    fn keeps_line_numbers_behind_a_long_comment() {
        assert_eq!(forbidden_words("/*\n\n*/\nunsafe {}\n"), [(4, "unsafe")]);
    }
}
