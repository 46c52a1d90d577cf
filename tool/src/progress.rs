// SPDX-License-Identifier: MIT OR Apache-2.0

//! A bar for what takes long, on a terminal alone.

use std::io::{stderr, IsTerminal, Write};

/// Columns of the bar.
const COLUMNS: u64 = 40;

/// How far a command is.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    /// What the bar showed last; `None` where nobody looks.
    shown: Option<u64>,
}

impl Progress {
    /// A bar for so many steps, if standard error is a terminal.
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let shown = stderr().is_terminal().then_some(u64::MAX);
        Self {
            what,
            total: total.max(1),
            done: 0,
            shown,
        }
    }

    /// A step more is done.
    pub(crate) fn step(&mut self) {
        self.at(self.done.saturating_add(1));
    }

    /// So many steps are done.
    pub(crate) fn at(&mut self, done: u64) {
        self.done = done.min(self.total);
        let filled = self.done * COLUMNS / self.total;
        if self.shown.is_some_and(|shown| shown != filled) {
            self.shown = Some(filled);
            let bar: String = (0..COLUMNS)
                .map(|column| if column < filled { '#' } else { '.' })
                .collect();
            // The bar is not what the command is for.
            let _ = write!(stderr(), "\r{} [{bar}]", self.what);
            let _ = stderr().flush();
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(self) {
        if self.shown.is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
