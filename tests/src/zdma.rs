// SPDX-License-Identifier: MIT OR Apache-2.0

//! The second channel of ZynqMP's ZDMA, driven through its registers: a bus master that knows
//! nothing of page tables and takes physical addresses.

use crate::{MapFlags, Mapping, PAGE, READ_WRITE};
use std::fs::{read_dir, read_to_string, OpenOptions};
use std::path::PathBuf;
use std::sync::atomic::{fence, Ordering};

const ISR: u64 = 0x100;
const SOURCE: u64 = 0x128;
const DESTINATION: u64 = 0x138;
const TOTAL_BYTES: u64 = 0x188;
const CTRL2: u64 = 0x200;

/// Every interrupt of [`ISR`].
const ISR_ALL: u32 = 0xfff;
/// The transfer is complete.
const ISR_DONE: u32 = 0x400;
/// Starts the transfer that the descriptor registers describe.
const CTRL2_START: u32 = 1;

/// The channel.
#[derive(Debug)]
pub struct Zdma(Mapping);

impl Zdma {
    /// Finds and maps the channel through UIO.
    ///
    /// # Panics
    ///
    /// Where the board has no UIO device named "zdma".
    pub fn open() -> Self {
        let node = OpenOptions::new().read(true).write(true).open(uio_node());
        let node = node.expect("root may open the UIO device");
        Self(Mapping::of(&node, PAGE, READ_WRITE, MapFlags::MAP_SHARED, 0).expect("UIO maps"))
    }

    /// Lets the channel copy `len` bytes between physical addresses, and waits for it.
    ///
    /// # Panics
    ///
    /// Where the channel does not report the end of exactly that transfer.
    pub fn copy(&self, from: u64, to: u64, len: u32) {
        let registers = &self.0;
        registers.store_register(ISR, ISR_ALL);
        let moved_before = registers.load_register(TOTAL_BYTES);
        for (base, address) in [(SOURCE, from), (DESTINATION, to)] {
            let (low, high) = (address & 0xffff_ffff, address >> 32);
            let half = |value: u64| u32::try_from(value).expect("half of 64 bits");
            registers.store_register(base, half(low));
            registers.store_register(base + 4, half(high));
            registers.store_register(base + 8, len);
        }
        // The compiler must not move accesses of the buffers across the start of the transfer.
        fence(Ordering::SeqCst);
        registers.store_register(CTRL2, CTRL2_START);
        crate::eventually("the end of a DMA transfer", || {
            registers.load_register(ISR) & ISR_DONE != 0
        });
        fence(Ordering::SeqCst);
        let moved = registers
            .load_register(TOTAL_BYTES)
            .wrapping_sub(moved_before);
        assert_eq!(moved, len, "bytes that the channel moved");
    }
}

/// The node of the UIO device named "zdma".
///
/// # Panics
///
/// Where there is none.
pub fn uio_node() -> PathBuf {
    uio_node_named("zdma")
}

/// The node of a UIO device.
///
/// # Panics
///
/// Where there is none of the name.
pub fn uio_node_named(wanted: &str) -> PathBuf {
    let devices = read_dir("/sys/class/uio").expect("the kernel has UIO");
    for device in devices.flatten() {
        let name = read_to_string(device.path().join("name")).unwrap_or_default();
        if name.trim() == wanted {
            return PathBuf::from("/dev").join(device.file_name());
        }
    }
    panic!("no UIO device is named {wanted}");
}
