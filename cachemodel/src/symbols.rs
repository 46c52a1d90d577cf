// SPDX-License-Identifier: GPL-2.0-or-later

//! Names for addresses of instructions.
//!
//! The kernel's are in its System.map. Programs and modules lie anywhere, so the code around an
//! address is looked for in the ELF files at hand.

use crate::elf::Elf;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Code around an instruction, as it lies in the board's memory.
#[derive(Clone, Debug)]
pub struct Code {
    /// Address of the first byte.
    pub address: u64,
    /// Whole instructions.
    pub bytes: Vec<u8>,
}

/// A function that an instruction is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its name.
    pub function: String,
    /// Where in it: a file and line, or else an offset from its start.
    pub location: String,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.function, self.location)
    }
}

/// All symbols at hand.
#[derive(Debug, Default)]
pub struct Symbols {
    /// Of the kernel, by address.
    kernel: Vec<(u64, String)>,
    objects: Vec<Object>,
}

/// An ELF file, read when it is first needed.
#[derive(Debug)]
enum Object {
    Unread(PathBuf),
    Read(Box<Elf>),
    /// Not an ELF file after all.
    Useless,
}

impl Object {
    /// Whether it is the program of a process, whose name the kernel cuts at 15 bytes.
    fn is_named(&self, process: &str) -> bool {
        let Self::Unread(path) = self else {
            return true;
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !process.is_empty() && name.starts_with(process)
    }

    fn frames(&mut self, pc: u64, code: &Code) -> Option<Vec<Frame>> {
        if let Self::Unread(path) = self {
            *self = match Elf::read(path) {
                Ok(elf) => Self::Read(Box::new(elf)),
                Err(_) => Self::Useless,
            };
        }
        match self {
            Self::Read(elf) => elf.frames(pc, code),
            _ => None,
        }
    }
}

impl Symbols {
    /// Reads a kernel's System.map.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn add_system_map(&mut self, path: &Path) -> io::Result<()> {
        self.kernel = parse_system_map(&fs::read_to_string(path)?);
        Ok(())
    }

    /// Adds a program or module. A file that is none of these is no error.
    pub fn add_object(&mut self, path: PathBuf) {
        self.objects.push(Object::Unread(path));
    }

    /// The address of a symbol of the kernel.
    pub fn kernel_address(&self, name: &str) -> Option<u64> {
        let (address, _) = self.kernel.iter().find(|(_, symbol)| symbol == name)?;
        Some(*address)
    }

    /// The functions that the instruction at `pc` belongs to, innermost first: more than one where
    /// the compiler inlined. Empty if nothing is known. `process` is the name of the process that
    /// executed it.
    pub fn frames(&mut self, pc: u64, code: Option<&Code>, process: &str) -> Vec<Frame> {
        if let Some(frame) = self.kernel_frame(pc) {
            return vec![frame];
        }
        let Some(code) = code else {
            return Vec::new();
        };
        // What is at hand, and what is likely, before what must be read.
        for likely in [true, false] {
            let objects = self.objects.iter_mut();
            let found = objects
                .filter(|object| object.is_named(process) == likely)
                .find_map(|object| object.frames(pc, code));
            if let Some(frames) = found {
                return frames;
            }
        }
        Vec::new()
    }

    fn kernel_frame(&self, pc: u64) -> Option<Frame> {
        let (start, end) = (
            self.kernel_address("_stext")?,
            self.kernel_address("_etext")?,
        );
        if !(start..end).contains(&pc) {
            return None;
        }
        let after = self.kernel.partition_point(|(address, _)| *address <= pc);
        let (address, name) = self.kernel.get(after.checked_sub(1)?)?;
        Some(Frame {
            function: name.clone(),
            location: format!("kernel +{:#x}", pc - address),
        })
    }
}

/// The symbols of a System.map, sorted by address.
fn parse_system_map(text: &str) -> Vec<(u64, String)> {
    let symbol = |line: &str| {
        let mut words = line.split_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        let name = words.nth(1)?;
        // Mapping symbols tell code from data, not functions from each other.
        (!name.starts_with('$')).then(|| (address, name.to_owned()))
    };
    let mut symbols = text.lines().filter_map(symbol).collect::<Vec<_>>();
    symbols.sort_by_key(|(address, _)| *address);
    symbols
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "\
ffff800080000000 T _text
ffff800080010000 T _stext
ffff800080010000 t $x
ffff800080010100 T memcpy
ffff800080010200 T memset
ffff800080020000 D _etext
ffff800080480f0 D __entry_task
";

    fn symbols() -> Symbols {
        Symbols {
            kernel: parse_system_map(MAP),
            objects: Vec::new(),
        }
    }

    #[test]
    fn kernel_functions_are_named_with_the_offset() {
        let mut symbols = symbols();
        let mut name = |pc| symbols.frames(pc, None, "")[0].to_string();
        assert_eq!(name(0xffff_8000_8001_0140), "memcpy (kernel +0x40)");
        assert_eq!(name(0xffff_8000_8001_0200), "memset (kernel +0x0)");
    }

    #[test]
    fn addresses_outside_of_the_kernel_have_no_name() {
        assert!(symbols().frames(0x40_0000, None, "").is_empty());
        assert!(symbols().frames(0xffff_8000_8002_0000, None, "").is_empty());
    }

    #[test]
    fn data_of_the_kernel_is_found_by_name() {
        let symbols = symbols();
        assert_eq!(
            symbols.kernel_address("__entry_task"),
            Some(0xfff_f800_0804_80f0)
        );
        assert_eq!(symbols.kernel_address("nothing"), None);
    }
}
