// SPDX-License-Identifier: MIT OR Apache-2.0

//! The places of the driver that KCOV tells apart: what the compiler has instrumented.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{bail, Context as _, Result};
use serde_json::Value;

use crate::toolchain::LLVM;

/// What instrumented code calls.
const TRACER: &str = "__sanitizer_cov_trace_pc";
/// The section of the code that runs in calls.
const TEXT: &str = ".text";

/// `R_AARCH64_CALL26`.
const CALL: u64 = 283;
/// What names of functions that begin a panic contain.
const PANICS: [&str; 2] = ["panicking", "__asan_handle_no_return"];

/// Bytes of a section's header, of a symbol and of a relocation.
const HEADER: usize = 64;
const SYMBOL: usize = 24;
const RELOCATION: usize = 24;
/// `SHF_ALLOC`.
const ALLOCATED: u64 = 2;

/// Where in the driver a place is, for an inlined function and those that it was inlined into.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Relative to the driver's folder.
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) column: u64,
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
    /// It ends in a panic: a check that no input can make fail, unless the driver has a bug.
    pub(super) panics: bool,
}

/// A call of [`TRACER`].
#[derive(Debug, Clone, Copy)]
struct Call {
    offset: u64,
    panics: bool,
}

/// The places of a module, whose sources are in `driver`; `scratch` becomes a file.
pub(super) fn of_module(module: &Path, driver: &Path, scratch: &Path) -> Result<Vec<Place>> {
    let mut elf = Elf(fs::read(module)?);
    let calls = elf.calls()?;
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
        })
    };
    Ok(Place {
        // KCOV tells where the call returns to.
        offset: call.offset + 4,
        innermost: frames.first().map(name).unwrap_or_default(),
        frames: frames.iter().filter_map(own).collect(),
        panics: call.panics,
    })
}

/// Whether an instruction of aarch64 is a branch or a return.
fn is_branch(instruction: u64) -> bool {
    let conditional = instruction >> 24 == 0x54;
    let compare_or_test = matches!(instruction >> 24 & 0x7e, 0x34 | 0x36);
    conditional || compare_or_test || instruction >> 26 == 0x05 || instruction >> 25 == 0x6b
}

/// A relocatable file for a 64-bit little-endian machine.
struct Elf(Vec<u8>);

/// A section, with the place of its header in the file.
struct Section {
    header: usize,
    name: String,
    flags: u64,
    offset: usize,
    bytes: usize,
    link: usize,
}

impl Elf {
    fn number(&self, at: usize, bytes: usize) -> Result<u64> {
        let found = self
            .0
            .get(at..at + bytes)
            .context("the module is cut off")?;
        let digits = found.iter().rev();
        Ok(digits.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn index(&self, at: usize, bytes: usize) -> Result<usize> {
        Ok(usize::try_from(self.number(at, bytes)?)?)
    }

    fn text(&self, at: usize) -> Result<String> {
        let rest = self.0.get(at..).context("the module is cut off")?;
        let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn sections(&self) -> Result<Vec<Section>> {
        if !self.0.starts_with(b"\x7fELF\x02\x01") {
            bail!("the module is no 64-bit little-endian ELF file");
        }
        let (first, count) = (self.index(0x28, 8)?, self.index(0x3c, 2)?);
        let names = self.index(0x3e, 2)?;
        let names = self.index(first + names * HEADER + 0x18, 8)?;
        let section = |index: usize| {
            let header = first + index * HEADER;
            Ok(Section {
                header,
                name: self.text(names + self.index(header, 4)?)?,
                flags: self.number(header + 0x8, 8)?,
                offset: self.index(header + 0x18, 8)?,
                bytes: self.index(header + 0x20, 8)?,
                link: self.index(header + 0x28, 4)?,
            })
        };
        (0..count).map(section).collect()
    }

    /// Where in the code [`TRACER`] is called.
    fn calls(&self) -> Result<Vec<Call>> {
        let sections = self.sections()?;
        let named = |name: &str| {
            let found = sections.iter().find(|section| section.name == name);
            found.with_context(|| format!("the module has no section {name}"))
        };
        let (relocations, symbols) = (named(&format!(".rela{TEXT}"))?, named(".symtab")?);
        let names = sections.get(symbols.link);
        let names = names.context("symbols have no names")?;
        let mut callees = BTreeMap::new();
        for at in (0..relocations.bytes).step_by(RELOCATION) {
            let at = relocations.offset + at;
            if self.number(at + 8, 4)? != CALL {
                continue;
            }
            let symbol = self.index(at + 12, 4)?;
            let name = self.index(symbols.offset + symbol * SYMBOL, 4)?;
            callees.insert(self.number(at, 8)?, self.text(names.offset + name)?);
        }
        let text = named(TEXT)?;
        let mut calls = Vec::new();
        for (&offset, _) in callees.iter().filter(|(_, callee)| *callee == TRACER) {
            let panics = self.panics_after(offset, text, &callees)?;
            calls.push(Call { offset, panics });
        }
        if calls.is_empty() {
            bail!("the module is not instrumented: its kernel lacks CONFIG_KCOV");
        }
        Ok(calls)
    }

    /// Whether what follows a call comes to a panic without a choice.
    fn panics_after(
        &self,
        call: u64,
        text: &Section,
        callees: &BTreeMap<u64, String>,
    ) -> Result<bool> {
        let end = u64::try_from(text.bytes)?;
        for offset in (call + 4..end).step_by(4) {
            if let Some(callee) = callees.get(&offset) {
                return Ok(PANICS.iter().any(|name| callee.contains(name)));
            }
            let instruction = self.number(text.offset + usize::try_from(offset)?, 4)?;
            if is_branch(instruction) {
                break;
            }
        }
        Ok(false)
    }

    /// Gives each section that is loaded an address of its own, so that an address in the code means
    /// no other section, all of which begin at 0.
    fn move_sections_apart(&mut self) -> Result<()> {
        let sections = self.sections()?;
        let others = sections
            .iter()
            .filter(|section| section.flags & ALLOCATED != 0 && section.name != TEXT);
        for (section, address) in others.zip((1u64..).map(|i| i << 28)) {
            let at = section.header + 0x10;
            let field = self
                .0
                .get_mut(at..at + 8)
                .context("the module is cut off")?;
            field.copy_from_slice(&address.to_le_bytes());
        }
        Ok(())
    }
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
            panics: false,
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

    #[test]
    fn branches_are_told_from_other_instructions() {
        // b, b.eq, cbz, cbnz, tbz, tbnz, br, ret
        let branches = [
            0x1400_0001,
            0x5400_0020,
            0xb400_0020,
            0x3500_0020,
            0x3600_0020,
            0x3700_0020,
            0xd61f_0000,
            0xd65f_03c0,
        ];
        assert!(branches.into_iter().all(is_branch));
        // add, ldr, mov, bl, nop
        let others = [
            0x9100_0000,
            0xf940_0000,
            0xd280_0000,
            0x9400_0000,
            0xd503_201f,
        ];
        assert!(!others.into_iter().any(is_branch));
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(Elf(b"\x7fELF\x01\x01".to_vec()).sections().is_err());
        assert!(Elf(b"\x7fELF\x02\x01\x01".to_vec()).sections().is_err());
    }
}
