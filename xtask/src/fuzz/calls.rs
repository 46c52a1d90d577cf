// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where a module's code calls the tracer, and what of that code cannot run.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{bail, Context as _, Result};

use super::elf::{Elf, Relocation, Section, Symbol, TEXT};

/// What instrumented code calls.
const TRACER: &str = "__sanitizer_cov_trace_pc";

/// `R_AARCH64_CALL26`.
const CALL: u64 = 283;
/// What names of functions that begin a panic contain.
const PANICS: [&str; 2] = ["panicking", "__asan_handle_no_return"];

/// Sections that name functions without a way to call them.
const TABLES: [&str; 5] = [
    ".eh_frame",
    "__patchable_function_entries",
    "__bug_table",
    "__jump_table",
    "__ex_table",
];

/// Why code cannot run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Never {
    /// It ends in a panic: a check that no input can make fail, unless the driver has a bug.
    Panics,
    /// Nothing calls its function, all callers of which have a copy of their own.
    Unused,
}

/// A call of the tracer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) offset: u64,
    pub(super) never: Option<Never>,
}

/// Where in the code the tracer is called.
pub(super) fn of(elf: &Elf) -> Result<Vec<Call>> {
    let sections = elf.sections()?;
    let symbols = elf.symbols(&sections)?;
    let relocations = elf.relocations(&sections)?;
    let index = sections.iter().position(|section| section.name == TEXT);
    let index = index.with_context(|| format!("the module has no section {TEXT}"))?;
    let functions = symbols
        .iter()
        .filter(|s| s.is_function && s.section == index);
    let code = Code {
        elf,
        text: &sections[index],
        index,
        symbols: &symbols,
        relocations: &relocations,
        functions: functions.map(|s| (s.value, s.value + s.bytes)).collect(),
    };
    let callees = code.callees();
    let used = code.used(&sections)?;
    let mut calls = Vec::new();
    for (&offset, _) in callees.iter().filter(|(_, callee)| **callee == TRACER) {
        let function = code.function_at(offset);
        let never = if function.is_some_and(|start| !used.contains(&start)) {
            Some(Never::Unused)
        } else if code.panics_after(offset, &callees)? {
            Some(Never::Panics)
        } else {
            None
        };
        calls.push(Call { offset, never });
    }
    if calls.is_empty() {
        bail!("the module is not instrumented: its kernel lacks CONFIG_KCOV");
    }
    Ok(calls)
}

struct Code<'a> {
    elf: &'a Elf,
    text: &'a Section,
    /// Of the section.
    index: usize,
    symbols: &'a [Symbol],
    relocations: &'a [Relocation],
    /// First offset and the one after the last.
    functions: BTreeMap<u64, u64>,
}

impl<'a> Code<'a> {
    /// Names of what is called, by the offset of the call.
    fn callees(&self) -> BTreeMap<u64, &'a str> {
        let calls = self.relocations.iter();
        let calls = calls.filter(|r| r.section == self.index && r.kind == CALL);
        let named =
            calls.filter_map(|r| Some((r.offset, self.symbols.get(r.symbol)?.name.as_str())));
        named.collect()
    }

    /// Where the function begins that an offset is in.
    fn function_at(&self, offset: u64) -> Option<u64> {
        let (&start, &end) = self.functions.range(..=offset).next_back()?;
        (offset < end).then_some(start)
    }

    /// Where the functions begin that something refers to which can run, or that data refers to.
    fn used(&self, sections: &[Section]) -> Result<BTreeSet<u64>> {
        // By function, those that it refers to.
        let mut references = BTreeMap::<u64, Vec<u64>>::new();
        let mut used = Vec::new();
        let mut enter = |from: Option<u64>, to: u64| match from {
            Some(from) => references.entry(from).or_default().push(to),
            None => used.push(to),
        };
        let mut relocated = BTreeSet::new();
        for relocation in self.relocations {
            let within = relocation.section == self.index;
            let from = within
                .then(|| self.function_at(relocation.offset))
                .flatten();
            if within {
                relocated.insert(relocation.offset);
            }
            let section = sections.get(relocation.section);
            let symbol = self.symbols.get(relocation.symbol);
            let (Some(section), Some(symbol)) = (section, symbol) else {
                bail!("a relocation of the module is for nothing");
            };
            if symbol.section != self.index || TABLES.contains(&section.name.as_str()) {
                continue;
            }
            let target = symbol.value.wrapping_add(relocation.addend);
            if let Some(to) = self.function_at(target) {
                enter(from, to);
            }
        }
        for offset in (0..u64::try_from(self.text.bytes)?).step_by(4) {
            let target = branch_target(offset, self.instruction(offset)?);
            let Some(target) = target.filter(|_| !relocated.contains(&offset)) else {
                continue;
            };
            if let Some(to) = self.function_at(target) {
                enter(self.function_at(offset), to);
            }
        }
        let mut all = BTreeSet::new();
        while let Some(function) = used.pop() {
            if all.insert(function) {
                used.extend(references.remove(&function).unwrap_or_default());
            }
        }
        Ok(all)
    }

    fn instruction(&self, offset: u64) -> Result<u64> {
        let at = self.text.offset + usize::try_from(offset)?;
        self.elf.number(at, 4)
    }

    /// Whether what follows a call comes to a panic without a choice.
    fn panics_after(&self, call: u64, callees: &BTreeMap<u64, &str>) -> Result<bool> {
        let end = u64::try_from(self.text.bytes)?;
        for offset in (call + 4..end).step_by(4) {
            if let Some(callee) = callees.get(&offset) {
                return Ok(PANICS.iter().any(|name| callee.contains(name)));
            }
            if is_branch(self.instruction(offset)?) {
                break;
            }
        }
        Ok(false)
    }
}

/// Whether an instruction of aarch64 is a branch or a return.
fn is_branch(instruction: u64) -> bool {
    let conditional = instruction >> 24 == 0x54;
    let compare_or_test = matches!(instruction >> 24 & 0x7e, 0x34 | 0x36);
    conditional || compare_or_test || instruction >> 26 == 0x05 || instruction >> 25 == 0x6b
}

/// Where a call or an unconditional branch at an offset goes.
fn branch_target(offset: u64, instruction: u64) -> Option<u64> {
    // A number of 26 bits with a sign, in instructions.
    let forward = instruction & 0x03ff_ffff;
    let back = if forward >> 25 == 1 { 1 << 26 } else { 0 };
    let target = offset.wrapping_add(forward * 4).wrapping_sub(back * 4);
    matches!(instruction >> 26, 0x05 | 0x25).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_have_targets() {
        assert_eq!(branch_target(0x100, 0x1400_0001), Some(0x104));
        assert_eq!(branch_target(0x100, 0x97ff_ffff), Some(0xfc));
        // b.eq, br, add
        for instruction in [0x5400_0020, 0xd61f_0000, 0x9100_0000] {
            assert_eq!(branch_target(0x100, instruction), None);
        }
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
}
