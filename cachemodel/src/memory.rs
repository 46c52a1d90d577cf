// SPDX-License-Identifier: GPL-2.0-or-later

//! Access to the emulated board's DDR by physical address.

/// The DDR. Accesses outside of it read zeroes and write nothing, as QEMU's board does.
pub trait Memory {
    /// Whether all of `len` bytes from `address` on are DDR.
    fn holds(&self, address: u64, len: u64) -> bool;

    /// Copies bytes out, from physical address `address` on.
    fn read(&self, address: u64, bytes: &mut [u8]);

    /// Copies bytes in, from physical address `address` on.
    fn write(&mut self, address: u64, bytes: &[u8]);

    /// The 8-byte word at `address`, little-endian as all of ZynqMP's software is.
    fn read_u64(&self, address: u64) -> u64 {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// The 4-byte word at `address`.
    fn read_u32(&self, address: u64) -> u32 {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// A length or index as the host counts memory. QEMU's arm64 board needs a 64-bit host.
pub(crate) const fn host(value: u64) -> usize {
    const { assert!(usize::BITS == u64::BITS) };
    #[expect(clippy::cast_possible_truncation, reason = "asserted just now")]
    {
        value as usize
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{host, Memory};

    /// DDR that starts at a given address.
    #[derive(Debug)]
    pub(crate) struct Ram {
        pub(crate) start: u64,
        pub(crate) bytes: Vec<u8>,
    }

    impl Ram {
        pub(crate) fn new(start: u64, len: usize) -> Self {
            Self {
                start,
                bytes: vec![0; len],
            }
        }

        pub(crate) fn write_u64(&mut self, address: u64, value: u64) {
            self.write(address, &value.to_le_bytes());
        }
    }

    impl Memory for Ram {
        fn holds(&self, address: u64, len: u64) -> bool {
            address >= self.start && address + len <= self.start + self.bytes.len() as u64
        }

        fn read(&self, address: u64, bytes: &mut [u8]) {
            bytes.fill(0);
            if self.holds(address, bytes.len() as u64) {
                let at = host(address - self.start);
                bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
            }
        }

        fn write(&mut self, address: u64, bytes: &[u8]) {
            if self.holds(address, bytes.len() as u64) {
                let at = host(address - self.start);
                self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}
