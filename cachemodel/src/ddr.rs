// SPDX-License-Identifier: GPL-2.0-or-later

//! The file behind the emulated board's DDR, mapped.

use crate::memory::{host, Memory};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// The DDR, from physical address 0 on.
///
/// QEMU maps the same file. Its virtual processors run in one thread, which is the one that calls
/// the plugin, so nothing else accesses the memory while the plugin does; devices that QEMU runs in
/// other threads are not part of the test bed.
#[derive(Debug)]
pub struct Ddr(MmapRaw);

impl Ddr {
    /// Maps the file.
    ///
    /// # Errors
    ///
    /// Where it cannot be opened for reading and writing, or mapped.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self(MmapOptions::new().map_raw(&file)?))
    }

    /// Where the bytes `[address, address + len)` are mapped, if all of them are.
    fn at(&self, address: u64, len: usize) -> Option<*mut u8> {
        if !self.holds(address, len as u64) {
            return None;
        }
        // SAFETY: the offset was just found to be within the mapping.
        Some(unsafe { self.0.as_mut_ptr().add(host(address)) })
    }
}

impl Memory for Ddr {
    fn holds(&self, address: u64, len: u64) -> bool {
        address
            .checked_add(len)
            .is_some_and(|end| end <= self.0.len() as u64)
    }

    fn read(&self, address: u64, bytes: &mut [u8]) {
        match self.at(address, bytes.len()) {
            // SAFETY: the source is within the mapping, which no reference points into, and nothing
            // writes it at the same time.
            Some(source) => unsafe {
                source.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len());
            },
            None => bytes.fill(0),
        }
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        if let Some(target) = self.at(address, bytes.len()) {
            // SAFETY: as for reading.
            unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }
    }
}
