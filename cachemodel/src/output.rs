// SPDX-License-Identifier: GPL-2.0-or-later

//! The end-of-run report, as JSON for programs and as text for people.

use crate::board::{master_name, Board};
use crate::counts::Counts;
use crate::memory::Memory;
use crate::report::{Place, Report};
use crate::symbols::Frame;
use serde::Serialize;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

/// The whole report. Addresses are strings, because JSON's numbers are not exact enough everywhere.
#[derive(Debug, Serialize)]
pub struct Output {
    /// The policy that the cache followed.
    pub policy: String,
    /// Mistakes found, oldest first.
    pub reports: Vec<ReportOutput>,
    /// Events that are in no report because there were too many.
    pub left_out: u64,
    /// Physical address of a line that changed without the model's knowledge: a fault of the model.
    pub unexplained: Option<String>,
    /// What happened.
    pub counts: Counts,
}

/// One mistake.
#[derive(Debug, Serialize)]
pub struct ReportOutput {
    /// Its kind, in a word.
    pub kind: &'static str,
    /// What happened.
    pub summary: &'static str,
    /// What should have been done.
    pub advice: &'static str,
    /// How often it happened to a line.
    pub count: u64,
    /// The lines hit, as physical addresses; virtual ones for `unmapped`.
    pub lines: Vec<[String; 2]>,
    /// Where it showed.
    pub at: PlaceOutput,
    /// What led to it.
    pub cause: Option<PlaceOutput>,
}

/// Where something happened.
#[derive(Debug, Serialize)]
pub struct PlaceOutput {
    /// Address of the instruction.
    pub pc: String,
    /// 0 for a program, 1 for the kernel.
    pub exception_level: u8,
    /// The functions there, and those that called them as far as is known; innermost first.
    pub frames: Vec<FrameOutput>,
    /// The process that ran.
    pub process: Option<ProcessOutput>,
    /// The bus master that the instruction started.
    pub device: Option<String>,
}

/// A function.
#[derive(Clone, Debug, Serialize)]
pub struct FrameOutput {
    /// Its name.
    pub function: String,
    /// Where in it: a file and line, or else an offset from its start.
    pub location: String,
}

/// A process.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ProcessOutput {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

impl Output {
    /// What the board has found so far.
    pub fn new<M: Memory>(board: &Board<M>) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for (report, frames) in board.model.reports.list().iter().zip(board.frames()) {
            let new = Group {
                report: report.clone(),
                at: place(board, report.at, &frames.at),
                cause: report.cause.map(|cause| place(board, cause, &frames.cause)),
            };
            match groups.iter_mut().find(|group| group.takes(&new)) {
                Some(group) => group.report.absorb(&new.report),
                None => groups.push(new),
            }
        }
        Self {
            policy: board.model.policy().to_string(),
            reports: groups.into_iter().map(Group::output).collect(),
            left_out: board.model.reports.left_out(),
            unexplained: board.model.first_wrong_line().map(hex),
            counts: board.model.counts,
        }
    }

    /// The reports for people to read; empty if there are none.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for report in &self.reports {
            // Writing to a string does not fail.
            let _ = report.write(&mut text);
        }
        if let Some(line) = &self.unexplained {
            let _ = writeln!(
                text,
                "cache model: the line at {line} changed without the model's knowledge"
            );
        }
        text
    }
}

/// Reports that differ only in which instruction of a function they are about: one that copies memory
/// has several loads and stores.
struct Group {
    report: Report,
    at: PlaceOutput,
    cause: Option<PlaceOutput>,
}

impl Group {
    fn takes(&self, other: &Self) -> bool {
        let same = |a: &PlaceOutput, b: &PlaceOutput| {
            let names = |place: &'_ PlaceOutput| -> Vec<String> {
                let frames = place.frames.iter();
                frames.map(|frame| frame.function.clone()).collect()
            };
            let same_functions = !a.frames.is_empty() && names(a) == names(b);
            a.process == b.process && a.device == b.device && (a.pc == b.pc || same_functions)
        };
        let causes = match (&self.cause, &other.cause) {
            (Some(a), Some(b)) => same(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        self.report.kind == other.report.kind && same(&self.at, &other.at) && causes
    }

    fn output(self) -> ReportOutput {
        let Report {
            kind, lines, count, ..
        } = self.report;
        ReportOutput {
            kind: kind.name(),
            summary: kind.summary(),
            advice: kind.advice(),
            count,
            lines: lines.iter().map(range).collect(),
            at: self.at,
            cause: self.cause,
        }
    }
}

impl ReportOutput {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "cache model: {}: {}", self.kind, self.summary)?;
        let lines = self
            .lines
            .iter()
            .map(|[start, end]| format!("[{start}, {end})"));
        let lines = lines.collect::<Vec<_>>().join(", ");
        writeln!(text, "  lines:  {lines}")?;
        self.at.write(text, "where:")?;
        if let Some(cause) = &self.cause {
            cause.write(text, "before:")?;
        }
        writeln!(text, "  do:     {}", self.advice)
    }
}

impl PlaceOutput {
    fn write(&self, text: &mut String, label: &str) -> std::fmt::Result {
        let process = match &self.process {
            Some(process) => format!("process {} {:?}", process.pid, process.name),
            None => "an unknown process".to_owned(),
        };
        match &self.device {
            Some(device) => write!(text, "  {label:7} {device}, started by {process}")?,
            None => write!(text, "  {label:7} {process}")?,
        }
        writeln!(text, " at {}", self.pc)?;
        let here = std::env::current_dir().unwrap_or_default();
        for frame in self.frames.iter().filter(|frame| frame.is_of_interest()) {
            let path = Path::new(&frame.location);
            let location = path.strip_prefix(&here).unwrap_or(path).display();
            writeln!(text, "            {} ({location})", frame.function)?;
        }
        Ok(())
    }
}

impl FrameOutput {
    fn new(frame: &Frame) -> Self {
        Self {
            function: frame.function.clone(),
            location: frame.location.clone(),
        }
    }

    /// The standard library's functions are in between, and what calls `main` is around everything.
    fn is_of_interest(&self) -> bool {
        let standard = ["/rustc/", "/lib/rustlib/src/", "__libc_start_main.c"];
        let starts = self.function == "_start" || self.function.starts_with("__libc_start_");
        !starts && !standard.iter().any(|part| self.location.contains(part))
    }
}

fn hex(value: u64) -> String {
    format!("{value:#x}")
}

fn range(lines: &Range<u64>) -> [String; 2] {
    [hex(lines.start), hex(lines.end)]
}

fn place<M: Memory>(board: &Board<M>, place: Place, frames: &[Frame]) -> PlaceOutput {
    let process = board.process(place.process);
    PlaceOutput {
        pc: hex(place.pc),
        exception_level: u8::from(place.pc >> 55 & 1 != 0),
        frames: frames.iter().map(FrameOutput::new).collect(),
        process: process.map(|process| ProcessOutput {
            pid: process.pid,
            name: process.name.clone(),
        }),
        device: master_name(place.master),
    }
}
