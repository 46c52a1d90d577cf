// SPDX-License-Identifier: MIT OR Apache-2.0

//! The live buffers of a device by address, so that both ways of translation are a look-up here and
//! no system call.

use crate::addr::{DeviceAddr, PhysAddr};
use crate::fork::Process;
use crate::memory::Memory;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// Where a user address lies; see [`Device::phys_of`](crate::Device::phys_of).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PhysRange {
    /// Its physical address.
    pub phys_addr: PhysAddr,
    /// The same as the FPGA uses it.
    pub device_addr: DeviceAddr,
    /// Bytes from there on that are contiguous in both address spaces.
    pub contiguous_bytes: u64,
}

/// Where a physical address is mapped; see [`Device::user_of`](crate::Device::user_of).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserRange {
    /// The lowest user address that maps it.
    pub user_addr: u64,
    /// Bytes from there on that are contiguous in both address spaces.
    pub contiguous_bytes: u64,
}

/// A mapping of this or, in a forked child, of another process.
#[derive(Clone, Copy, Debug)]
struct Entry {
    user_addr: u64,
    bytes: u64,
    phys_addr: PhysAddr,
    device_addr: DeviceAddr,
    process: Process,
}

impl Entry {
    fn of(memory: &Memory) -> Self {
        Self {
            user_addr: memory.map.as_ptr() as usize as u64,
            bytes: memory.map.len() as u64,
            phys_addr: memory.phys_addr,
            device_addr: memory.device_addr,
            process: memory.map.process(),
        }
    }

    /// The bytes from `offset` on, if there are any and the mapping is this process's.
    fn rest(&self, offset: u64) -> Option<u64> {
        let rest = self.bytes.checked_sub(offset).filter(|rest| *rest > 0);
        rest.filter(|_| self.process.is_current())
    }
}

/// Every mapping by its first user address, and by its first physical address.
#[derive(Debug, Default)]
struct Tables {
    by_user: BTreeMap<u64, Entry>,
    by_phys: BTreeMap<PhysAddr, Entry>,
}

/// The live buffers of a device.
#[derive(Debug, Default)]
pub(crate) struct Live(RwLock<Tables>);

impl Live {
    /// Enters a buffer that has just been mapped.
    pub(crate) fn enter(&self, memory: &Memory) {
        self.insert(Entry::of(memory));
    }

    /// Removes a buffer that is about to be unmapped.
    pub(crate) fn leave(&self, memory: &Memory) {
        self.remove(&Entry::of(memory));
    }

    fn insert(&self, entry: Entry) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tables.by_user.insert(entry.user_addr, entry);
        tables.by_phys.insert(entry.phys_addr, entry);
    }

    fn remove(&self, entry: &Entry) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tables.by_user.remove(&entry.user_addr);
        tables.by_phys.remove(&entry.phys_addr);
    }

    /// Where a user address lies, if it is in a buffer.
    pub(crate) fn phys_of(&self, user_addr: u64) -> Option<PhysRange> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (start, entry) = tables.by_user.range(..=user_addr).next_back()?;
        let offset = user_addr.checked_sub(*start)?;
        let contiguous_bytes = entry.rest(offset)?;
        Some(PhysRange {
            phys_addr: entry.phys_addr.checked_add(offset)?,
            device_addr: entry.device_addr.checked_add(offset)?,
            contiguous_bytes,
        })
    }

    /// Where a physical address is mapped, if it is in a buffer.
    pub(crate) fn user_of(&self, phys_addr: PhysAddr) -> Option<UserRange> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (start, entry) = tables.by_phys.range(..=phys_addr).next_back()?;
        let offset = phys_addr.checked_offset_from(*start)?;
        let contiguous_bytes = entry.rest(offset)?;
        Some(UserRange {
            user_addr: entry.user_addr.checked_add(offset)?,
            contiguous_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(user_addr: u64, phys_addr: u64, bytes: u64) -> Entry {
        Entry {
            user_addr,
            bytes,
            phys_addr: PhysAddr::new(phys_addr),
            device_addr: DeviceAddr::new(phys_addr + 0x1_0000_0000),
            process: Process::current(),
        }
    }

    fn two_buffers() -> Live {
        let live = Live::default();
        live.insert(entry(0x7000_0000, 0x4000_8000, 0x8000));
        live.insert(entry(0x7100_0000, 0x4000_0000, 0x4000));
        live
    }

    #[test]
    fn every_byte_of_a_buffer_has_its_addresses_both_ways() {
        let live = two_buffers();
        for offset in [0, 1, 0x4001, 0x7fff] {
            let there = live.phys_of(0x7000_0000 + offset).unwrap();
            assert_eq!(there.phys_addr.as_u64(), 0x4000_8000 + offset);
            assert_eq!(there.device_addr.as_u64(), 0x1_4000_8000 + offset);
            assert_eq!(there.contiguous_bytes, 0x8000 - offset);
            let back = live.user_of(there.phys_addr).unwrap();
            assert_eq!(back.user_addr, 0x7000_0000 + offset);
            assert_eq!(back.contiguous_bytes, 0x8000 - offset);
        }
    }

    #[test]
    fn what_lies_between_buffers_has_no_address() {
        let live = two_buffers();
        for user_addr in [0, 0x6fff_ffff, 0x7000_8000, 0x7100_4000, u64::MAX] {
            assert_eq!(live.phys_of(user_addr), None);
        }
        for phys_addr in [0, 0x3fff_ffff, 0x4000_4000, 0x4001_0000, u64::MAX] {
            assert_eq!(live.user_of(PhysAddr::new(phys_addr)), None);
        }
    }

    #[test]
    fn a_buffer_that_is_gone_has_no_address() {
        let live = two_buffers();
        live.remove(&entry(0x7000_0000, 0x4000_8000, 0x8000));
        assert_eq!(live.phys_of(0x7000_0000), None);
        assert_eq!(live.user_of(PhysAddr::new(0x4000_8000)), None);
        assert!(live.phys_of(0x7100_0000).is_some());
    }

    #[test]
    fn a_forked_child_has_none_of_its_parents_buffers() {
        let live = Live::default();
        live.insert(Entry {
            process: Process::other(),
            ..entry(0x7000_0000, 0x4000_8000, 0x8000)
        });
        assert_eq!(live.phys_of(0x7000_0000), None);
        assert_eq!(live.user_of(PhysAddr::new(0x4000_8000)), None);
    }
}
