// SPDX-License-Identifier: GPL-2.0-or-later

//! One ELF file: where in memory its code lies, and the names of what is there.

use crate::memory::host;
use crate::symbols::{Code, Frame};
use crate::unwind::{ReadWord, Registers, Unwinder};
use addr2line::Context;
use gimli::{Dwarf, EndianArcSlice, LittleEndian, SectionId};
use object::{Object, ObjectKind, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};
use std::path::Path;
use std::sync::Arc;
use std::{fmt, fs, io};

const INSTRUCTION: usize = 4;
const PAGE: u64 = 4096;

type Lines = Context<EndianArcSlice<LittleEndian>>;

/// A section of code.
#[derive(Debug)]
struct Text {
    section: object::SectionIndex,
    /// As the file has it; 0 in a module, which is linked when it is loaded.
    address: u64,
    bytes: Vec<u8>,
    /// What was last found: the difference between addresses in memory and in the file.
    bias: Option<u64>,
}

/// A program or a kernel module.
pub(crate) struct Elf {
    name: String,
    /// Modules are changed where they refer to symbols when they are loaded.
    is_module: bool,
    texts: Vec<Text>,
    /// Section, address and name of the functions, by address.
    functions: Vec<(object::SectionIndex, u64, String)>,
    lines: Option<Lines>,
    unwinder: Option<Unwinder>,
}

/// Where in a file an instruction is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    section: object::SectionIndex,
    address: u64,
}

impl fmt::Debug for Elf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elf")
            .field("name", &self.name)
            .field("functions", &self.functions.len())
            .finish_non_exhaustive()
    }
}

impl Elf {
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        let file = object::File::parse(&*bytes).map_err(io::Error::other)?;
        let texts = file
            .sections()
            .filter(|section| section.kind() == SectionKind::Text)
            .filter_map(|section| {
                Some(Text {
                    section: section.index(),
                    address: section.address(),
                    bytes: section.data().ok()?.to_vec(),
                    bias: None,
                })
            })
            .collect();
        let mut functions = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text)
            .filter_map(|symbol| {
                let name = rustc_demangle::demangle(symbol.name().ok()?);
                Some((
                    symbol.section_index()?,
                    symbol.address(),
                    format!("{name:#}"),
                ))
            })
            .collect::<Vec<_>>();
        functions.sort_by_key(|(_, address, _)| *address);
        let is_module = file.kind() == ObjectKind::Relocatable;
        Ok(Self {
            name: path
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            is_module,
            texts,
            functions,
            // The line tables of a module would have to be linked first.
            lines: if is_module { None } else { lines(&file) },
            unwinder: if is_module {
                None
            } else {
                Unwinder::new(&file)
            },
        })
    }

    /// Where `pc` is, if `code` is from this file.
    pub(crate) fn locate(&mut self, pc: u64, code: &Code) -> Option<Spot> {
        let is_module = self.is_module;
        self.texts.iter_mut().find_map(|text| {
            let bias = text.find(code, is_module)?;
            Some(Spot {
                section: text.section,
                address: pc.wrapping_sub(bias),
            })
        })
    }

    /// Whether the function there can still return by the link register.
    pub(crate) fn returns_by_link(&self, spot: &Spot) -> bool {
        let unwinder = self.unwinder.as_ref();
        unwinder.is_some_and(|unwinder| unwinder.returns_by_link(spot.address))
    }

    /// As [`Unwinder::step`].
    pub(crate) fn step(
        &self,
        spot: &Spot,
        registers: &mut Registers,
        read: &ReadWord<'_>,
    ) -> Option<u64> {
        self.unwinder.as_ref()?.step(spot.address, registers, read)
    }

    /// The functions there, innermost first.
    pub(crate) fn frames(&self, spot: &Spot) -> Vec<Frame> {
        let Spot { section, address } = *spot;
        if let Some(frames) = self
            .lines
            .as_ref()
            .and_then(|lines| inlined(lines, address))
        {
            return frames;
        }
        let of_section = |function: &&(object::SectionIndex, u64, String)| function.0 == section;
        let after = self
            .functions
            .partition_point(|(_, start, _)| *start <= address);
        let found = self.functions[..after].iter().rev().find(of_section);
        let (start, function) = match found {
            Some((_, start, name)) => (*start, name.clone()),
            None => (0, "?".to_owned()),
        };
        vec![Frame {
            function,
            location: format!("{} +{:#x}", self.name, address - start),
        }]
    }
}

/// Reads the line tables, if the file has any.
fn lines(file: &object::File<'_>) -> Option<Lines> {
    let section = |id: SectionId| {
        let data = file.section_by_name(id.name());
        let data = data.and_then(|section| section.data().ok());
        let bytes: Arc<[u8]> = data.unwrap_or_default().into();
        Ok::<_, gimli::Error>(EndianArcSlice::new(bytes, LittleEndian))
    };
    Context::from_dwarf(Dwarf::load(section).ok()?).ok()
}

/// The functions at an address of the file with the place in their source.
fn inlined(lines: &Lines, address: u64) -> Option<Vec<Frame>> {
    let mut frames = lines.find_frames(address).skip_all_loads().ok()?;
    let mut names = Vec::new();
    while let Ok(Some(frame)) = frames.next() {
        let function = frame.function.as_ref().and_then(|f| f.demangle().ok());
        let location = frame.location.as_ref();
        let line = location.and_then(|location| Some((location.file?, location.line?)));
        names.push(Frame {
            function: function.as_deref().unwrap_or("?").to_owned(),
            location: line.map_or_else(|| "?".to_owned(), |(file, line)| format!("{file}:{line}")),
        });
    }
    (!names.is_empty()).then_some(names)
}

impl Text {
    /// The bias at which `code` is this section's.
    fn find(&mut self, code: &Code, is_module: bool) -> Option<u64> {
        let fits = |bias: u64| {
            let at = usize::try_from(code.address.wrapping_sub(bias).wrapping_sub(self.address));
            let at = at.ok()?;
            let own = self.bytes.get(at..at.checked_add(code.bytes.len())?)?;
            Some(similarity(own, &code.bytes))
        };
        let words = code.bytes.len() / INSTRUCTION;
        let enough = if is_module { words / 2 } else { words };
        if let Some(bias) = self.bias {
            if fits(bias).is_some_and(|equal| equal >= enough) {
                return Some(bias);
            }
        }
        // Programs are mapped by whole pages; modules are laid out when they are loaded.
        let step = if is_module { INSTRUCTION } else { host(PAGE) };
        let first = if is_module {
            0
        } else {
            host((code.address.wrapping_sub(self.address)) % PAGE)
        };
        let candidates = (first..self.bytes.len()).step_by(step);
        let best = candidates
            .filter_map(|at| {
                let bias = code.address.wrapping_sub(self.address + at as u64);
                Some((fits(bias)?, bias))
            })
            .max_by_key(|(equal, _)| *equal)?;
        self.bias = (words > 0 && best.0 >= enough).then_some(best.1);
        self.bias
    }
}

/// The number of instructions that are the same.
fn similarity(a: &[u8], b: &[u8]) -> usize {
    let words = a.chunks_exact(INSTRUCTION).zip(b.chunks_exact(INSTRUCTION));
    words.filter(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code in which every instruction is different.
    fn text(address: u64) -> Text {
        let words = (0..4096_u32).map(|i| i.wrapping_mul(0x9e37_79b9));
        Text {
            section: object::SectionIndex(1),
            address,
            bytes: words.flat_map(u32::to_le_bytes).collect(),
            bias: None,
        }
    }

    fn code(text: &Text, bias: u64, at: usize) -> Code {
        Code {
            address: text.address + at as u64 + bias,
            bytes: text.bytes[at..at + 64].to_vec(),
        }
    }

    #[test]
    fn a_program_is_found_wherever_it_is_mapped() {
        let mut text = text(0x1_2340);
        for bias in [0, 0x5555_5555_4000] {
            let code = code(&text, bias, 0x2100);
            assert_eq!(text.find(&code, false), Some(bias));
        }
    }

    #[test]
    fn another_program_is_not_found() {
        let mut text = text(0x1_2340);
        let mut code = code(&text, 0, 0x2100);
        code.bytes[5] ^= 1;
        assert_eq!(text.find(&code, false), None);
    }

    #[test]
    fn a_module_is_found_though_its_calls_are_linked() {
        let mut text = text(0);
        let mut code = code(&text, 0xffff_8000_7a01_0230, 0x2104);
        for at in [0, 12, 40] {
            code.bytes[at..at + 4].fill(0xee);
        }
        assert_eq!(text.find(&code, true), Some(0xffff_8000_7a01_0230));
        code.bytes.fill(0xee);
        assert_eq!(text.find(&code, true), None);
    }

    /// A function that no optimization takes away.
    #[inline(never)]
    fn a_function_to_be_found(seed: u32) -> u32 {
        let mut value = std::hint::black_box(seed);
        for round in 0..std::hint::black_box(3) {
            value = std::hint::black_box(value.rotate_left(round) ^ 0x5eed);
        }
        value
    }

    #[test]
    fn this_test_program_names_its_own_functions() {
        assert_ne!(a_function_to_be_found(1), 1);
        let mut elf = Elf::read(&std::env::current_exe().unwrap()).unwrap();
        let text = elf
            .texts
            .iter()
            .find(|text| text.bytes.len() > 0x1_0000)
            .unwrap();
        let wanted = elf
            .functions
            .iter()
            .find(|f| f.2.contains("a_function_to_be_found"));
        let start = wanted.unwrap().1;
        let at = host(start - text.address) / INSTRUCTION * INSTRUCTION;
        let code = code(text, 0x10_0000, at);
        let spot = elf.locate(start + 0x10_0000, &code).unwrap();
        let frames = elf.frames(&spot);
        // What the compiler inlined comes before it.
        let own = frames.last().unwrap();
        assert!(
            own.function.contains("a_function_to_be_found"),
            "{frames:?}"
        );
        assert!(own.location.contains("elf.rs:"), "{frames:?}");
    }
}
