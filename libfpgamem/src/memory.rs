// SPDX-License-Identifier: MIT OR Apache-2.0

//! One allocation: a mapping with its addresses, shared by the buffers that are parts of it.

use crate::addr::{DeviceAddr, PhysAddr};
use crate::alloc::AllocOptions;
use crate::backend::{Backend, Grant};
use crate::device::Device;
use crate::driver::{Driver, Method};
use crate::error::{Error, Result};
use crate::map::Map;
use fpgamem_shared::abi;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// A mapped allocation. It ends, and its blocks return to the pool, with the last part of it.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) device: Device,
    pub(crate) map: Map,
    pub(crate) phys_addr: PhysAddr,
    pub(crate) device_addr: DeviceAddr,
    pub(crate) coherent: bool,
    pub(crate) write_combine: bool,
    /// Whether the caches may have something that the device does not see, or the other way round.
    pub(crate) cached: bool,
    /// How its lines are maintained.
    pub(crate) method: Method,
    status_slot: u32,
    /// Parts that the device owns; the kernel is told when that becomes, or is no longer, 0.
    device_owned: Mutex<u32>,
}

impl Memory {
    pub(crate) fn new(device: &Device, len: usize, options: AllocOptions) -> Result<Self> {
        let Grant {
            map,
            phys_addr,
            device_addr,
            status_slot,
        } = device.backend().alloc(len, options)?;
        let coherent = options.is_coherent(device.is_coherent());
        let write_combine = options.is_write_combine();
        let cached = !coherent && !write_combine;
        let memory = Self {
            device: device.clone(),
            map,
            phys_addr,
            device_addr,
            coherent,
            write_combine,
            cached,
            method: device.backend().method(cached),
            status_slot,
            device_owned: Mutex::new(0),
        };
        device.live().enter(&memory);
        Ok(memory)
    }

    pub(crate) fn check_fork(&self) -> Result<()> {
        if self.map.is_forked() {
            return Err(self.forked());
        }
        Ok(())
    }

    #[cold]
    fn forked(&self) -> Error {
        let (owner, child) = self.map.owner_and_this();
        Error::Forked { owner, child }
    }

    /// Says who owns a part, which the other one owned before. Comes after
    /// [`check_fork`](Self::check_fork).
    pub(crate) fn mark(&self, part: Range<usize>, device: bool) -> Result<()> {
        match self.device.backend() {
            Backend::Driver(driver) => self.count(driver, device),
            // Nobody else could be told.
            Backend::UDmaBuf(_) => Ok(()),
            Backend::Emulated(emulator) => {
                emulator.set_owner(self, part, device);
                Ok(())
            }
        }
    }

    /// Says that the device owns a part more, or one fewer.
    fn count(&self, driver: &Driver, device: bool) -> Result<()> {
        let mut owned = self
            .device_owned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let next = if device {
            owned.saturating_add(1)
        } else {
            owned.saturating_sub(1)
        };
        if (*owned == 0) != (next == 0) {
            driver.set_owner(&self.map, self.status_slot, device)?;
        }
        *owned = next;
        Ok(())
    }

    /// Keeps the memory from everybody to the end of the process, because the device may still use
    /// `bytes` of it.
    pub(crate) fn abandon(&self, bytes: usize) {
        self.device.note_abandoned(bytes);
        self.map.keep_forever();
    }

    /// A range of bytes as the driver's calls take it.
    pub(crate) fn abi_range(&self, range: &Range<usize>) -> abi::Range {
        let start = self.map.as_ptr() as usize + range.start;
        abi::Range {
            addr: start as u64,
            len: range.len() as u64,
            ..Default::default()
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // What stays mapped can still be looked up; in a forked child nothing of it is mapped.
        if self.map.is_kept_forever() || self.map.is_forked() {
            return;
        }
        self.device.live().leave(self);
        match self.device.backend() {
            Backend::Driver(_) => {}
            Backend::UDmaBuf(node) => node.release(self),
            Backend::Emulated(emulator) => emulator.release(self),
        }
    }
}
