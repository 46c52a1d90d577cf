// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fpgamem fill` and `fpgamem dump`: the bytes of a running process's buffer, as its CPU sees them.

use super::pattern::Pattern;
use super::{Found, Place};
use crate::cli::Global;
use crate::failure::Failure;
use crate::{output, Verdict};
use clap::Args;
use serde::Serialize;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt;

/// Bytes that are dumped if it is not said how many.
const DUMPED: u64 = 256;
/// Bytes that are read or written at once.
const CHUNK: u64 = 1 << 20;

/// Options of `fill`.
#[derive(Debug, Args)]
pub(crate) struct FillOptions {
    /// A byte as 0x5a, or "counter" (32-bit words), "address" (64-bit words: where they are) or
    /// "random:SEED"
    #[arg(value_name = "PATTERN")]
    pattern: Pattern,
    #[command(flatten)]
    place: Place,
}

/// Options of `dump`.
#[derive(Debug, Args)]
pub(crate) struct DumpOptions {
    #[command(flatten)]
    place: Place,
    /// Print the bytes as they are
    #[arg(long, conflicts_with_all = ["json", "check"])]
    raw: bool,
    /// Compare them with what `fill` writes, all of the buffer unless said otherwise; exit with 1 if
    /// they differ
    #[arg(long, value_name = "PATTERN")]
    check: Option<Pattern>,
}

/// What `fill` did.
#[derive(Debug, Serialize)]
struct Filled {
    pid: u32,
    phys_addr: u64,
    bytes: u64,
}

/// What `dump --check` found.
#[derive(Debug, Serialize)]
struct Checked {
    pid: u32,
    phys_addr: u64,
    bytes: u64,
    wrong_bytes: u64,
    /// The physical address of the first wrong byte, what is there and what was expected.
    first: Option<(u64, u8, u8)>,
}

/// What `dump` found.
#[derive(Debug, Serialize)]
struct Dumped {
    pid: u32,
    phys_addr: u64,
    hex: String,
}

/// Runs `fill`.
pub(crate) fn fill(global: &Global, options: &FillOptions) -> Result<Verdict, Failure> {
    let found = options.place.find(global, u64::MAX)?;
    let memory = memory(&found, true)?;
    for (offset, len) in chunks(&found) {
        let bytes = options.pattern.bytes(found.buffer.phys_addr, offset, len);
        let written = memory.write_all_at(&bytes, found.buffer.user_addr + offset);
        written.map_err(|error| refused(&found, error))?;
    }
    let filled = Filled {
        pid: found.pid,
        phys_addr: found.buffer.phys_addr + found.offset,
        bytes: found.bytes,
    };
    if global.json {
        output::json(&filled)?;
    } else {
        let Filled {
            pid,
            phys_addr,
            bytes,
        } = filled;
        output::text_line(&format!(
            "process {pid}: filled {bytes} bytes at {phys_addr:#x}"
        ))?;
    }
    Ok(Verdict::Good)
}

/// Runs `dump`.
pub(crate) fn dump(global: &Global, options: &DumpOptions) -> Result<Verdict, Failure> {
    if let Some(pattern) = options.check {
        return check(global, &options.place, pattern);
    }
    let found = options.place.find(global, DUMPED)?;
    let memory = memory(&found, false)?;
    let mut hex = String::new();
    for (offset, len) in chunks(&found) {
        let bytes = read(&memory, &found, offset, len)?;
        if options.raw {
            io::stdout().write_all(&bytes)?;
        } else if global.json {
            bytes.iter().for_each(|byte| {
                let _ = write!(hex, "{byte:02x}");
            });
        } else {
            output::text_line(lines(found.buffer.phys_addr + offset, &bytes).trim_end())?;
        }
    }
    if global.json {
        let phys_addr = found.buffer.phys_addr + found.offset;
        output::json(&Dumped {
            pid: found.pid,
            phys_addr,
            hex,
        })?;
    }
    io::stdout().flush()?;
    Ok(Verdict::Good)
}

fn check(global: &Global, place: &Place, pattern: Pattern) -> Result<Verdict, Failure> {
    let found = place.find(global, u64::MAX)?;
    let memory = memory(&found, false)?;
    let phys_addr = found.buffer.phys_addr;
    let (mut wrong_bytes, mut first) = (0, None);
    for (offset, len) in chunks(&found) {
        let bytes = read(&memory, &found, offset, len)?;
        let expected = pattern.bytes(phys_addr, offset, len);
        let pairs = (phys_addr + offset..).zip(bytes.into_iter().zip(expected));
        for (addr, (byte, expected)) in pairs.filter(|(_, (byte, expected))| byte != expected) {
            wrong_bytes += 1;
            first = first.or(Some((addr, byte, expected)));
        }
    }
    let checked = Checked {
        pid: found.pid,
        phys_addr: phys_addr + found.offset,
        bytes: found.bytes,
        wrong_bytes,
        first,
    };
    if global.json {
        output::json(&checked)?;
    } else {
        let mut text = format!(
            "process {}: {wrong_bytes} of {} bytes are wrong",
            found.pid, found.bytes
        );
        if let Some((addr, byte, expected)) = first {
            let _ = write!(
                text,
                ", the first at {addr:#x} is {byte:#04x} instead of {expected:#04x}"
            );
        }
        output::text_line(&text)?;
    }
    Ok(if wrong_bytes == 0 {
        Verdict::Good
    } else {
        Verdict::Bad
    })
}

/// Offsets and lengths of the pieces of a range.
fn chunks(found: &Found) -> impl Iterator<Item = (u64, usize)> {
    let (start, end) = (found.offset, found.offset + found.bytes);
    let starts = (0..found.bytes.div_ceil(CHUNK)).map(move |index| start + index * CHUNK);
    starts.map(move |offset| {
        (
            offset,
            usize::try_from(CHUNK.min(end - offset)).unwrap_or(0),
        )
    })
}

fn memory(found: &Found, write: bool) -> Result<File, Failure> {
    let file = OpenOptions::new()
        .read(true)
        .write(write)
        .open(format!("/proc/{}/mem", found.pid));
    file.map_err(|error| refused(found, error))
}

fn read(memory: &File, found: &Found, offset: u64, len: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; len];
    let done = memory.read_exact_at(&mut bytes, found.buffer.user_addr + offset);
    done.map_err(|error| refused(found, error))?;
    Ok(bytes)
}

fn refused(found: &Found, error: io::Error) -> Failure {
    let what = format!("cannot access the memory of process {}", found.pid);
    let way_out = "run it as root, or as the user of that process where ptrace is allowed \
                   (kernel.yama.ptrace_scope)";
    Failure::new(what, way_out).because(error)
}

/// Bytes in hexadecimal and as characters, behind their physical address.
fn lines(phys_addr: u64, bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, addr) in bytes.chunks(16).zip((phys_addr..).step_by(16)) {
        let _ = write!(text, "{addr:#011x} ");
        for index in 0..16 {
            let gap = if index == 8 { " " } else { "" };
            let _ = match line.get(index) {
                Some(byte) => write!(text, "{gap} {byte:02x}"),
                None => write!(text, "{gap}   "),
            };
        }
        let shown = |byte: &u8| {
            if byte.is_ascii_graphic() || *byte == b' ' {
                char::from(*byte)
            } else {
                '.'
            }
        };
        let _ = writeln!(text, "  {}", line.iter().map(shown).collect::<String>());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_with_their_place() {
        let text = lines(0x4000_0000, b"hello, fpga\x00\xff 3456!");
        let expected =
            "0x040000000  68 65 6c 6c 6f 2c 20 66  70 67 61 00 ff 20 33 34  hello, fpga.. 34\n\
                        0x040000010  35 36 21                                          56!\n";
        assert_eq!(text, expected);
    }
}
