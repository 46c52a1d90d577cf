// SPDX-License-Identifier: GPL-2.0-or-later

//! Descriptors: what the accelerator is asked to do, as it lies in memory, checked.

use super::compute::{ConvolutionShape, MatrixShape, Output};
use crate::memory::host;

/// Bytes of a descriptor: one cache line, so that no two share one.
pub const DESCRIPTOR_BYTES: u64 = 64;

/// Alignment of every address.
pub const ALIGNMENT: u64 = 16;

/// Offset of the status word.
pub(crate) const STATUS: u64 = 0x3c;

/// The largest dimension of a matrix or image.
const MOST_DIMENSION: u32 = 4096;

/// The largest operand or result in bytes.
const MOST_BYTES: u64 = 64 << 20;

const FLAG_RELU: u32 = 1;
const FLAG_STRIDE_2: u32 = 2;

/// Why a descriptor was not executed; the number that the status word shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Refusal {
    /// The operation or a flag does not exist.
    Operation = 1,
    /// An address is not a multiple of 16.
    Alignment = 2,
    /// An operand or the result is not wholly in DDR.
    Range = 3,
    /// A dimension is 0 or too large, or the shift is more than 31.
    Size = 4,
    /// The ring itself cannot be used.
    Ring = 5,
}

/// Bytes in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Physical address.
    pub address: u64,
    /// Bytes.
    pub len: u64,
}

/// A checked descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Copies bytes.
    Copy {
        /// From where.
        source: Operand,
        /// To where.
        destination: u64,
    },
    /// Repeats a 4-byte word.
    Fill {
        /// To where.
        destination: Operand,
        /// The word.
        value: u32,
    },
    /// Multiplies matrices.
    MatrixProduct {
        /// Their sizes.
        shape: MatrixShape,
        /// A, B and, where wanted, the biases.
        operands: [Operand; 2],
        /// One 4-byte number per column.
        bias: Option<Operand>,
        /// To where.
        destination: Operand,
        /// How sums become results.
        output: Output,
    },
    /// Convolves an image.
    Convolution {
        /// Its size.
        shape: ConvolutionShape,
        /// Image and weights.
        operands: [Operand; 2],
        /// One 4-byte number per output.
        bias: Option<Operand>,
        /// To where.
        destination: Operand,
        /// How sums become results.
        output: Output,
    },
}

impl Operand {
    /// Whether any byte is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.address < other.address + other.len && other.address < self.address + self.len
    }
}

impl Job {
    /// What it reads.
    pub fn operands(&self) -> Vec<Operand> {
        match *self {
            Self::Copy { source, .. } => vec![source],
            Self::Fill { .. } => Vec::new(),
            Self::MatrixProduct { operands, bias, .. }
            | Self::Convolution { operands, bias, .. } => {
                operands.into_iter().chain(bias).collect()
            }
        }
    }

    /// What it writes.
    pub fn result(&self) -> Operand {
        match *self {
            Self::Copy {
                source,
                destination,
            } => Operand {
                address: destination,
                len: source.len,
            },
            Self::Fill { destination, .. }
            | Self::MatrixProduct { destination, .. }
            | Self::Convolution { destination, .. } => destination,
        }
    }
}

/// The fields as they lie in memory.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn word(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[at..at + 4]);
        u32::from_le_bytes(bytes)
    }

    fn address(&self, at: usize) -> u64 {
        u64::from(self.word(at + 4)) << 32 | u64::from(self.word(at))
    }

    fn dimension(&self, at: usize) -> Result<u64, Refusal> {
        match self.word(at) {
            value @ 1..=MOST_DIMENSION => Ok(u64::from(value)),
            _ => Err(Refusal::Size),
        }
    }

    fn output(&self, shift_at: usize) -> Result<Output, Refusal> {
        match self.word(shift_at) {
            shift @ 0..=31 => Ok(Output {
                shift,
                relu: self.word(4) & FLAG_RELU != 0,
            }),
            _ => Err(Refusal::Size),
        }
    }
}

/// Checks the 64 bytes of a descriptor. `is_memory` says whether a range may be accessed.
///
/// # Errors
///
/// The first rule that it breaks.
pub fn decode(bytes: &[u8], is_memory: impl Fn(u64, u64) -> bool) -> Result<Job, Refusal> {
    let fields = Fields(bytes);
    let operand = |at: usize, len: u64| {
        let address = fields.address(at);
        if !address.is_multiple_of(ALIGNMENT) {
            Err(Refusal::Alignment)
        } else if len == 0 || len > MOST_BYTES {
            Err(Refusal::Size)
        } else if !is_memory(address, len) {
            Err(Refusal::Range)
        } else {
            Ok(Operand { address, len })
        }
    };
    let bias = |len: u64| match fields.address(0x18) {
        0 => Ok(None),
        _ => operand(0x18, len * 4).map(Some),
    };
    let allowed = match fields.word(0) {
        1 | 2 => 0,
        3 => FLAG_RELU,
        4 => FLAG_RELU | FLAG_STRIDE_2,
        _ => return Err(Refusal::Operation),
    };
    if fields.word(4) & !allowed != 0 {
        return Err(Refusal::Operation);
    }
    match fields.word(0) {
        1 => {
            let len = u64::from(fields.word(0x28));
            Ok(Job::Copy {
                source: operand(0x08, len)?,
                destination: operand(0x20, len)?.address,
            })
        }
        2 => Ok(Job::Fill {
            destination: operand(0x20, u64::from(fields.word(0x28)))?,
            value: fields.word(0x2c),
        }),
        3 => {
            let (rows, columns) = (fields.dimension(0x28)?, fields.dimension(0x2c)?);
            let inner = fields.dimension(0x30)?;
            Ok(Job::MatrixProduct {
                shape: MatrixShape {
                    rows: host(rows),
                    inner: host(inner),
                    columns: host(columns),
                },
                operands: [
                    operand(0x08, rows * inner)?,
                    operand(0x10, inner * columns)?,
                ],
                bias: bias(columns)?,
                destination: operand(0x20, rows * columns)?,
                output: fields.output(0x34)?,
            })
        }
        _ => {
            let (height, width) = (fields.dimension(0x28)?, fields.dimension(0x2c)?);
            let (inputs, outputs) = (fields.dimension(0x30)?, fields.dimension(0x34)?);
            let stride = if fields.word(4) & FLAG_STRIDE_2 != 0 {
                2
            } else {
                1
            };
            let shape = ConvolutionShape {
                height: host(height),
                width: host(width),
                inputs: host(inputs),
                outputs: host(outputs),
                stride,
            };
            let (rows, columns) = shape.result_size();
            Ok(Job::Convolution {
                shape,
                operands: [
                    operand(0x08, height * width * inputs)?,
                    operand(0x10, shape.weight_count() as u64)?,
                ],
                bias: bias(outputs)?,
                destination: operand(0x20, (rows * columns) as u64 * outputs)?,
                output: fields.output(0x38)?,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A descriptor of words at offsets.
    fn descriptor(words: &[(usize, u32)]) -> [u8; 64] {
        let mut bytes = [0; 64];
        for (at, word) in words {
            bytes[*at..*at + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Memory from 0x1000 to 0x9000.
    fn is_memory(address: u64, len: u64) -> bool {
        address >= 0x1000 && address + len <= 0x9000
    }

    fn refusal(words: &[(usize, u32)]) -> Refusal {
        decode(&descriptor(words), is_memory).unwrap_err()
    }

    const COPY: [(usize, u32); 4] = [(0, 1), (0x08, 0x1000), (0x20, 0x2000), (0x28, 100)];

    #[test]
    fn a_copy_is_read() {
        let job = decode(&descriptor(&COPY), is_memory);
        let source = Operand {
            address: 0x1000,
            len: 100,
        };
        let expected = Job::Copy {
            source,
            destination: 0x2000,
        };
        assert_eq!(job, Ok(expected));
    }

    #[test]
    fn a_convolution_is_read() {
        let words = [
            (0, 4),
            (4, 3),
            (0x08, 0x1000),
            (0x10, 0x2000),
            (0x20, 0x4000),
            (0x28, 5),
            (0x2c, 6),
            (0x30, 3),
            (0x34, 8),
            (0x38, 7),
        ];
        let job = decode(&descriptor(&words), is_memory).unwrap();
        let Job::Convolution {
            shape,
            operands,
            bias,
            destination,
            output,
        } = job
        else {
            panic!("{job:?}");
        };
        assert_eq!((shape.stride, shape.result_size()), (2, (3, 3)));
        assert_eq!(operands.map(|o| o.len), [90, 216]);
        assert_eq!((bias, destination.len), (None, 72));
        assert_eq!((output.shift, output.relu), (7, true));
    }

    #[test]
    fn operations_and_flags_that_do_not_exist_are_refused() {
        assert_eq!(refusal(&[(0, 0)]), Refusal::Operation);
        assert_eq!(refusal(&[(0, 5)]), Refusal::Operation);
        let with_flag = [&COPY[..], &[(4, 1)]].concat();
        assert_eq!(refusal(&with_flag), Refusal::Operation);
    }

    #[test]
    fn each_address_must_be_aligned() {
        for at in [0x08, 0x20] {
            let words = [&COPY[..], &[(at, 0x1008)]].concat();
            assert_eq!(refusal(&words), Refusal::Alignment, "{at:#x}");
        }
    }

    #[test]
    fn each_range_must_be_memory() {
        for (at, address) in [(0x08, 0xff0), (0x20, 0x8fa0)] {
            let words = [&COPY[..], &[(at, address)]].concat();
            assert_eq!(refusal(&words), Refusal::Range, "{at:#x}");
        }
        let high = [&COPY[..], &[(0x0c, 1)]].concat();
        assert_eq!(refusal(&high), Refusal::Range);
    }

    #[test]
    fn sizes_have_limits() {
        let product = [
            (0, 3),
            (0x08, 0x1000),
            (0x10, 0x1000),
            (0x20, 0x1000),
            (0x28, 4),
            (0x2c, 4),
            (0x30, 4),
        ];
        assert!(decode(&descriptor(&product), is_memory).is_ok());
        for change in [(0x28, 0), (0x2c, 4097), (0x30, 0), (0x34, 32)] {
            let words = [&product[..], &[change]].concat();
            assert_eq!(refusal(&words), Refusal::Size, "{change:?}");
        }
        let empty = [&COPY[..], &[(0x28, 0)]].concat();
        assert_eq!(refusal(&empty), Refusal::Size);
    }
}
