// SPDX-License-Identifier: MIT OR Apache-2.0

//! What every program here has: the pool, and a bus master that copies between physical addresses.

use crate::memory::Shared;
use fpgamem_tests::abi::{self, Alloc};
use fpgamem_tests::zdma::uio_node;
use fpgamem_tests::{eventually, request, MapFlags, Mapping, Node, PAGE, READ_WRITE};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::atomic::{compiler_fence, Ordering};

const ISR: u64 = 0x100;
const INTERRUPT_ENABLE: u64 = 0x108;
const INTERRUPT_DISABLE: u64 = 0x10c;
const CTRL0: u64 = 0x110;
const SOURCE: u64 = 0x128;
const DESTINATION: u64 = 0x138;
const SOURCE_START: u64 = 0x158;
const DESTINATION_START: u64 = 0x160;
const CTRL2: u64 = 0x200;

const ISR_ALL: u32 = 0xfff;
const ISR_DONE: u32 = 1 << 10;
/// What the register holds after reset: descriptors in registers.
const CTRL0_SIMPLE: u32 = 0x80;
/// Descriptors in memory.
const CTRL0_LISTS: u32 = CTRL0_SIMPLE | 1 << 6;

/// In the last word of a descriptor: it is the last one.
pub(crate) const DESCRIPTOR_STOPS: u32 = 2 << 3;

/// Bytes of a cache line.
pub(crate) const LINE: u64 = 64;

/// Bytes of a buffer where nothing else matters: one block.
pub(crate) const BYTES: u64 = 16384;

/// The sides of a transfer that snoop the CPU's caches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snoops {
    pub(crate) source: bool,
    pub(crate) destination: bool,
}

/// The pool, and a channel of the ZDMA.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) node: Node,
    uio: File,
    registers: Shared,
}

impl Scene {
    /// Opens both.
    ///
    /// # Panics
    ///
    /// Where one of them is not there.
    pub(crate) fn open() -> Self {
        let uio = OpenOptions::new().read(true).write(true).open(uio_node());
        let uio = uio.expect("root may open the UIO device");
        let mapping = Mapping::of(&uio, PAGE, READ_WRITE, MapFlags::MAP_SHARED, 0);
        let registers = Shared {
            mapping: mapping.expect("UIO maps"),
            device_addr: 0,
        };
        Self {
            node: Node::open(),
            uio,
            registers,
        }
    }

    /// A buffer made by mmap.
    pub(crate) fn buffer(&self, bytes: u64) -> Shared {
        let mapping = self.node.map(bytes).expect("the pool has room");
        Shared::new(&self.node, mapping)
    }

    /// A buffer made by ALLOC with flags.
    pub(crate) fn buffer_with(&self, bytes: u64, flags: u32) -> Shared {
        let asked = Alloc {
            flags,
            ..request(bytes)
        };
        let answer = self.node.alloc(asked).expect("the pool has room");
        let mapping = self.node.map_buffer(&answer).expect("a handle maps");
        Shared::new(&self.node, mapping)
    }

    /// A buffer that the CPU has filled with the pattern of `seed`, ready for the device to read.
    pub(crate) fn input(&self, seed: u64) -> Shared {
        let input = self.buffer(BYTES);
        input.fill(seed);
        self.flush(&input, 0..BYTES);
        input
    }

    /// A buffer that the CPU has used before, so that its lines are cached; none is dirty, so that
    /// the device may write it.
    pub(crate) fn used_output(&self) -> Shared {
        self.input(99)
    }

    /// FLUSH of a range of offsets.
    pub(crate) fn flush(&self, buffer: &Shared, range: Range<u64>) {
        let range = ioctl_range(buffer, range);
        self.node.flush(range).expect("the range is good");
    }

    /// INVALIDATE of a range of offsets.
    pub(crate) fn invalidate(&self, buffer: &Shared, range: Range<u64>) {
        let range = ioctl_range(buffer, range);
        self.node.invalidate(range).expect("the range is good");
    }

    /// SYNC of whole buffers with one operation.
    pub(crate) fn sync_all<'a>(&self, op: u32, buffers: impl IntoIterator<Item = &'a Shared>) {
        let whole = |buffer: &'a Shared| ioctl_range(buffer, 0..buffer.len());
        let ranges = buffers.into_iter().map(whole).collect::<Vec<_>>();
        self.node.sync(op, &ranges).expect("the ranges are good");
    }

    /// Lets the device copy between addresses on the bus, and waits for it.
    #[inline(always)]
    pub(crate) fn copy_addresses(&self, from: u64, to: u64, bytes: u64) {
        self.program(from, to, bytes);
        self.start();
        self.wait();
    }

    /// Lets the device copy all of a buffer to the start of another, and waits for it.
    #[inline(always)]
    pub(crate) fn copy(&self, from: &Shared, to: &Shared) {
        self.copy_addresses(from.device_addr, to.device_addr, from.len());
    }

    /// What the device reads of a buffer: a second buffer, with all syncs that it needs.
    #[inline(always)]
    pub(crate) fn seen_by_device(&self, buffer: &Shared) -> Shared {
        let seen = self.buffer(buffer.len());
        self.invalidate(&seen, 0..seen.len());
        self.copy(buffer, &seen);
        self.invalidate(&seen, 0..seen.len());
        seen
    }

    /// Writes all registers of a transfer but the last one.
    pub(crate) fn program(&self, from: u64, to: u64, bytes: u64) {
        self.registers.store_register(ISR, ISR_ALL);
        self.registers.store_register(CTRL0, CTRL0_SIMPLE);
        for (base, address) in [(SOURCE, from), (DESTINATION, to)] {
            let [low, high] = halves(address);
            self.registers.store_register(base, low);
            self.registers.store_register(base + 4, high);
            self.registers.store_register(base + 8, halves(bytes)[0]);
            self.registers.store_register(base + 12, 0);
        }
    }

    /// Says which sides of the programmed transfer snoop the caches; by itself none does.
    pub(crate) fn choose_port(&self, snoops: Snoops) {
        for (base, snoops) in [(SOURCE, snoops.source), (DESTINATION, snoops.destination)] {
            let register = base + 12;
            self.registers.store_register(register, u32::from(snoops));
        }
    }

    /// Starts what has been programmed.
    #[inline(always)]
    pub(crate) fn start(&self) {
        // The compiler may not move accesses of slices over it.
        compiler_fence(Ordering::SeqCst);
        self.registers.store_register(CTRL2, 1);
    }

    /// Lets the end of a transfer interrupt.
    pub(crate) fn enable_interrupt(&self) {
        self.registers.store_register(ISR, ISR_ALL);
        self.registers.store_register(INTERRUPT_ENABLE, ISR_DONE);
        let mut uio = &self.uio;
        uio.write_all(&1_u32.to_ne_bytes())
            .expect("UIO has the interrupt");
    }

    /// Sleeps until the interrupt comes, if it has not, and looks at no register.
    pub(crate) fn sleep(&self) {
        let mut uio = &self.uio;
        uio.read_exact(&mut [0; 4]).expect("UIO has the interrupt");
    }

    /// As before [`Self::enable_interrupt`].
    pub(crate) fn disable_interrupt(&self) {
        self.registers.store_register(INTERRUPT_DISABLE, ISR_ALL);
        self.registers.store_register(ISR, ISR_ALL);
    }

    /// Waits for the end of a transfer.
    pub(crate) fn wait(&self) {
        eventually("the end of a transfer", || {
            self.registers.load_register(ISR) & ISR_DONE != 0
        });
    }

    /// Lets the device follow lists of descriptors in memory, and waits for it.
    #[inline(always)]
    pub(crate) fn follow(&self, sources: u64, destinations: u64) {
        self.registers.store_register(ISR, ISR_ALL);
        self.registers.store_register(CTRL0, CTRL0_LISTS);
        for (base, address) in [(SOURCE_START, sources), (DESTINATION_START, destinations)] {
            let [low, high] = halves(address);
            self.registers.store_register(base, low);
            self.registers.store_register(base + 4, high);
        }
        self.start();
        self.wait();
    }
}

/// The low and the high half of a number.
pub(crate) fn halves(value: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [[a, b, c, d], [e, f, g, h]].map(u32::from_le_bytes)
}

fn ioctl_range(buffer: &Shared, range: Range<u64>) -> abi::Range {
    abi::Range {
        addr: buffer.mapping.addr() + range.start,
        len: range.end - range.start,
        ..Default::default()
    }
}
