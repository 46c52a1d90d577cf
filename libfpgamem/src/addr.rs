// SPDX-License-Identifier: MIT OR Apache-2.0

//! Addresses as types: what the CPU puts on the bus and what the FPGA puts there do not mix.

use std::fmt;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Takes a raw address.
            #[must_use]
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// Returns the raw address.
            #[must_use]
            pub const fn as_u64(self) -> u64 {
                self.0
            }

            /// Returns the address `bytes` above this one, or `None` if that is past 2^64.
            #[must_use]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }

            /// Returns the distance in bytes from `base` up to this address, or `None` if this
            /// address is below `base`.
            #[must_use]
            pub const fn checked_offset_from(self, base: Self) -> Option<u64> {
                self.0.checked_sub(base.0)
            }

            /// Tells whether the address is a multiple of `align` bytes; of 0 only address 0 is.
            #[must_use]
            pub const fn is_aligned_to(self, align: u64) -> bool {
                match self.0.checked_rem(align) {
                    Some(rest) => rest == 0,
                    None => self.0 == 0,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

address! {
    /// A physical address: what the CPU puts on the bus.
    ///
    /// There are no `+` and `-`: arithmetic on addresses can overflow, so it answers with an
    /// `Option`.
    PhysAddr
}

address! {
    /// A device address: what the FPGA puts on the bus for the same memory.
    ///
    /// It equals the physical address unless an SMMU or an offset lies between the FPGA and the
    /// memory. This, never the [`PhysAddr`], is what goes into a register of the FPGA.
    DeviceAddr
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_within_the_address_space() {
        let sum = PhysAddr::new(0x4000_0000).checked_add(0x10);
        assert_eq!(sum, Some(PhysAddr::new(0x4000_0010)));
    }

    #[test]
    fn refuses_to_wrap_around() {
        assert_eq!(DeviceAddr::new(u64::MAX).checked_add(1), None);
    }

    #[test]
    fn measures_the_distance_from_a_base() {
        let base = DeviceAddr::new(0x4000_0000);
        assert_eq!(
            DeviceAddr::new(0x4000_4000).checked_offset_from(base),
            Some(0x4000)
        );
    }

    #[test]
    fn has_no_distance_from_a_higher_base() {
        assert_eq!(PhysAddr::new(1).checked_offset_from(PhysAddr::new(2)), None);
    }

    #[test]
    fn knows_its_alignment() {
        let addr = PhysAddr::new(0x4020_0000);
        assert!(addr.is_aligned_to(1 << 21));
        assert!(!addr.is_aligned_to(1 << 22));
        assert!(!addr.is_aligned_to(0));
    }

    #[test]
    fn prints_in_hexadecimal_with_its_prefix() {
        let addr = DeviceAddr::new(0x4000_0000);
        assert_eq!(addr.to_string(), "0x40000000");
        assert_eq!(format!("{addr:?}"), "DeviceAddr(0x40000000)");
        assert_eq!(format!("{addr:x}"), "40000000");
    }
}
