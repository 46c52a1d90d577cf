// SPDX-License-Identifier: GPL-2.0-or-later

//! What happened during a run, as numbers.

use crate::model::Maintenance;
use serde::Serialize;

/// Cache instructions executed, by kind, on any address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Instructions {
    /// DC CVAC.
    pub cvac: u64,
    /// DC CIVAC.
    pub civac: u64,
    /// DC IVAC.
    pub ivac: u64,
    /// DC ZVA.
    pub zva: u64,
    /// DC CVAU, which cleans to where instructions are fetched: not far enough for a device.
    pub cvau: u64,
}

/// Everything that is counted. Lines and bytes are those of the region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Cache instructions on any address.
    pub instructions: Instructions,
    /// Lines cleaned.
    pub lines_cleaned: u64,
    /// Lines cleaned and invalidated.
    pub lines_clean_invalidated: u64,
    /// Lines invalidated without cleaning.
    pub lines_invalidated: u64,
    /// Lines among these that went to memory because they were newer in the cache.
    pub lines_written_back: u64,
    /// Lines cleaned that held no stores of the CPU.
    pub redundant_cleans: u64,
    /// Lines invalidated that nobody had accessed since the last time.
    pub redundant_invalidates: u64,
    /// Lines that left the cache unasked.
    pub evictions: u64,
    /// Lines that entered the cache unasked.
    pub prefetches: u64,
    /// Load instructions of the CPU.
    pub cpu_loads: u64,
    /// Store instructions of the CPU, DC ZVA included.
    pub cpu_stores: u64,
    /// Transfers of bus masters, anywhere.
    pub transfers: u64,
    /// Bytes that bus masters read, anywhere.
    pub bytes_read_by_devices: u64,
    /// Bytes that bus masters wrote, anywhere.
    pub bytes_written_by_devices: u64,
}

impl Counts {
    pub(crate) fn maintained(&mut self, operation: Maintenance) {
        match operation {
            Maintenance::Clean => self.lines_cleaned += 1,
            Maintenance::CleanInvalidate => self.lines_clean_invalidated += 1,
            Maintenance::Invalidate => self.lines_invalidated += 1,
        }
    }

    pub(crate) fn redundant(&mut self, operation: Maintenance) {
        match operation {
            Maintenance::Clean => self.redundant_cleans += 1,
            Maintenance::CleanInvalidate | Maintenance::Invalidate => {
                self.redundant_invalidates += 1;
            }
        }
    }
}
