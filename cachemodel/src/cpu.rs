// SPDX-License-Identifier: GPL-2.0-or-later

//! The processor: what its addresses mean.

use crate::filter::Filter;
use crate::memory::Memory;
use crate::walk::{walk, Tables, Translation};

/// Registers that the model reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemRegister {
    /// TTBR0_EL1
    Ttbr0,
    /// TTBR1_EL1
    Ttbr1,
    /// TCR_EL1
    Tcr,
    /// MAIR_EL1
    Mair,
    /// SCTLR_EL1
    Sctlr,
    /// TPIDR_EL1: where the kernel's data of the processor is.
    Tpidr,
}

/// Reads the processor's registers.
pub trait Registers {
    /// X0 to X30; 0 for the zero register, 31.
    fn general(&self, number: u8) -> u64;

    /// The exception level: 0 for programs, 1 for the kernel.
    fn exception_level(&self) -> u8;

    /// A system register.
    fn system(&self, register: SystemRegister) -> u64;
}

/// Translations remembered.
const ENTRIES: usize = 1024;

const IN_PAGE: u64 = 4095;

/// What is known of the processor.
#[derive(Debug)]
pub(crate) struct Cpu {
    /// Until a register that says so changes.
    tables: Option<Tables>,
    /// Index of the running process, until the kernel switches.
    pub(crate) process: Option<u32>,
    /// A page, as [`Filter::key`] names it, and where it leads.
    translations: Vec<(u64, Translation)>,
}

impl Default for Cpu {
    fn default() -> Self {
        let none = Translation {
            physical: 0,
            attribute: crate::walk::Attribute::Cacheable,
            user: false,
        };
        Self {
            tables: None,
            process: None,
            translations: vec![(0, none); ENTRIES],
        }
    }
}

impl Cpu {
    /// A register that says what addresses mean is about to change.
    pub(crate) fn forget_tables(&mut self) {
        self.tables = None;
        self.process = None;
    }

    /// The registers that say what addresses mean.
    pub(crate) fn tables(&mut self, registers: &impl Registers) -> Tables {
        *self.tables.get_or_insert_with(|| Tables {
            ttbr0: registers.system(SystemRegister::Ttbr0),
            ttbr1: registers.system(SystemRegister::Ttbr1),
            tcr: registers.system(SystemRegister::Tcr),
            mair: registers.system(SystemRegister::Mair),
            sctlr: registers.system(SystemRegister::Sctlr),
        })
    }

    /// Where an address leads; `key` is what `filter` calls it.
    pub(crate) fn translate(
        &mut self,
        registers: &impl Registers,
        memory: &impl Memory,
        filter: &Filter,
        address: u64,
    ) -> Option<Translation> {
        let key = filter.key(address);
        let slot = crate::memory::host(key ^ key >> 10) % ENTRIES;
        if self.translations[slot].0 != key {
            let tables = self.tables(registers);
            let page = walk(memory, &tables, address & !IN_PAGE)?;
            self.translations[slot] = (key, page);
        }
        let page = self.translations[slot].1;
        Some(Translation {
            physical: page.physical | address & IN_PAGE,
            ..page
        })
    }
}
