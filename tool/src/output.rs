// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where output goes: text for people, JSON for programs.

use crate::failure::Failure;
use serde::Serialize;
use std::io::{self, Write};

/// Prints a value as JSON: indented on a terminal, else on one line.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = if is_terminal() {
        serde_json::to_string_pretty(value)?
    } else {
        serde_json::to_string(value)?
    };
    text_line(&text)
}

/// Prints text that has no colours, and ends the line.
pub(crate) fn text_line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Prints text whose colours are dropped where none are wanted.
pub(crate) fn coloured(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Whether people read the output.
pub(crate) fn is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stdout())
}

/// Columns of the terminal; 80 where there is none.
pub(crate) fn columns() -> usize {
    let size = is_terminal().then(terminal_size::terminal_size).flatten();
    size.map_or(80, |(width, _)| usize::from(width.0))
}
