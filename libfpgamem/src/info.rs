// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the driver says about its pool.

use crate::addr::{DeviceAddr, PhysAddr};
use crate::error::{Error, Result};
use fpgamem_shared::abi;

bitflags::bitflags! {
    /// What the driver can do beyond the first ABI.
    ///
    /// Bits that this library does not know are kept.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Features: u64 {
        /// Buffers can be write-combine.
        const WRITE_COMBINE = abi::FEATURE_WRITE_COMBINE;
        /// The coherency of the port can be chosen per buffer.
        const COHERENCY = abi::FEATURE_COHERENCY;
        /// Many ranges can be synchronised in one call.
        const SYNC_VECTOR = abi::FEATURE_SYNC_VECTOR;
        /// Memory that the device may still write to is kept back when its user goes.
        const QUARANTINE = abi::FEATURE_QUARANTINE;

        // What the kernel knows and this library does not.
        const _ = !0;
    }
}

/// The pool behind a device node, at the moment of the call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// ABI number of the driver.
    pub abi: u32,
    /// What the driver can do beyond the first ABI.
    pub features: Features,
    /// First physical address of the region.
    pub phys_addr: PhysAddr,
    /// The address that the FPGA uses for [`phys_addr`](Self::phys_addr).
    pub device_addr: DeviceAddr,
    /// Size of the region in bytes.
    pub region_bytes: u64,
    /// Allocation unit in bytes, a power of two; every buffer is rounded up to it.
    pub block_bytes: u64,
    /// Bytes in free blocks.
    pub free_bytes: u64,
    /// Bytes that are kept back because the device may still write to them: neither free nor in a
    /// live buffer.
    pub quarantined_bytes: u64,
    /// How long they are kept back, in milliseconds; 0 if never.
    pub quarantine_ms: u32,
    /// Live buffers of all processes.
    pub nr_buffers: u32,
    /// Smallest data cache line in bytes, where the driver knows it.
    pub cache_line_bytes: Option<u32>,
    /// Whether the port snoops the CPU's caches, for a buffer that does not say otherwise.
    pub coherent: bool,
    largest_free_bytes: [u64; abi::NR_ALIGNMENTS],
}

impl Info {
    pub(crate) fn new(raw: &abi::Info) -> Result<Self> {
        if !raw.block_bytes.is_power_of_two() {
            let value = raw.block_bytes;
            return Err(Error::UnexpectedResponse {
                field: "info.block_bytes",
                value,
            });
        }
        Ok(Self {
            abi: raw.abi,
            features: Features::from_bits_retain(raw.features),
            phys_addr: PhysAddr::new(raw.phys_addr),
            device_addr: DeviceAddr::new(raw.device_addr),
            region_bytes: raw.region_bytes,
            block_bytes: raw.block_bytes,
            free_bytes: raw.free_bytes,
            quarantined_bytes: raw.quarantined_bytes,
            quarantine_ms: raw.quarantine_ms,
            nr_buffers: raw.nr_buffers,
            cache_line_bytes: (raw.cache_line_bytes != 0).then_some(raw.cache_line_bytes),
            coherent: raw.flags & abi::BUFFER_COHERENT != 0,
            largest_free_bytes: raw.largest_free_bytes,
        })
    }

    /// The longest buffer, in bytes, that can be allocated now at an alignment of `align` bytes.
    ///
    /// `None` where such an alignment is impossible: not a power of two, or above 1 GiB. Alignments
    /// below the block size count as the block size.
    #[must_use]
    pub fn largest_free(&self, align: u64) -> Option<u64> {
        if !align.is_power_of_two() {
            return None;
        }
        let shift = align.max(1 << abi::MIN_ALIGN_SHIFT).trailing_zeros();
        let index = usize::try_from(shift - abi::MIN_ALIGN_SHIFT).ok()?;
        self.largest_free_bytes.get(index).copied()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A region of 1 GiB in which the longest run for an alignment of `4096 << i` is `1000 - i`.
    pub(crate) fn raw() -> abi::Info {
        let mut raw = abi::Info {
            abi: abi::ABI,
            phys_addr: 0x4000_0000,
            device_addr: 0x4000_0000,
            region_bytes: 1 << 30,
            block_bytes: 16384,
            free_bytes: 5000,
            ..Default::default()
        };
        for (free, bytes) in raw.largest_free_bytes.iter_mut().zip((0..=1000).rev()) {
            *free = bytes;
        }
        raw
    }

    #[test]
    fn small_alignments_have_the_room_of_the_smallest() {
        let info = Info::new(&raw()).unwrap();
        assert_eq!(info.largest_free(1), Some(1000));
        assert_eq!(info.largest_free(4096), Some(1000));
    }

    #[test]
    fn every_alignment_has_its_own_room() {
        let info = Info::new(&raw()).unwrap();
        assert_eq!(info.largest_free(8192), Some(999));
        assert_eq!(info.largest_free(abi::MAX_ALIGN), Some(982));
    }

    #[test]
    fn impossible_alignments_have_none() {
        let info = Info::new(&raw()).unwrap();
        assert_eq!(info.largest_free(0), None);
        assert_eq!(info.largest_free(12288), None);
        assert_eq!(info.largest_free(abi::MAX_ALIGN * 2), None);
    }

    #[test]
    fn unknown_features_are_kept() {
        let raw = abi::Info {
            features: 1 << 63 | abi::FEATURE_COHERENCY,
            ..raw()
        };
        let features = Info::new(&raw).unwrap().features;
        assert!(features.contains(Features::COHERENCY));
        assert_eq!(features.bits() >> 63, 1);
    }

    #[test]
    fn an_unknown_cache_line_is_none() {
        assert_eq!(Info::new(&raw()).unwrap().cache_line_bytes, None);
        let raw = abi::Info {
            cache_line_bytes: 64,
            ..raw()
        };
        assert_eq!(Info::new(&raw).unwrap().cache_line_bytes, Some(64));
    }

    #[test]
    fn a_block_size_that_cannot_be_is_refused() {
        let raw = abi::Info {
            block_bytes: 12288,
            ..raw()
        };
        let error = Info::new(&raw).unwrap_err();
        assert!(matches!(
            error,
            Error::UnexpectedResponse { value: 12288, .. }
        ));
    }
}
