// SPDX-License-Identifier: GPL-2.0-or-later

//! From an instruction to the one that called its function, by the call frame information of the ELF
//! file.

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EndianArcSlice, LittleEndian, RegisterRule, UnwindContext,
    UnwindSection, UnwindTableRow,
};
use object::{Object, ObjectSection};
use std::fmt;
use std::sync::Arc;

/// Number of the frame pointer, the link register, and the stack pointer in [`Registers`].
pub const FRAME_POINTER: usize = 29;
/// See [`FRAME_POINTER`].
pub const LINK: usize = 30;
/// See [`FRAME_POINTER`].
pub const STACK_POINTER: usize = 31;

/// The values of a function's registers: X0 to X30, then SP.
pub type Registers = [u64; 32];

/// Reads 8 bytes of the program's memory.
pub type ReadWord<'a> = dyn Fn(u64) -> Option<u64> + 'a;

/// The call frame information of a file.
pub(crate) struct Unwinder {
    section: EhFrame<EndianArcSlice<LittleEndian>>,
    bases: BaseAddresses,
}

impl fmt::Debug for Unwinder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unwinder")
    }
}

impl Unwinder {
    /// Takes the information out of a file, if it has any.
    pub(crate) fn new(file: &object::File<'_>) -> Option<Self> {
        let section = file.section_by_name(".eh_frame")?;
        let bytes: Arc<[u8]> = section.data().ok()?.into();
        let text = file.section_by_name(".text");
        let bases = BaseAddresses::default()
            .set_eh_frame(section.address())
            .set_text(text.map_or(0, |text| text.address()));
        Some(Self {
            section: EhFrame::from(EndianArcSlice::new(bytes, LittleEndian)),
            bases,
        })
    }

    /// Whether the function at an address of the file can still return by the link register.
    pub(crate) fn returns_by_link(&self, address: u64) -> bool {
        let mut context = UnwindContext::new();
        // Functions written in assembly language without any information call nothing.
        self.row(&mut context, address)
            .is_none_or(|row| !matches!(row.register(register(LINK)), RegisterRule::Offset(_)))
    }

    /// Turns the registers at an address of the file into those of the caller, and returns where the
    /// call returns to.
    pub(crate) fn step(
        &self,
        address: u64,
        registers: &mut Registers,
        read: &ReadWord<'_>,
    ) -> Option<u64> {
        let mut context = UnwindContext::new();
        let Some(row) = self.row(&mut context, address) else {
            return Some(registers[LINK]);
        };
        let frame = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => registers
                .get(usize::from(register.0))?
                .wrapping_add_signed(*offset),
            CfaRule::Expression(_) => return None,
        };
        let mut caller = *registers;
        for (register, rule) in row.registers() {
            if let RegisterRule::Offset(offset) = rule {
                let slot = caller.get_mut(usize::from(register.0))?;
                *slot = read(frame.wrapping_add_signed(*offset))?;
            }
        }
        caller[STACK_POINTER] = frame;
        *registers = caller;
        Some(registers[LINK])
    }

    fn row<'a>(
        &self,
        context: &'a mut UnwindContext<usize>,
        address: u64,
    ) -> Option<&'a UnwindTableRow<usize>> {
        self.section
            .unwind_info_for_address(&self.bases, context, address, EhFrame::cie_from_offset)
            .ok()
    }
}

fn register(number: usize) -> gimli::Register {
    gimli::Register(u16::try_from(number).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Call frame information of one function at 0x1000, of 0x20 bytes, that begins with
    /// `stp x29, x30, [sp, #-32]!`.
    fn unwinder() -> Unwinder {
        let mut bytes = Vec::new();
        let entry = |body: &[u8]| {
            let len = body.len().next_multiple_of(4);
            let mut entry = u32::try_from(len).unwrap().to_le_bytes().to_vec();
            entry.extend(body);
            // DW_CFA_nop
            entry.resize(len + 4, 0);
            entry
        };
        // Version 1, "zR", instructions of 4 bytes, words of 8 that grow down, return by x30;
        // addresses are absolute and 8 bytes long; the frame address is SP.
        let common = [
            0, 0, 0, 0, 1, b'z', b'R', 0, 4, 0x78, 30, 1, 0x00, 0x0c, 31, 0,
        ];
        bytes.extend(entry(&common));
        let to_common = u32::try_from(bytes.len() + 4).unwrap();
        let mut function = to_common.to_le_bytes().to_vec();
        function.extend(0x1000_u64.to_le_bytes());
        function.extend(0x20_u64.to_le_bytes());
        // No augmentation; after one instruction the frame is 32 bytes, with x29 at its lower end
        // and x30 behind.
        function.extend([0, 0x41, 0x0e, 32, 0x80 | 29, 4, 0x80 | 30, 3]);
        bytes.extend(entry(&function));
        bytes.extend([0; 4]);
        Unwinder {
            section: EhFrame::from(EndianArcSlice::new(bytes.into(), LittleEndian)),
            bases: BaseAddresses::default().set_eh_frame(0).set_text(0x1000),
        }
    }

    fn stack(address: u64) -> Option<u64> {
        match address {
            0x8000 => Some(0x8040),
            0x8008 => Some(0x2004),
            _ => None,
        }
    }

    #[test]
    fn a_function_that_has_saved_its_registers_returns_by_the_stack() {
        let mut registers = [0; 32];
        registers[STACK_POINTER] = 0x8000;
        registers[LINK] = 0x1010;
        let unwinder = unwinder();
        assert!(!unwinder.returns_by_link(0x1008));
        let back = unwinder.step(0x1008, &mut registers, &stack);
        assert_eq!(back, Some(0x2004));
        assert_eq!(registers[STACK_POINTER], 0x8020);
        assert_eq!(registers[FRAME_POINTER], 0x8040);
    }

    #[test]
    fn one_that_has_not_returns_by_the_link_register() {
        let mut registers = [0; 32];
        registers[STACK_POINTER] = 0x8020;
        registers[LINK] = 0x2004;
        let unwinder = unwinder();
        // Before its first instruction, and outside of what is described.
        for address in [0x1000, 0x5000] {
            assert!(unwinder.returns_by_link(address));
            let back = unwinder.step(address, &mut registers, &stack);
            assert_eq!((back, registers[STACK_POINTER]), (Some(0x2004), 0x8020));
        }
    }

    #[test]
    fn a_stack_that_is_not_mapped_ends_it() {
        let mut registers = [0; 32];
        registers[STACK_POINTER] = 0x9000;
        assert_eq!(unwinder().step(0x1008, &mut registers, &stack), None);
    }
}
