// SPDX-License-Identifier: MIT OR Apache-2.0

//! Running other programs, and saying what they said when they fail.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

/// Lines of a failed program's output that are shown.
const TAIL_LINES: usize = 40;

/// The command as one would type it, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Runs a command and returns its standard output.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run `{}`", shown(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}):\n{}{}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command whose output the user should see.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs a command with its output, both streams together, in `log`.
///
/// `on_line` sees each line as it comes. When the command fails, the error shows the log's tail.
pub(crate) fn run_logged(
    command: &mut Command,
    log: &Path,
    on_line: impl FnMut(&str),
) -> Result<()> {
    run_with_input(command, Stdio::null(), log, on_line)
}

/// As [`run_logged`], and keeps a file lock as long as the command runs, even if xtask is killed.
pub(crate) fn run_holding(
    lock: &File,
    command: &mut Command,
    log: &Path,
    on_line: impl FnMut(&str),
) -> Result<()> {
    // The lock belongs to the open file, which the command gets as its empty input.
    run_with_input(command, lock.try_clone()?.into(), log, on_line)
}

fn run_with_input(
    command: &mut Command,
    input: Stdio,
    log: &Path,
    mut on_line: impl FnMut(&str),
) -> Result<()> {
    let mut file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    writeln!(file, "$ {}", shown(command))?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let reader = File::from(reader);
    command
        .stdin(input)
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run `{}`", shown(command)))?;
    // The command keeps what it was given; the pipe would never end with that open here.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());

    let mut tail = std::collections::VecDeque::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(file, "{line}")?;
        on_line(&line);
        tail.push_back(line);
        if tail.len() > TAIL_LINES {
            tail.pop_front();
        }
    }
    let status = child.wait()?;
    if !status.success() {
        let tail = tail.make_contiguous().join("\n");
        bail!(
            "`{}` failed ({status}); the end of {}:\n{tail}",
            shown(command),
            log.display()
        );
    }
    Ok(())
}

/// Whether a program of that name is on the search path.
pub(crate) fn on_path(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}
