// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parts of a module's file: sections, symbols and relocations.

use anyhow::{bail, Context as _, Result};

/// The section of the code that runs in calls.
pub(super) const TEXT: &str = ".text";

/// Bytes of a section's header, of a symbol and of a relocation.
const HEADER: usize = 64;
const SYMBOL: usize = 24;
const RELOCATION: usize = 24;
/// `SHT_RELA`.
const RELOCATIONS: usize = 4;
/// `SHF_ALLOC`.
const ALLOCATED: u64 = 2;
/// `STT_FUNC`.
const FUNCTION: usize = 2;

/// A relocatable file for a 64-bit little-endian machine.
pub(super) struct Elf(pub(super) Vec<u8>);

/// A section, with the place of its header in the file.
pub(super) struct Section {
    header: usize,
    pub(super) name: String,
    kind: usize,
    flags: u64,
    pub(super) offset: usize,
    pub(super) bytes: usize,
    link: usize,
    /// Of relocations: the section that they are for.
    info: usize,
}

impl Section {
    /// Whether it is there when the module is loaded.
    pub(super) fn is_loaded(&self) -> bool {
        self.flags & ALLOCATED != 0
    }
}

/// A symbol.
pub(super) struct Symbol {
    pub(super) name: String,
    /// Index of its section.
    pub(super) section: usize,
    pub(super) value: u64,
    pub(super) bytes: u64,
    pub(super) is_function: bool,
}

/// A relocation.
pub(super) struct Relocation {
    /// Index of the section that it is for, and the offset there.
    pub(super) section: usize,
    pub(super) offset: u64,
    pub(super) kind: u64,
    /// Index of a symbol, and what is added to it.
    pub(super) symbol: usize,
    pub(super) addend: u64,
}

impl Elf {
    pub(super) fn number(&self, at: usize, bytes: usize) -> Result<u64> {
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

    pub(super) fn sections(&self) -> Result<Vec<Section>> {
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
                kind: self.index(header + 0x4, 4)?,
                flags: self.number(header + 0x8, 8)?,
                offset: self.index(header + 0x18, 8)?,
                bytes: self.index(header + 0x20, 8)?,
                link: self.index(header + 0x28, 4)?,
                info: self.index(header + 0x2c, 4)?,
            })
        };
        (0..count).map(section).collect()
    }

    pub(super) fn symbols(&self, sections: &[Section]) -> Result<Vec<Symbol>> {
        let mut tables = sections.iter().filter(|section| section.name == ".symtab");
        let table = tables.next().context("the module has no section .symtab")?;
        let names = sections.get(table.link).context("symbols have no names")?;
        let symbol = |at: usize| {
            Ok(Symbol {
                name: self.text(names.offset + self.index(at, 4)?)?,
                section: self.index(at + 6, 2)?,
                value: self.number(at + 8, 8)?,
                bytes: self.number(at + 16, 8)?,
                is_function: self.index(at + 4, 1)? & 0xf == FUNCTION,
            })
        };
        let places = (table.offset..table.offset + table.bytes).step_by(SYMBOL);
        places.map(symbol).collect()
    }

    /// All of what is loaded.
    pub(super) fn relocations(&self, sections: &[Section]) -> Result<Vec<Relocation>> {
        let mut relocations = Vec::new();
        for table in sections.iter().filter(|table| table.kind == RELOCATIONS) {
            if !sections.get(table.info).is_some_and(Section::is_loaded) {
                continue;
            }
            for at in (table.offset..table.offset + table.bytes).step_by(RELOCATION) {
                relocations.push(Relocation {
                    section: table.info,
                    offset: self.number(at, 8)?,
                    kind: self.number(at + 8, 4)?,
                    symbol: self.index(at + 12, 4)?,
                    addend: self.number(at + 16, 8)?,
                });
            }
        }
        Ok(relocations)
    }

    /// Gives each section that is loaded an address of its own, so that an address in the code means
    /// no other section, all of which begin at 0.
    pub(super) fn move_sections_apart(&mut self) -> Result<()> {
        let sections = self.sections()?;
        let others = sections
            .iter()
            .filter(|section| section.is_loaded() && section.name != TEXT);
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
    fn what_is_no_module_is_refused() {
        assert!(Elf(b"\x7fELF\x01\x01".to_vec()).sections().is_err());
        assert!(Elf(b"\x7fELF\x02\x01\x01".to_vec()).sections().is_err());
    }
}
