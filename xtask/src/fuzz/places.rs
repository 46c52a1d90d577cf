// SPDX-License-Identifier: MIT OR Apache-2.0

//! The places of the driver that KCOV tells apart: what the compiler has instrumented.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{bail, Context as _, Result};
use serde_json::Value;

use super::calls::{self, Call, Never};
use super::elf::Elf;
use crate::toolchain::LLVM;

/// Where in the driver a place is, for an inlined function and those that it was inlined into.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Relative to the driver's folder.
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) function: String,
}

/// An instrumented place.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// What KCOV tells, from the start of the code on.
    pub(super) offset: u64,
    /// The innermost function, be it the driver's or not.
    pub(super) innermost: String,
    /// The driver's own functions, innermost first.
    pub(super) frames: Vec<Frame>,
    /// Why it cannot be reached.
    pub(super) never: Option<Never>,
}

/// The places of a module, whose sources are in `driver`; `scratch` becomes a file.
pub(super) fn of_module(module: &Path, driver: &Path, scratch: &Path) -> Result<Vec<Place>> {
    let mut elf = Elf(fs::read(module)?);
    let calls = calls::of(&elf)?;
    elf.move_sections_apart()?;
    fs::write(scratch, &elf.0)?;
    symbolize(&calls, scratch, driver)
}

fn symbolize(calls: &[Call], module: &Path, driver: &Path) -> Result<Vec<Place>> {
    let mut child = Command::new(format!("llvm-symbolizer-{LLVM}"))
        .args(["--output-style=JSON", "--functions=short", "--obj"])
        .arg(module)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run llvm-symbolizer")?;
    let mut input = child.stdin.take().context("llvm-symbolizer has no input")?;
    let text: String = calls
        .iter()
        .map(|call| format!("{:#x}\n", call.offset))
        .collect();
    // Its answers fill the pipe before it has read all.
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().ok().context("no addresses were written")??;
    let text = String::from_utf8_lossy(&output.stdout);
    let answers: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    if answers.len() != calls.len() {
        bail!("{} of {} places have a name", answers.len(), calls.len());
    }
    let places = calls.iter().zip(answers);
    places
        .map(|(call, answer)| place(*call, answer, driver))
        .collect()
}

/// The place of a call, from the symbolizer's answer.
fn place(call: Call, answer: &str, driver: &Path) -> Result<Place> {
    let answer: Value = serde_json::from_str(answer).context("llvm-symbolizer writes no JSON")?;
    let frames = answer["Symbol"].as_array().cloned().unwrap_or_default();
    let name = |frame: &Value| {
        frame["FunctionName"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let own = |frame: &Value| {
        let file = Path::new(frame["FileName"].as_str()?)
            .strip_prefix(driver)
            .ok()?;
        Some(Frame {
            file: file.display().to_string(),
            line: frame["Line"].as_u64()?,
            column: frame["Column"].as_u64()?,
            function: name(frame),
        })
    };
    Ok(Place {
        // KCOV tells where the call returns to.
        offset: call.offset + 4,
        innermost: frames.first().map(name).unwrap_or_default(),
        frames: frames.iter().filter_map(own).collect(),
        never: call.never,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_the_drivers_frames_alone() {
        let answer = r#"{"Symbol":[
            {"FunctionName":"branch","FileName":"/rust/core/result.rs","Line":9,"Column":1},
            {"FunctionName":"info","FileName":"/d/file.rs","Line":7,"Column":3},
            {"FunctionName":"ioctl","FileName":"/d/kapi/misc.rs","Line":2,"Column":5}]}"#;
        let call = Call {
            offset: 0x10,
            never: None,
        };
        let place = place(call, answer, Path::new("/d")).unwrap();
        assert_eq!((place.offset, place.innermost.as_str()), (0x14, "branch"));
        let frames: Vec<_> = place
            .frames
            .iter()
            .map(|f| (f.file.as_str(), f.line))
            .collect();
        assert_eq!(frames, [("file.rs", 7), ("kapi/misc.rs", 2)]);
    }
}
