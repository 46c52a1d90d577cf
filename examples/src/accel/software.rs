// SPDX-License-Identifier: MIT OR Apache-2.0

//! An accelerator in software, behind the same registers and the same ring, by the same manual.
//!
//! It is written for the tests without a look at the reference that they compare it with: values
//! are computed one by one, from what the manual says of each.

use super::*;
use descriptor::{Operand, CONV, COPY, FILL, FLAG_RELU, FLAG_STRIDE_2, MATMUL};
use fpgamem::{DeviceAddr, Error};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Address of the first byte of memory.
const BASE: u64 = 0x6_4000_0000;

/// The accelerator and its memory.
pub(crate) struct Software {
    memory: RefCell<Vec<u8>>,
    registers: RefCell<BTreeMap<usize, u32>>,
    /// Bytes of memory in use.
    used: Cell<usize>,
    /// Executes nothing: the doorbell is not connected.
    pub(crate) deaf: Cell<bool>,
    /// Executes nothing until somebody sleeps: a doorbell that is still to be answered.
    pub(crate) lazy: Cell<bool>,
    doorbell: Cell<Option<u32>>,
    /// Times that somebody slept.
    pub(crate) sleeps: Cell<u32>,
    /// Whether the ring was given back.
    pub(crate) released: Cell<bool>,
}

/// The registers as the driver has them.
#[derive(Clone)]
pub(crate) struct Side(Rc<Software>);

impl Software {
    /// An accelerator with `bytes` bytes of memory.
    pub(crate) fn new(bytes: usize) -> Rc<Self> {
        Rc::new(Self {
            memory: RefCell::new(vec![0; bytes]),
            registers: RefCell::new(BTreeMap::from([(ID, ID_VALUE), (VERSION, 0x0001_0203)])),
            used: Cell::new(0),
            deaf: Cell::new(false),
            lazy: Cell::new(false),
            doorbell: Cell::new(None),
            sleeps: Cell::new(0),
            released: Cell::new(false),
        })
    }

    /// A driver for it.
    pub(crate) fn driver(self: &Rc<Self>) -> Accel<Side, Side> {
        let ring = self.alloc(host(SLOTS) * DESCRIPTOR_BYTES, Direction::Bidirectional);
        assert_eq!(ring.addr.as_u64(), BASE, "the ring comes first");
        let side = Side(Rc::clone(self));
        Accel::start(side.clone(), side, Duration::from_millis(1))
    }

    /// Memory that nobody else has.
    pub(crate) fn alloc(&self, len: usize, direction: Direction) -> Operand {
        let offset = self
            .used
            .replace(self.used.get() + len.next_multiple_of(64));
        assert!(
            self.used.get() <= self.memory.borrow().len(),
            "the memory is large enough"
        );
        Operand {
            addr: DeviceAddr::new(BASE + offset as u64),
            len,
            direction,
        }
    }

    /// Memory with bytes in it, for the accelerator to read.
    pub(crate) fn hold(&self, bytes: impl IntoIterator<Item = u8>) -> Operand {
        let bytes: Vec<u8> = bytes.into_iter().collect();
        let operand = self.alloc(bytes.len(), Direction::ToDevice);
        let start = usize::try_from(operand.addr.as_u64() - BASE).unwrap();
        self.memory.borrow_mut()[start..start + bytes.len()].copy_from_slice(&bytes);
        operand
    }

    /// What an operand holds.
    pub(crate) fn held(&self, operand: &Operand) -> Vec<u8> {
        self.bytes(operand.addr.as_u64(), operand.len)
    }

    fn bytes(&self, addr: u64, len: usize) -> Vec<u8> {
        let start = usize::try_from(addr - BASE).unwrap();
        self.memory.borrow()[start..start + len].to_vec()
    }

    fn count(&self, register: usize, bytes: usize) {
        let mut registers = self.registers.borrow_mut();
        // The counts of a test need no upper word.
        *registers.entry(register).or_default() += u32::try_from(bytes).unwrap();
    }

    fn load(&self, addr: u64, len: usize) -> Vec<u8> {
        self.count(READ_BYTES, len);
        self.bytes(addr, len)
    }

    fn store(&self, addr: u64, bytes: &[u8]) {
        self.count(WRITTEN_BYTES, bytes.len());
        let start = usize::try_from(addr - BASE).unwrap();
        self.memory.borrow_mut()[start..start + bytes.len()].copy_from_slice(bytes);
    }

    fn get(&self, register: usize) -> u32 {
        self.registers.borrow().get(&register).copied().unwrap_or(0)
    }

    fn set(&self, register: usize, value: u32) {
        self.registers.borrow_mut().insert(register, value);
    }

    /// Executes what lies in the ring before `tail`.
    fn run(&self, tail: u32) {
        const HEAD: usize = 0x030;
        let ring = u64::from(self.get(RING + 4)) << 32 | u64::from(self.get(RING));
        while self.get(CONTROL) == CONTROL_ENABLE && self.get(HEAD) != tail {
            let head = self.get(HEAD);
            let at = ring + u64::from(head) * 64;
            let bytes = self.load(at, 64);
            let words: Vec<u32> = bytes.chunks(4).map(word).collect();
            let status = match self.perform(&words) {
                Ok(()) => {
                    self.set(HEAD, (head + 1) % self.get(RING + 8));
                    self.set(INTERRUPT_STATUS, self.get(INTERRUPT_STATUS) | 1);
                    1
                }
                Err(error) => {
                    self.set(ERROR, error);
                    self.set(STATUS, 2);
                    self.set(INTERRUPT_STATUS, self.get(INTERRUPT_STATUS) | 2);
                    0x8000_0000 + error
                }
            };
            self.store(at + 60, &status.to_le_bytes());
            if status != 1 {
                break;
            }
        }
    }

    fn perform(&self, words: &[u32]) -> Result<(), u32> {
        let addr = |offset: usize| {
            let at = u64::from(words[offset / 4 + 1]) << 32 | u64::from(words[offset / 4]);
            if at % 16 == 0 {
                Ok(at)
            } else {
                Err(2_u32)
            }
        };
        let size = |offset: usize| host(words[offset / 4]);
        match words[0] {
            COPY => self.store(addr(0x20)?, &self.load(addr(0x08)?, size(0x28))),
            FILL => {
                let pattern = words[0x2c / 4].to_le_bytes();
                let bytes: Vec<u8> = pattern.into_iter().cycle().take(size(0x28)).collect();
                self.store(addr(0x20)?, &bytes);
            }
            MATMUL => {
                let (rows, columns, inner) = (size(0x28), size(0x2c), size(0x30));
                let left = self.load(addr(0x08)?, rows * inner);
                let right = self.load(addr(0x10)?, inner * columns);
                let bias = self.load(addr(0x18)?, columns * 4);
                let mut product = Vec::new();
                for at in 0..rows * columns {
                    let (row, column) = (at / columns, at % columns);
                    let mut sum = i64::from(word(&bias[4 * column..]) as i32);
                    for i in 0..inner {
                        sum += signed(left[row * inner + i]) * signed(right[i * columns + column]);
                    }
                    product.push(narrow(sum, words[0x34 / 4], words[1]));
                }
                self.store(addr(0x20)?, &product);
            }
            CONV => {
                let sizes = [size(0x28), size(0x2c), size(0x30), size(0x34)];
                let [height, width, channels, filters] = sizes;
                let input = self.load(addr(0x08)?, height * width * channels);
                let weights = self.load(addr(0x10)?, filters * 9 * channels);
                let bias = self.load(addr(0x18)?, filters * 4);
                let stride = if words[1] & FLAG_STRIDE_2 != 0 { 2 } else { 1 };
                let mut output = Vec::new();
                for row in (0..height).step_by(stride) {
                    for column in (0..width).step_by(stride) {
                        for filter in 0..filters {
                            let start = i64::from(word(&bias[4 * filter..]) as i32);
                            let weights = &weights[filter * 9 * channels..];
                            let sum = start + convolve(sizes, &input, weights, row, column);
                            output.push(narrow(sum, words[0x38 / 4], words[1]));
                        }
                    }
                }
                self.store(addr(0x20)?, &output);
            }
            _ => return Err(1),
        }
        Ok(())
    }
}

/// The sum of one filter over one point.
fn convolve(sizes: [usize; 4], input: &[u8], weights: &[u8], row: usize, column: usize) -> i64 {
    let [height, width, channels, _] = sizes;
    let mut sum = 0;
    for (at, weight) in weights.iter().take(9 * channels).enumerate() {
        let (y, x, channel) = (
            row + at / channels / 3,
            column + at / channels % 3,
            at % channels,
        );
        // One more than the coordinate, which may be -1.
        if (1..=height).contains(&y) && (1..=width).contains(&x) {
            let value = input[((y - 1) * width + x - 1) * channels + channel];
            sum += signed(value) * signed(*weight);
        }
    }
    sum
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().unwrap())
}

fn signed(byte: u8) -> i64 {
    i64::from(byte as i8)
}

/// A sum as a value: divided by a power of two and rounded half up, in floating point, which is
/// exact for sums of 32 bits.
fn narrow(sum: i64, shift: u32, flags: u32) -> u8 {
    let value = (sum as f64 / 2_f64.powi(i32::try_from(shift).unwrap()) + 0.5).floor();
    let least = if flags & FLAG_RELU != 0 { 0.0 } else { -128.0 };
    // It is a whole number of 8 bits.
    #[allow(clippy::cast_possible_truncation)]
    let value = value.clamp(least, 127.0) as i8;
    value as u8
}

impl Registers for Side {
    fn read(&self, offset: usize) -> u32 {
        self.0.get(offset)
    }

    fn write(&mut self, offset: usize, value: u32) {
        if offset == CONTROL && value & CONTROL_RESET != 0 {
            self.0
                .registers
                .borrow_mut()
                .retain(|register, _| [ID, VERSION].contains(register));
            return;
        }
        if offset == INTERRUPT_STATUS {
            let left = self.0.get(INTERRUPT_STATUS) & !value;
            self.0.set(INTERRUPT_STATUS, left);
            return;
        }
        self.0.set(offset, value);
        if offset == TAIL && self.0.lazy.get() {
            self.0.doorbell.set(Some(value));
        } else if offset == TAIL && !self.0.deaf.get() {
            self.0.run(value);
        }
    }
}

impl Interrupt for Side {
    fn enable(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, limit: Duration) -> io::Result<bool> {
        self.0.sleeps.set(self.0.sleeps.get() + 1);
        match self.0.doorbell.take() {
            Some(tail) => self.0.run(tail),
            None => std::thread::sleep(limit),
        }
        Ok(self.0.get(INTERRUPT_STATUS) & self.0.get(INTERRUPT_ENABLE) != 0)
    }
}

impl Ring for Side {
    fn device_addr(&self) -> DeviceAddr {
        DeviceAddr::new(BASE)
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        self.0.memory.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn read_word(&self, offset: usize) -> Result<u32, Error> {
        Ok(word(&self.0.memory.borrow()[offset..]))
    }

    unsafe fn release(self) {
        assert_eq!(self.0.get(CONTROL), 0, "the accelerator is reset");
        self.0.released.set(true);
    }
}
