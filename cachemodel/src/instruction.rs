// SPDX-License-Identifier: GPL-2.0-or-later

//! The arm64 instructions that the model must know of besides loads and stores.

/// An instruction on one cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOperation {
    /// DC CVAC: clean to the point of coherency.
    Cvac,
    /// DC CIVAC: clean and invalidate to the point of coherency.
    Civac,
    /// DC IVAC: invalidate to the point of coherency.
    Ivac,
    /// DC ZVA: clear. QEMU tells of no store.
    Zva,
    /// DC CVAU: clean to the point of unification.
    Cvau,
}

/// What an instruction means to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// Works on the line whose address is in the numbered register; 31 is the zero register.
    Cache(CacheOperation, u8),
    /// DSB: waits for cache maintenance, and orders stores.
    Barrier,
    /// DMB: orders stores.
    OrderingBarrier,
    /// Addresses may mean something else afterwards.
    TlbInvalidation,
    /// Changes a register that says what addresses mean: of the lower half alone, or of both.
    Tables {
        /// Whether the upper half stays as it is.
        lower_only: bool,
    },
    /// The kernel switches to another task.
    TaskSwitch,
    /// WFI: the processor sleeps until an interrupt comes.
    Sleep,
    /// SVC: a process calls the kernel.
    SystemCall,
    /// ERET: the kernel returns to where an exception happened.
    ExceptionReturn,
}

/// Decodes an instruction word.
pub fn decode(word: u32) -> Option<Special> {
    if word == 0xd400_0001 {
        return Some(Special::SystemCall);
    }
    if word == 0xd69f_03e0 {
        return Some(Special::ExceptionReturn);
    }
    // All others are in the space of system instructions: 1101_0101_00.
    if word >> 22 != 0b11_0101_0100 {
        return None;
    }
    let register = u8::try_from(word & 0x1f).unwrap_or(31);
    let cache = |operation| Some(Special::Cache(operation, register));
    match word & !0x1f {
        0xd50b_7a20 => return cache(CacheOperation::Cvac),
        0xd50b_7e20 => return cache(CacheOperation::Civac),
        0xd508_7620 => return cache(CacheOperation::Ivac),
        0xd50b_7420 => return cache(CacheOperation::Zva),
        0xd50b_7b20 => return cache(CacheOperation::Cvau),
        // MSR TTBR0_EL1; TTBR1_EL1, TCR_EL1, MAIR_EL1, SCTLR_EL1
        0xd518_2000 => return Some(Special::Tables { lower_only: true }),
        0xd518_2020 | 0xd518_2040 | 0xd518_a200 | 0xd518_1000 => {
            return Some(Special::Tables { lower_only: false })
        }
        // MSR SP_EL0: the kernel keeps its current task there.
        0xd518_4100 => return Some(Special::TaskSwitch),
        _ => {}
    }
    if word == 0xd503_207f {
        return Some(Special::Sleep);
    }
    // DSB, of all accesses rather than loads or stores alone.
    if word & 0xffff_f3ff == 0xd503_339f {
        return Some(Special::Barrier);
    }
    // DMB, unless of loads alone.
    if word & 0xffff_f0ff == 0xd503_30bf && word & 0x300 != 0x100 {
        return Some(Special::OrderingBarrier);
    }
    if word & 0xfff8_f000 == 0xd508_8000 {
        return Some(Special::TlbInvalidation);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_instructions_name_their_register() {
        let cache = |operation, register| Some(Special::Cache(operation, register));
        assert_eq!(decode(0xd50b_7a23), cache(CacheOperation::Cvac, 3));
        assert_eq!(decode(0xd50b_7e3f), cache(CacheOperation::Civac, 31));
        assert_eq!(decode(0xd508_7620), cache(CacheOperation::Ivac, 0));
        assert_eq!(decode(0xd50b_7421), cache(CacheOperation::Zva, 1));
    }

    #[test]
    fn only_full_barriers_count() {
        for word in [0xd503_3f9f, 0xd503_3b9f, 0xd503_379f, 0xd503_339f] {
            assert_eq!(decode(word), Some(Special::Barrier), "{word:#x}");
        }
        // dmb sy, dmb ish, dmb oshst
        for word in [0xd503_3fbf, 0xd503_3bbf, 0xd503_32bf] {
            assert_eq!(decode(word), Some(Special::OrderingBarrier), "{word:#x}");
        }
        // dsb st, dsb ishld, dmb ishld, isb, hint
        for word in [
            0xd503_3e9f,
            0xd503_399f,
            0xd503_39bf,
            0xd503_3fdf,
            0xd503_201f,
        ] {
            assert_eq!(decode(word), None, "{word:#x}");
        }
    }

    #[test]
    fn changes_of_the_address_space_are_seen() {
        // tlbi vmalle1is; tlbi vae1is, x2; tlbi vale1is, x0
        for word in [0xd508_831f, 0xd508_8322, 0xd508_83a0] {
            assert_eq!(decode(word), Some(Special::TlbInvalidation), "{word:#x}");
        }
        // msr ttbr0_el1, x1; msr sp_el0, x1; mrs x1, ttbr0_el1; msr tpidr_el0, x1
        let tables = |lower_only| Some(Special::Tables { lower_only });
        assert_eq!(decode(0xd518_2001), tables(true));
        assert_eq!(decode(0xd518_2021), tables(false));
        assert_eq!(decode(0xd518_4101), Some(Special::TaskSwitch));
        assert_eq!(decode(0xd538_2001), None);
        assert_eq!(decode(0xd51b_d041), None);
    }

    #[test]
    fn of_the_calls_only_svc_is_a_processs() {
        assert_eq!(decode(0xd400_0001), Some(Special::SystemCall));
        // hvc #0, smc #0
        assert_eq!([decode(0xd400_0002), decode(0xd400_0003)], [None; 2]);
    }

    #[test]
    fn the_return_from_an_exception_is_not_that_from_a_function() {
        assert_eq!(decode(0xd69f_03e0), Some(Special::ExceptionReturn));
        assert_eq!(decode(0xd65f_03c0), None);
    }

    #[test]
    fn of_the_hints_only_wfi_sleeps() {
        assert_eq!(decode(0xd503_207f), Some(Special::Sleep));
        // nop, yield, wfe, sev
        for word in [0xd503_201f, 0xd503_203f, 0xd503_205f, 0xd503_209f] {
            assert_eq!(decode(word), None, "{word:#x}");
        }
    }

    #[test]
    fn ordinary_instructions_mean_nothing() {
        for word in [0, 0xf940_0021, 0x9100_0421, 0xd65f_03c0, 0xd420_0000] {
            assert_eq!(decode(word), None, "{word:#x}");
        }
    }
}
