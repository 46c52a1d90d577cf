// SPDX-License-Identifier: GPL-2.0-or-later

//! Where in a kernel mutexes are locked and unlocked.

use std::ops::Range;

/// How the names of the functions end by which modules in Rust lock and unlock a mutex, which is their first
/// argument. Before that is where the compiler has them from, with a number that varies.
const LOCK: &str = "MutexBackendNtB4_7Backend4lock";
const UNLOCK: &str = "MutexBackendNtB4_7Backend6unlock";
/// Code for interrupts that come while the kernel runs.
const INTERRUPT: &str = "el1h_64_irq_handler";

/// Addresses of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The first instruction of the function that locks.
    pub lock: u64,
    /// The same of that which unlocks.
    pub unlock: u64,
    /// The same of that for interrupts.
    pub interrupt: u64,
    /// The kernel itself. What is as high and not in it is a module.
    text: Range<u64>,
}

impl Kernel {
    /// Reads a System.map.
    ///
    /// # Errors
    ///
    /// A sentence that names the symbol that is missing.
    pub fn parse(map: &str) -> Result<Self, String> {
        let address = |name: &str, is_end: bool| {
            let found = map.lines().find_map(|line| {
                let mut words = line.split_whitespace();
                let address = u64::from_str_radix(words.next()?, 16).ok()?;
                let found = words.nth(1)?;
                (found == name || is_end && found.starts_with("_R") && found.ends_with(name))
                    .then_some(address)
            });
            found.ok_or_else(|| format!("the kernel's map has no {name}"))
        };
        Ok(Self {
            lock: address(LOCK, true)?,
            unlock: address(UNLOCK, true)?,
            interrupt: address(INTERRUPT, false)?,
            text: address("_text", false)?..address("_end", false)?,
        })
    }

    /// Whether an instruction is a module's.
    pub fn is_module(&self, address: u64) -> bool {
        address >> 63 != 0 && !self.text.contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "ffff800080000000 T _text\n\
                       ffff800080001000 T _RNvX5mutexNtB2_12MutexBackendNtB4_7Backend4lock\n\
                       ffff800080001100 T _RNvX5mutexNtB2_12MutexBackendNtB4_7Backend6unlock\n\
                       ffff800080002000 t el1h_64_irq_handler\n\
                       ffff800080900000 B _end\n";

    #[test]
    fn functions_are_found_by_name() {
        let kernel = Kernel::parse(MAP).unwrap();
        assert_eq!(kernel.lock, 0xffff_8000_8000_1000);
        assert_eq!(kernel.unlock, 0xffff_8000_8000_1100);
        assert_eq!(kernel.interrupt, 0xffff_8000_8000_2000);
    }

    #[test]
    fn what_is_high_and_not_the_kernel_is_a_module() {
        let kernel = Kernel::parse(MAP).unwrap();
        assert!(kernel.is_module(0xffff_8000_7a00_0000));
        assert!(!kernel.is_module(0xffff_8000_8000_1234));
        assert!(!kernel.is_module(0x40_0000));
    }

    #[test]
    fn a_missing_function_is_named() {
        let why = Kernel::parse("ffff800080000000 T _text\n").unwrap_err();
        assert!(why.contains(LOCK), "{why}");
    }
}
