// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is behind a device.

use crate::addr::{DeviceAddr, PhysAddr};
use crate::alloc::AllocOptions;
use crate::driver::{Driver, Method};
use crate::emulated::Emulator;
use crate::error::Result;
use crate::info::Info;
use crate::map::Map;
use crate::u_dma_buf::UDmaBuf;
use std::path::Path;

bitflags::bitflags! {
    /// What a device promises beyond contiguous memory that is 0; see
    /// [`Device::guarantees`](crate::Device::guarantees).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Guarantees: u32 {
        /// No other process can access the memory of a buffer.
        const ISOLATION = 1;
        /// Many processes can allocate at the same time.
        const SHARING = 1 << 1;
        /// Memory that the device may still write to is kept back when its process dies.
        const QUARANTINE = 1 << 2;
    }
}

/// Where buffers come from.
#[derive(Debug)]
pub(crate) enum Backend {
    /// The driver of a board.
    Driver(Driver),
    /// The one buffer of a node of u-dma-buf.
    UDmaBuf(Box<UDmaBuf>),
    /// A pool and an FPGA inside the process.
    Emulated(Box<Emulator>),
}

/// A buffer that was allocated and mapped.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) map: Map,
    pub(crate) phys_addr: PhysAddr,
    pub(crate) device_addr: DeviceAddr,
    /// Its word in the status area of the driver, if it has one.
    pub(crate) status_slot: u32,
}

impl Backend {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Driver(driver) => driver.path(),
            Self::UDmaBuf(node) => node.path(),
            Self::Emulated(emulator) => emulator.path(),
        }
    }

    pub(crate) fn info(&self) -> Result<Info> {
        match self {
            Self::Driver(driver) => driver.info(),
            Self::UDmaBuf(node) => node.info(),
            Self::Emulated(emulator) => emulator.info(),
        }
    }

    /// Bytes of memory that share no cache line with what lies outside of them are multiples of
    /// this power of two.
    pub(crate) fn granule(&self) -> usize {
        match self {
            Self::Driver(driver) => driver.granule(),
            Self::UDmaBuf(node) => node.granule(),
            Self::Emulated(emulator) => emulator.granule(),
        }
    }

    pub(crate) fn alloc(&self, len: usize, options: AllocOptions) -> Result<Grant> {
        match self {
            Self::Driver(driver) => driver.alloc(len, options),
            Self::UDmaBuf(node) => node.alloc(len, options),
            Self::Emulated(emulator) => emulator.alloc(len, options),
        }
    }

    /// How the lines of a buffer are maintained that has some in the caches or has none.
    pub(crate) fn method(&self, cached: bool) -> Method {
        match self {
            Self::Driver(driver) => driver.method(cached),
            Self::UDmaBuf(node) => node.method(cached),
            Self::Emulated(_) => Method::Call,
        }
    }

    pub(crate) fn guarantees(&self) -> Guarantees {
        match self {
            Self::Driver(driver) => driver.guarantees(),
            Self::UDmaBuf(_) => Guarantees::empty(),
            // The memory is the process's, and so is the device.
            Self::Emulated(_) => Guarantees::ISOLATION,
        }
    }
}
