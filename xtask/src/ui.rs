// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the person at the terminal sees of long steps.
//!
//! Everything goes to standard error: standard output belongs to the programs that are run.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a running step says where it is when nobody looks at a terminal.
const QUIET_INTERVAL: Duration = Duration::from_secs(30);
/// How often it does on a terminal, where each line replaces the last.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);

/// One step of the work, from the line that announces it to the line that ends it.
#[derive(Debug)]
pub(crate) struct Step {
    name: String,
    start: Instant,
    shown: Instant,
    terminal: bool,
}

impl Step {
    /// Announces a step.
    pub(crate) fn start(name: impl Into<String>) -> Self {
        let name = name.into();
        eprintln!("==> {name}");
        let now = Instant::now();
        Self {
            name,
            start: now,
            shown: now,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Says how far the step is, at most as often as a reader can use it.
    pub(crate) fn progress(&mut self, detail: impl FnOnce() -> String) {
        let interval = if self.terminal {
            TERMINAL_INTERVAL
        } else {
            QUIET_INTERVAL
        };
        if self.shown.elapsed() < interval {
            return;
        }
        self.shown = Instant::now();
        let line = format!(
            "    {}: {}, {}",
            self.name,
            detail(),
            elapsed(self.start.elapsed())
        );
        if self.terminal {
            eprint!("\r\x1b[K{line}");
            // A progress line that cannot be written is no reason to stop.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    /// Ends the step and returns how long it took.
    pub(crate) fn done(self) -> Duration {
        let took = self.start.elapsed();
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!("{clear}    {}: done in {}", self.name, elapsed(took));
        took
    }
}

/// Says something that is no step of its own.
pub(crate) fn note(text: impl AsRef<str>) {
    eprintln!("    {}", text.as_ref());
}

/// A duration as people read it: `0.4 s`, `12.3 s`, `9 min 05 s`.
pub(crate) fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_minutes_from_one_minute_on() {
        assert_eq!(elapsed(Duration::from_millis(440)), "0.4 s");
        assert_eq!(elapsed(Duration::from_secs(59)), "59.0 s");
        assert_eq!(elapsed(Duration::from_secs(545)), "9 min 05 s");
    }
}
