// SPDX-License-Identifier: MIT OR Apache-2.0

//! How an emulated device is to be.

use super::chance::Chance;
use super::Emulator;
use crate::backend::Backend;
use crate::device::Device;
use crate::error::Result;

/// What the emulated caches do that nobody has asked for, to memory that the device owns.
///
/// Every one of them is what hardware may do, so a right program computes the same under all; one
/// that forgets a sync computes something wrong under at least one, and reproducibly for a seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Nothing: lines are neither written back nor fetched before maintenance.
    #[default]
    Never,
    /// Dirty lines are written back at any time, by chance from this seed: before, between and after
    /// the accelerator's accesses.
    Evict(u64),
    /// Clean lines are dropped and fetched again at any time, by chance from this seed.
    Prefetch(u64),
}

/// How the device without a board is to be; see [`Device::emulated`].
#[derive(Clone, Copy, Debug)]
pub struct EmulatedOptions {
    pub(super) region_bytes: u64,
    pub(super) block_bytes: u64,
    pub(super) phys_addr: u64,
    pub(super) coherent: bool,
    pub(super) policy: Policy,
}

impl EmulatedOptions {
    pub(crate) const fn new() -> Self {
        Self {
            region_bytes: 64 << 20,
            block_bytes: 16 << 10,
            phys_addr: 0x4000_0000,
            coherent: false,
            policy: Policy::Never,
        }
    }

    /// Size of the region in bytes: whole blocks, at least one; 64 MiB without this.
    ///
    /// Memory of the process is taken for what is touched of it, three times as much.
    #[must_use]
    pub const fn region_bytes(self, bytes: u64) -> Self {
        Self {
            region_bytes: bytes,
            ..self
        }
    }

    /// Allocation unit in bytes: a power of two, 4 KiB to 2 MiB; 16 KiB without this.
    #[must_use]
    pub const fn block_bytes(self, bytes: u64) -> Self {
        Self {
            block_bytes: bytes,
            ..self
        }
    }

    /// Whether the FPGA's port snoops the caches, for a buffer that does not say otherwise; it does
    /// not without this.
    #[must_use]
    pub const fn coherent(self, coherent: bool) -> Self {
        Self { coherent, ..self }
    }

    /// What the caches do unasked; nothing without this.
    #[must_use]
    pub const fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Makes the device, with an empty pool of its own.
    ///
    /// # Errors
    ///
    /// * [`Error::InvalidRegion`](crate::Error::InvalidRegion): sizes that no pool can have.
    /// * [`Error::Open`](crate::Error::Open): the process may have no memory file.
    pub fn open(self) -> Result<Device> {
        let emulator = Emulator::new(self)?;
        let info = emulator.info()?;
        Ok(Device::new(Backend::Emulated(Box::new(emulator)), &info))
    }
}

impl From<Policy> for Chance {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Never => Self::new(0),
            Policy::Evict(seed) | Policy::Prefetch(seed) => Self::new(seed),
        }
    }
}
