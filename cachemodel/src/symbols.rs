// SPDX-License-Identifier: GPL-2.0-or-later

//! Names for addresses of instructions.
//!
//! The kernel's are in its System.map. Programs and modules lie anywhere, so the code around an
//! address is looked for in the ELF files at hand.

use crate::elf::Elf;
use std::path::Path;
use std::{fs, io};

/// Code around an instruction, as it lies in the board's memory.
#[derive(Clone, Debug)]
pub struct Code {
    /// Address of the first byte.
    pub address: u64,
    /// Whole instructions.
    pub bytes: Vec<u8>,
}

/// All symbols at hand.
#[derive(Debug, Default)]
pub struct Symbols {
    /// Of the kernel, by address.
    kernel: Vec<(u64, String)>,
    objects: Vec<Elf>,
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

    /// Reads the symbols of a program or module.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or is no ELF file.
    pub fn add_object(&mut self, path: &Path) -> Result<(), String> {
        self.objects.push(Elf::read(path)?);
        Ok(())
    }

    /// The address of a symbol of the kernel.
    pub fn kernel_address(&self, name: &str) -> Option<u64> {
        let (address, _) = self.kernel.iter().find(|(_, symbol)| symbol == name)?;
        Some(*address)
    }

    /// The functions that the instruction at `pc` belongs to, innermost first: more than one where
    /// the compiler inlined. Empty if nothing is known.
    pub fn frames(&mut self, pc: u64, code: Option<&Code>) -> Vec<String> {
        if let Some(frame) = self.kernel_frame(pc) {
            return vec![frame];
        }
        let Some(code) = code else {
            return Vec::new();
        };
        self.objects
            .iter_mut()
            .find_map(|object| object.frames(pc, code))
            .unwrap_or_default()
    }

    fn kernel_frame(&self, pc: u64) -> Option<String> {
        let (start, end) = (
            self.kernel_address("_stext")?,
            self.kernel_address("_etext")?,
        );
        if !(start..end).contains(&pc) {
            return None;
        }
        let after = self.kernel.partition_point(|(address, _)| *address <= pc);
        let (address, name) = self.kernel.get(after.checked_sub(1)?)?;
        Some(format!("{name}+{:#x}", pc - address))
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
        let frames = symbols.frames(0xffff_8000_8001_0140, None);
        assert_eq!(frames, ["memcpy+0x40"]);
        let frames = symbols.frames(0xffff_8000_8001_0200, None);
        assert_eq!(frames, ["memset+0x0"]);
    }

    #[test]
    fn addresses_outside_of_the_kernel_have_no_name() {
        assert!(symbols().frames(0x40_0000, None).is_empty());
        assert!(symbols().frames(0xffff_8000_8002_0000, None).is_empty());
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
