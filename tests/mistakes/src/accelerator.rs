// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cache model's accelerator, through UIO: `cachemodel/ACCELERATOR.md` is its manual. It takes its
//! time, and reports in memory.

use crate::memory::Shared;
use crate::scene::{halves, Scene, LINE};
use fpgamem_tests::zdma::uio_node_named;
use fpgamem_tests::{MapFlags, Mapping, PAGE, READ_WRITE};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};

const CONTROL: u64 = 0x10;
const CONTROL_ENABLE: u32 = 1;
const CONTROL_RESET: u32 = 2;
const RING: u64 = 0x20;
const RING_COUNT: u64 = 0x28;
const TAIL: u64 = 0x2c;
const COMPLETED: u64 = 0x34;
const INTERRUPT_ENABLE: u64 = 0x38;
const INTERRUPT_STATUS: u64 = 0x3c;
const INTERRUPT_DONE: u32 = 1;

const OPERATION_COPY: u64 = 1;
/// What the status word, in the upper half of a descriptor's last word, is at the end.
const DONE: u64 = 1;

/// Descriptors of the ring, each a cache line.
const SLOTS: u64 = 4;

/// How often a program looks whether a job is done.
const LOOKS: usize = 1000;

/// The accelerator with an empty ring.
#[derive(Debug)]
pub(crate) struct Accelerator {
    uio: File,
    registers: Shared,
    pub(crate) ring: Shared,
}

impl Accelerator {
    /// Resets the accelerator and gives it a ring.
    ///
    /// # Panics
    ///
    /// Where there is none: it is there under the cache model only.
    pub(crate) fn open(scene: &Scene) -> Self {
        let uio = OpenOptions::new()
            .read(true)
            .write(true)
            .open(uio_node_named("accelerator"));
        let uio = uio.expect("root may open the UIO device");
        let mapping = Mapping::of(&uio, PAGE, READ_WRITE, MapFlags::MAP_SHARED, 0);
        let registers = Shared {
            mapping: mapping.expect("UIO maps"),
            device_addr: 0,
        };
        let ring = scene.buffer(SLOTS * LINE);
        registers.store_register(CONTROL, CONTROL_RESET);
        let [low, high] = halves(ring.device_addr);
        registers.store_register(RING, low);
        registers.store_register(RING + 4, high);
        registers.store_register(RING_COUNT, halves(SLOTS)[0]);
        registers.store_register(CONTROL, CONTROL_ENABLE);
        Self {
            uio,
            registers,
            ring,
        }
    }

    /// Writes the descriptor of a copy of `bytes` to a slot of the ring.
    #[inline(always)]
    pub(crate) fn describe_copy(&self, slot: u64, from: &Shared, to: &Shared, bytes: u64) {
        let words = [
            OPERATION_COPY,
            from.device_addr,
            0,
            0,
            to.device_addr,
            bytes,
            0,
            0,
        ];
        for (index, word) in (0..).zip(words) {
            self.ring.store(slot * LINE + index * 8, word);
        }
    }

    /// Lets the accelerator run all descriptors before slot `tail`.
    #[inline(always)]
    pub(crate) fn start(&self, tail: u64) {
        self.registers.store_register(TAIL, halves(tail)[0]);
    }

    /// Waits, by the registers, until `count` descriptors have been executed; says whether they were.
    pub(crate) fn wait(&self, count: u32) -> bool {
        (0..LOOKS).any(|_| self.registers.load_register(COMPLETED) == count)
    }

    /// Lets the interrupt of a descriptor through that has been executed.
    #[inline(always)]
    pub(crate) fn interrupt(&self) {
        self.registers
            .store_register(INTERRUPT_ENABLE, INTERRUPT_DONE);
    }

    /// Sleeps until the interrupt says that a descriptor has been executed; says whether it did.
    pub(crate) fn sleep(&self) -> bool {
        self.interrupt();
        let mut uio = &self.uio;
        uio.write_all(&1_u32.to_ne_bytes())
            .expect("UIO has the interrupt");
        uio.read_exact(&mut [0; 4]).expect("UIO has the interrupt");
        self.registers
            .store_register(INTERRUPT_STATUS, INTERRUPT_DONE);
        self.registers.load_register(INTERRUPT_STATUS) == 0
    }

    /// Waits, by the status word of a slot, which `before` may sync.
    #[inline(always)]
    pub(crate) fn wait_by_status(&self, slot: u64, before: impl Fn()) -> bool {
        for _ in 0..LOOKS {
            before();
            if self.ring.load(slot * LINE + 56) >> 32 == DONE {
                return true;
            }
        }
        false
    }
}
