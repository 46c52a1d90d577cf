// SPDX-License-Identifier: GPL-2.0-or-later

//! The end-of-run report, as JSON for programs and as text for people.

use crate::board::Board;
use crate::counts::Counts;
use crate::memory::Memory;
use crate::report::Place;
use crate::zdma;
use serde::Serialize;
use std::fmt::Write;
use std::ops::Range;

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
    /// The functions there, innermost first.
    pub frames: Vec<String>,
    /// The process that ran.
    pub process: Option<ProcessOutput>,
    /// The bus master that the instruction started.
    pub device: Option<String>,
}

/// A process.
#[derive(Debug, Serialize)]
pub struct ProcessOutput {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

impl Output {
    /// What the board has found so far.
    pub fn new<M: Memory>(board: &Board<M>) -> Self {
        let reports = board.model.reports.list().iter();
        let reports = reports.enumerate().map(|(index, report)| {
            let frames = board.frames().get(index).cloned().unwrap_or_default();
            ReportOutput {
                kind: report.kind.name(),
                summary: report.kind.summary(),
                advice: report.kind.advice(),
                count: report.count,
                lines: report.lines.iter().map(range).collect(),
                at: place(board, report.at, frames.at),
                cause: report.cause.map(|cause| place(board, cause, frames.cause)),
            }
        });
        Self {
            policy: board.model.policy().to_string(),
            reports: reports.collect(),
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

impl ReportOutput {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "cache model: {}: {}", self.kind, self.summary)?;
        let lines = self
            .lines
            .iter()
            .map(|[start, end]| format!("[{start}, {end})"));
        let lines = lines.collect::<Vec<_>>().join(", ");
        writeln!(text, "  lines:  {lines}")?;
        writeln!(text, "  where:  {}", self.at.sentence())?;
        if let Some(cause) = &self.cause {
            writeln!(text, "  before: {}", cause.sentence())?;
        }
        writeln!(text, "  do:     {}", self.advice)
    }
}

impl PlaceOutput {
    fn sentence(&self) -> String {
        let mut text = self
            .device
            .as_ref()
            .map_or_else(String::new, |device| format!("{device}, started at "));
        text += &self.pc;
        if !self.frames.is_empty() {
            text += &format!(" {}", self.frames.join(" in "));
        }
        match &self.process {
            Some(process) => text + &format!(", process {} {:?}", process.pid, process.name),
            None => text,
        }
    }
}

fn hex(value: u64) -> String {
    format!("{value:#x}")
}

fn range(lines: &Range<u64>) -> [String; 2] {
    [hex(lines.start), hex(lines.end)]
}

fn place<M: Memory>(board: &Board<M>, place: Place, frames: Vec<String>) -> PlaceOutput {
    let process = board.process(place.process);
    let channel = usize::try_from(place.master).unwrap_or(0).checked_sub(1);
    PlaceOutput {
        pc: hex(place.pc),
        exception_level: u8::from(place.pc >> 55 & 1 != 0),
        frames,
        process: process.map(|process| ProcessOutput {
            pid: process.pid,
            name: process.name.clone(),
        }),
        device: channel.map(zdma::channel_name),
    }
}
