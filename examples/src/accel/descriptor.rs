// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the accelerator can be asked to do, and the descriptors that ask for it.

use super::AccelError;
use fpgamem::{DeviceAddr, DeviceBuffer, Direction};

/// Bytes of a descriptor.
pub(super) const DESCRIPTOR_BYTES: usize = 64;
/// Where the accelerator writes its status word in a descriptor.
pub(super) const STATUS_OFFSET: usize = 0x3c;

pub(super) const COPY: u32 = 1;
pub(super) const FILL: u32 = 2;
pub(super) const MATMUL: u32 = 3;
pub(super) const CONV: u32 = 4;

pub(super) const FLAG_RELU: u32 = 1 << 0;
pub(super) const FLAG_STRIDE_2: u32 = 1 << 1;

/// The most rows, columns or channels.
const MAX_EXTENT: usize = 4096;
/// The most bytes of an operand.
const MAX_BYTES: usize = 64 << 20;

/// How sums of 32 bits become values of 8 bits: divided by `2^shift`, rounded half up, limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Binary logarithm of the divisor, 0 to 31.
    pub shift: u8,
    /// Whether negative values become 0.
    pub relu: bool,
}

/// A convolution with 3x3 filters and zeroes around the input.
///
/// Tensors lie in memory row by row, point by point, channel by channel; weights likewise, the first
/// filter first. The bias has 4 bytes for each filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv3x3 {
    /// Rows of the input, 1 to 4096.
    pub height: usize,
    /// Columns of the input, 1 to 4096.
    pub width: usize,
    /// Channels of the input, 1 to 4096.
    pub channels: usize,
    /// Channels of the output, 1 to 4096.
    pub filters: usize,
    /// Whether every second point of every second row is taken only.
    pub stride_2: bool,
    /// How sums become the output.
    pub output: Output,
}

/// A product of two matrices, which lie in memory row by row. The bias has 4 bytes for each column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul {
    /// Rows of the left matrix and of the product, 1 to 4096.
    pub rows: usize,
    /// Columns of the left matrix and rows of the right one, 1 to 4096.
    pub inner: usize,
    /// Columns of the right matrix and of the product, 1 to 4096.
    pub columns: usize,
    /// How sums become the product.
    pub output: Output,
}

/// Memory that an operation uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub(super) addr: DeviceAddr,
    pub(super) len: usize,
    pub(super) direction: Direction,
}

impl From<&DeviceBuffer> for Operand {
    fn from(buffer: &DeviceBuffer) -> Self {
        Self {
            addr: buffer.device_addr(),
            len: buffer.len(),
            direction: buffer.direction(),
        }
    }
}

impl Operand {
    /// The address, if the accelerator may read as many bytes there.
    fn read(self, which: &'static str, needed: usize) -> Result<u64, AccelError> {
        self.used(which, needed, self.direction.device_reads())
    }

    /// The address, if the accelerator may write as many bytes there.
    fn written(self, which: &'static str, needed: usize) -> Result<u64, AccelError> {
        self.used(which, needed, self.direction.device_writes())
    }

    fn used(self, which: &'static str, needed: usize, may: bool) -> Result<u64, AccelError> {
        let Self {
            addr,
            len,
            direction,
        } = self;
        if !may {
            return Err(AccelError::Direction { which, direction });
        }
        if needed > len {
            return Err(AccelError::Length { which, needed, len });
        }
        Ok(addr.as_u64())
    }
}

/// A descriptor: words as they lie in the ring, the last one for the accelerator's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descriptor([u32; DESCRIPTOR_BYTES / 4]);

impl Descriptor {
    fn new(opcode: u32, flags: u32) -> Self {
        let mut words = [0; DESCRIPTOR_BYTES / 4];
        (words[0], words[1]) = (opcode, flags);
        Self(words)
    }

    /// Sets the address of an operand at an offset.
    fn address(mut self, offset: usize, address: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = address.to_le_bytes();
        self.0[offset / 4] = u32::from_le_bytes([a, b, c, d]);
        self.0[offset / 4 + 1] = u32::from_le_bytes([e, f, g, h]);
        self
    }

    /// Sets the words from 0x28 on.
    fn parameters<const N: usize>(mut self, parameters: [u32; N]) -> Self {
        self.0[0x28 / 4..0x28 / 4 + N].copy_from_slice(&parameters);
        self
    }

    /// The bytes to store into the ring.
    pub(super) fn bytes(&self) -> [u8; DESCRIPTOR_BYTES] {
        let mut bytes = [0; DESCRIPTOR_BYTES];
        for (to, word) in bytes.chunks_exact_mut(4).zip(self.0) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Copies the first `bytes` bytes of `from` to `to`.
    pub(super) fn copy(from: Operand, to: Operand, bytes: usize) -> Result<Self, AccelError> {
        let count = within("bytes", bytes, MAX_BYTES)?;
        let from = from.read("source", bytes)?;
        let to = to.written("destination", bytes)?;
        Ok(Self::new(COPY, 0)
            .address(0x08, from)
            .address(0x20, to)
            .parameters([count]))
    }

    /// Fills the first `bytes` bytes of `to` with a word of 4 bytes, again and again.
    pub(super) fn fill(to: Operand, word: u32, bytes: usize) -> Result<Self, AccelError> {
        let count = within("bytes", bytes, MAX_BYTES)?;
        let to = to.written("destination", bytes)?;
        Ok(Self::new(FILL, 0)
            .address(0x20, to)
            .parameters([count, word]))
    }

    /// Multiplies two matrices.
    pub(super) fn matmul(
        product: &MatMul,
        [left, right, bias, to]: [Operand; 4],
    ) -> Result<Self, AccelError> {
        let &MatMul {
            rows,
            inner,
            columns,
            output,
        } = product;
        let parameters = [
            within("rows", rows, MAX_EXTENT)?,
            within("columns", columns, MAX_EXTENT)?,
            within("inner rows", inner, MAX_EXTENT)?,
            shift(output)?,
        ];
        Ok(Self::new(MATMUL, relu(output))
            .address(0x08, left.read("left matrix", rows * inner)?)
            .address(0x10, right.read("right matrix", inner * columns)?)
            .address(0x18, bias.read("bias", 4 * columns)?)
            .address(0x20, to.written("product", rows * columns)?)
            .parameters(parameters))
    }

    /// Convolves a tensor.
    pub(super) fn conv3x3(
        conv: &Conv3x3,
        [input, weights, bias, to]: [Operand; 4],
    ) -> Result<Self, AccelError> {
        let &Conv3x3 {
            height,
            width,
            channels,
            filters,
            stride_2,
            output,
        } = conv;
        let parameters = [
            within("rows", height, MAX_EXTENT)?,
            within("columns", width, MAX_EXTENT)?,
            within("channels", channels, MAX_EXTENT)?,
            within("filters", filters, MAX_EXTENT)?,
            shift(output)?,
        ];
        let (stride, flag) = if stride_2 { (2, FLAG_STRIDE_2) } else { (1, 0) };
        let points = height.div_ceil(stride) * width.div_ceil(stride);
        Ok(Self::new(CONV, flag | relu(output))
            .address(0x08, input.read("input", height * width * channels)?)
            .address(0x10, weights.read("weights", filters * 9 * channels)?)
            .address(0x18, bias.read("bias", 4 * filters)?)
            .address(0x20, to.written("output", points * filters)?)
            .parameters(parameters))
    }
}

fn relu(output: Output) -> u32 {
    if output.relu {
        FLAG_RELU
    } else {
        0
    }
}

fn shift(output: Output) -> Result<u32, AccelError> {
    match output.shift {
        shift @ 0..=31 => Ok(shift.into()),
        shift => Err(AccelError::Extent {
            which: "shift",
            found: shift.into(),
            min: 0,
            max: 31,
        }),
    }
}

/// A number as a word, if it is from 1 to `max`.
fn within(which: &'static str, found: usize, max: usize) -> Result<u32, AccelError> {
    u32::try_from(found)
        .ok()
        .filter(|_| (1..=max).contains(&found))
        .ok_or(AccelError::Extent {
            which,
            found,
            min: 1,
            max,
        })
}
