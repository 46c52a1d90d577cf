// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cache model's accelerator, which takes its time: `ACCELERATOR.md` is its manual.

use crate::cache;
use crate::stage::{Buffer, Stage};
use crate::Table;
use fpgamem_tests::abi::ALLOC_WRITE_COMBINE;
use fpgamem_tests::{MapFlags, Mapping, PAGE, READ_WRITE};
use std::fs::{read_dir, read_to_string, OpenOptions};
use std::path::Path;

const BYTES: u64 = 4 * PAGE;

pub(crate) const SITUATIONS: Table = &[
    (
        "descriptor-not-cleaned",
        "missing-clean,lost-to-eviction",
        descriptor_not_cleaned,
    ),
    (
        "status-polled-without-invalidation",
        "missing-invalidate",
        status_polled_without_invalidation,
    ),
    (
        "result-invalidated-before-it-was-there",
        "missing-invalidate",
        result_invalidated_before_it_was_there,
    ),
    ("weights-not-cleaned", "missing-clean", weights_not_cleaned),
    (
        "result-cleared-while-the-device-works",
        "lost-to-eviction",
        result_cleared_while_the_device_works,
    ),
    (
        "write-combine-without-barrier",
        "missing-barrier",
        write_combine_without_barrier,
    ),
];

const ID_VALUE: u32 = 0x4143_4346;
const CONTROL: u64 = 0x10;
const STATUS: u64 = 0x14;
const RING: u64 = 0x20;
const RING_COUNT: u64 = 0x28;
const TAIL: u64 = 0x2c;
const COMPLETED: u64 = 0x34;

/// Offset of a descriptor's status word, and what it is at the end.
const DESCRIPTOR_STATUS: u64 = 0x3c;
const DONE: u32 = 1;

/// Looks at a status before a situation gives up.
const PATIENCE: u32 = 1000;

/// The accelerator with a ring of one descriptor that can be run.
struct Accelerator {
    stage: Stage,
    registers: Mapping,
    ring: Buffer,
}

impl Accelerator {
    fn new() -> Self {
        let stage = Stage::new();
        let node = OpenOptions::new().read(true).write(true).open(node());
        let node = node.expect("root may open the UIO device");
        let registers = Mapping::of(&node, PAGE, READ_WRITE, MapFlags::MAP_SHARED, 0);
        let registers = registers.expect("UIO maps");
        assert_eq!(registers.load_register(0), ID_VALUE);
        let ring = stage.buffer(PAGE);
        let [low, high] = halves(ring.phys_addr);
        registers.store_register(CONTROL, 2);
        registers.store_register(RING, low);
        registers.store_register(RING + 4, high);
        registers.store_register(RING_COUNT, 2);
        registers.store_register(CONTROL, 1);
        Self {
            stage,
            registers,
            ring,
        }
    }

    /// Writes the descriptor of a copy.
    fn describe_copy(&self, from: &Buffer, to: &Buffer, len: u64) {
        let [len, _] = halves(len);
        self.describe(&[(0, 1), (0x28, len)], &[(0x08, from), (0x20, to)]);
    }

    fn describe(&self, words: &[(u64, u32)], addresses: &[(u64, &Buffer)]) {
        let mut descriptor = [0; 64];
        let mut put = |at: u64, word: u32| {
            let at = usize::try_from(at).expect("an offset in the descriptor");
            descriptor[at..at + 4].copy_from_slice(&word.to_le_bytes());
        };
        for (at, word) in words {
            put(*at, *word);
        }
        for (at, buffer) in addresses {
            let [low, high] = halves(buffer.phys_addr);
            put(*at, low);
            put(at + 4, high);
        }
        self.ring.mapping.write(0, &descriptor);
    }

    /// Hands the descriptor over.
    fn hand_over(&self) {
        self.ring.invalidate(0..64);
    }

    fn start(&self) {
        self.registers.store_register(TAIL, 1);
    }

    /// Waits by the registers.
    fn wait(&self) -> bool {
        (0..PATIENCE).any(|_| self.registers.load_register(COMPLETED) == 1)
    }

    fn run(&self) -> bool {
        self.hand_over();
        self.start();
        self.wait()
    }
}

/// The node of the UIO device named "accelerator".
fn node() -> std::path::PathBuf {
    let devices = read_dir("/sys/class/uio").expect("the kernel has UIO");
    let named = |path: &Path| read_to_string(path.join("name")).unwrap_or_default();
    let device = devices
        .flatten()
        .find(|device| named(&device.path()).trim() == "accelerator")
        .expect("the board has an accelerator under the cache model");
    Path::new("/dev").join(device.file_name())
}

fn halves(value: u64) -> [u32; 2] {
    let half = |value: u64| u32::try_from(value & 0xffff_ffff).expect("half of 64 bits");
    [half(value), half(value >> 32)]
}

fn descriptor_not_cleaned(mistake: bool) -> bool {
    let accelerator = Accelerator::new();
    let stage = &accelerator.stage;
    let (from, to) = (stage.buffer(BYTES), stage.buffer(BYTES));
    from.fill(0..BYTES, 1);
    from.clean(0..BYTES);
    accelerator.describe_copy(&from, &to, BYTES);
    if !mistake {
        accelerator.hand_over();
    }
    accelerator.start();
    let done = accelerator.wait();
    assert_eq!(accelerator.registers.load_register(STATUS) == 0, done);
    to.invalidate(0..BYTES);
    to.holds(0..BYTES, 1)
}

fn status_polled_without_invalidation(mistake: bool) -> bool {
    let accelerator = Accelerator::new();
    let stage = &accelerator.stage;
    let (from, to) = (stage.buffer(BYTES), stage.buffer(BYTES));
    from.fill(0..BYTES, 1);
    from.clean(0..BYTES);
    accelerator.describe_copy(&from, &to, BYTES);
    accelerator.hand_over();
    accelerator.start();
    let status = || {
        if !mistake {
            accelerator.ring.invalidate(0..64);
        }
        accelerator.ring.mapping.load_register(DESCRIPTOR_STATUS)
    };
    let done = (0..PATIENCE).any(|_| status() == DONE);
    to.invalidate(0..BYTES);
    done && to.holds(0..BYTES, 1)
}

fn result_invalidated_before_it_was_there(mistake: bool) -> bool {
    let accelerator = Accelerator::new();
    let stage = &accelerator.stage;
    let (from, to) = (stage.buffer(BYTES), stage.buffer(BYTES));
    from.fill(0..BYTES, 1);
    from.clean(0..BYTES);
    to.fill(0..BYTES, 2);
    to.invalidate(0..BYTES);
    accelerator.describe_copy(&from, &to, BYTES);
    accelerator.hand_over();
    accelerator.start();
    if mistake {
        to.invalidate(0..16);
        to.invalidate(PAGE..BYTES);
    }
    let done = accelerator.wait();
    if !mistake {
        to.invalidate(0..BYTES);
    }
    done && to.holds(0..BYTES, 1)
}

fn weights_not_cleaned(mistake: bool) -> bool {
    let accelerator = Accelerator::new();
    let stage = &accelerator.stage;
    let image = stage.buffer(256);
    let (weights, result) = (stage.buffer(16), stage.buffer(256));
    image.fill(0..256, 1);
    image.clean(0..256);
    // The kernel that copies the image: one in the middle.
    weights.mapping.write(0, &[0, 0, 0, 0, 1, 0, 0, 0, 0]);
    if !mistake {
        weights.clean(0..16);
    }
    accelerator.describe(
        &[(0, 4), (0x28, 16), (0x2c, 16), (0x30, 1), (0x34, 1)],
        &[(0x08, &image), (0x10, &weights), (0x20, &result)],
    );
    let done = accelerator.run();
    result.invalidate(0..256);
    done && result.holds(0..256, 1)
}

fn result_cleared_while_the_device_works(mistake: bool) -> bool {
    let accelerator = Accelerator::new();
    let stage = &accelerator.stage;
    let (from, to) = (stage.buffer(BYTES), stage.buffer(BYTES));
    from.fill(0..BYTES, 1);
    from.clean(0..BYTES);
    to.invalidate(0..BYTES);
    accelerator.describe_copy(&from, &to, BYTES);
    accelerator.hand_over();
    accelerator.start();
    if mistake {
        to.mapping.set(0..64, 0);
    }
    let done = accelerator.wait();
    to.invalidate(0..BYTES);
    done && to.holds(0..BYTES, 1)
}

fn write_combine_without_barrier(mistake: bool) -> bool {
    let accelerator = Accelerator::new();
    let stage = &accelerator.stage;
    let [from, to] = [0, 1].map(|_| stage.buffer_with(BYTES, ALLOC_WRITE_COMBINE));
    accelerator.describe_copy(&from, &to, 16);
    accelerator.hand_over();
    from.mapping.store(0, 7);
    if !mistake {
        cache::barrier();
    }
    accelerator.start();
    // The model does not delay stores, so this comes out right.
    accelerator.wait() && to.mapping.load(0) == 7
}
