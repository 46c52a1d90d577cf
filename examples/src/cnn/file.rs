// SPDX-License-Identifier: MIT OR Apache-2.0

//! The file of a network. Numbers are little-endian:
//!
//! ```text
//! file     "fpgacnn1"  input: u16 height, u16 width, u16 channels  u16 number of layers  layers
//! layer    u8 kind  u8 shift  u16 outputs  content
//! content  kind 1, convolution:      i32 bias[outputs]  i8 weights[outputs][3][3][channels]
//!          kind 2, max pool:         nothing; shift and outputs are 0
//!          kind 3, fully connected:  i32 bias[outputs]  i8 weights[inputs][outputs]
//! ```

use super::{Layer, Network, Shape, Weights};

const MAGIC: &[u8; 8] = b"fpgacnn1";
const CONV: u8 = 1;
const MAX_POOL: u8 = 2;
const DENSE: u8 = 3;

/// The most layers, channels, rows or columns of a network.
const MAX_COUNT: usize = 4096;
/// The most values of a tensor and of a layer's weights: sums then stay far inside of 32 bits.
const MAX_VALUES: usize = 1 << 24;
/// The most products that are added up to one sum.
const MAX_PRODUCTS: usize = 1 << 16;
/// The largest bias, up or down.
const MAX_BIAS: i32 = 1 << 29;
const MAX_SHIFT: u8 = 31;

/// Why a file is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The first bytes are others.
    #[error("the file does not begin with \"fpgacnn1\"; make-cnn writes one that does")]
    Magic,

    /// The file ends too early.
    #[error("the file ends at byte {end}, but {what} takes {needed} bytes from byte {offset} on")]
    End {
        /// What is cut off.
        what: &'static str,
        /// Where it begins.
        offset: usize,
        /// Its bytes.
        needed: usize,
        /// Length of the file.
        end: usize,
    },

    /// The file goes on after the last layer.
    #[error("the last layer ends at byte {offset}, but the file has {end} bytes")]
    Rest {
        /// Where the last layer ends.
        offset: usize,
        /// Length of the file.
        end: usize,
    },

    /// A number is out of its range.
    #[error("{what} at byte {offset} is {found}, not {min} to {max}")]
    Range {
        /// Which number.
        what: &'static str,
        /// Where it is.
        offset: usize,
        /// Its value.
        found: i64,
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
    },

    /// A layer is of a kind that does not exist.
    #[error("layer {layer} at byte {offset} is of kind {found}; there are 1 to 3")]
    Kind {
        /// Which layer, from 1 on.
        layer: usize,
        /// Where it begins.
        offset: usize,
        /// Its kind.
        found: u8,
    },

    /// A layer's input, output or weights are too large, or nothing is left of the input.
    #[error(
        "layer {layer} makes {values} values of an input of {input}: not 1 to {}",
        MAX_VALUES
    )]
    Size {
        /// Which layer, from 1 on.
        layer: usize,
        /// Its input.
        input: Shape,
        /// Values of its output.
        values: usize,
    },

    /// A layer adds up more products than a sum of 32 bits is sure to hold.
    #[error(
        "layer {layer} adds up {products} products, more than {}",
        MAX_PRODUCTS
    )]
    Products {
        /// Which layer, from 1 on.
        layer: usize,
        /// Products in one sum.
        products: usize,
    },
}

impl Network {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place in the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, FileError> {
        let mut reader = Reader { bytes, at: 0 };
        if !bytes.starts_with(MAGIC) {
            return Err(FileError::Magic);
        }
        reader.at = MAGIC.len();
        let input = Shape {
            height: reader.count("the height")?,
            width: reader.count("the width")?,
            channels: reader.count("the number of channels")?,
        };
        let nr_layers = reader.count("the number of layers")?;
        let mut layers = Vec::new();
        let mut shape = input;
        for number in 1..=nr_layers {
            let layer = reader.layer(number, shape)?;
            shape = layer.output(shape);
            layers.push(layer);
        }
        if reader.at != bytes.len() {
            return Err(FileError::Rest {
                offset: reader.at,
                end: bytes.len(),
            });
        }
        Ok(Self { input, layers })
    }

    /// The network as a file.
    ///
    /// # Panics
    ///
    /// Where it has more layers, channels, rows or columns than a file can say.
    #[must_use]
    pub fn file(&self) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        let Shape {
            channels,
            height,
            width,
        } = self.input;
        for count in [height, width, channels, self.layers.len()] {
            file.extend(short(count));
        }
        for layer in &self.layers {
            let kind = match layer {
                Layer::Conv(_) => CONV,
                Layer::MaxPool => MAX_POOL,
                Layer::Dense(_) => DENSE,
            };
            let none = Weights {
                outputs: 0,
                shift: 0,
                bias: Vec::new(),
                weights: Vec::new(),
            };
            let weights = layer.weights().unwrap_or(&none);
            file.extend([kind, weights.shift]);
            file.extend(short(weights.outputs));
            file.extend(weights.bias.iter().flat_map(|bias| bias.to_le_bytes()));
            file.extend(
                weights
                    .weights
                    .iter()
                    .flat_map(|weight| weight.to_le_bytes()),
            );
        }
        file
    }
}

/// A count in a file.
fn short(count: usize) -> [u8; 2] {
    assert!(
        count <= MAX_COUNT,
        "a file has room for counts up to {MAX_COUNT}, not {count}"
    );
    // The assertion says that the upper bytes are 0.
    let [low, high, ..] = count.to_le_bytes();
    [low, high]
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, what: &'static str, needed: usize) -> Result<&'a [u8], FileError> {
        let (offset, end) = (self.at, self.bytes.len());
        let taken = self.bytes[offset..].get(..needed);
        self.at += taken.map_or(0, <[u8]>::len);
        taken.ok_or(FileError::End {
            what,
            offset,
            needed,
            end,
        })
    }

    /// Reads a number of 16 bits, at least 1.
    fn count(&mut self, what: &'static str) -> Result<usize, FileError> {
        self.short(what, 1, MAX_COUNT)
    }

    fn short(&mut self, what: &'static str, min: usize, max: usize) -> Result<usize, FileError> {
        let offset = self.at;
        let bytes = self.take(what, 2)?;
        let found = usize::from(bytes[1]) << 8 | usize::from(bytes[0]);
        if (min..=max).contains(&found) {
            return Ok(found);
        }
        let [found, min, max] = [found, min, max].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        Err(FileError::Range {
            what,
            offset,
            found,
            min,
            max,
        })
    }

    fn layer(&mut self, layer: usize, input: Shape) -> Result<Layer, FileError> {
        let offset = self.at;
        let &[kind, shift] = self.take("a layer", 2)? else {
            unreachable!("two bytes were taken");
        };
        let max_shift = if kind == MAX_POOL { 0 } else { MAX_SHIFT };
        if shift > max_shift {
            let (offset, found, max) = (offset + 1, shift.into(), max_shift.into());
            return Err(FileError::Range {
                what: "the shift",
                offset,
                found,
                min: 0,
                max,
            });
        }
        let make: fn(Weights) -> Layer = match kind {
            CONV => Layer::Conv,
            DENSE => Layer::Dense,
            MAX_POOL => {
                self.short("the number of outputs", 0, 0)?;
                check_size(layer, input, Layer::MaxPool.output(input).values())?;
                return Ok(Layer::MaxPool);
            }
            found => {
                return Err(FileError::Kind {
                    layer,
                    offset,
                    found,
                })
            }
        };
        let outputs = self.count("the number of outputs")?;
        let products = if kind == CONV {
            9 * input.channels
        } else {
            input.values()
        };
        let none = Weights {
            outputs,
            shift,
            bias: Vec::new(),
            weights: Vec::new(),
        };
        check_size(layer, input, make(none).output(input).values())?;
        if products > MAX_PRODUCTS {
            return Err(FileError::Products { layer, products });
        }
        let bias = self.bias(outputs)?;
        let weights = self.weights(outputs * products)?;
        Ok(make(Weights {
            outputs,
            shift,
            bias,
            weights,
        }))
    }

    fn bias(&mut self, count: usize) -> Result<Vec<i32>, FileError> {
        let offset = self.at;
        let bytes = self.take("the bias", 4 * count)?;
        let mut bias = Vec::with_capacity(count);
        for (number, word) in bytes.chunks_exact(4).enumerate() {
            let value = i32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            if !(-MAX_BIAS..=MAX_BIAS).contains(&value) {
                return Err(FileError::Range {
                    what: "a bias",
                    offset: offset + 4 * number,
                    found: value.into(),
                    min: (-MAX_BIAS).into(),
                    max: MAX_BIAS.into(),
                });
            }
            bias.push(value);
        }
        Ok(bias)
    }

    fn weights(&mut self, count: usize) -> Result<Vec<i8>, FileError> {
        let bytes = self.take("the weights", count)?;
        Ok(bytes
            .iter()
            .map(|byte| i8::from_le_bytes([*byte]))
            .collect())
    }
}

fn check_size(layer: usize, input: Shape, values: usize) -> Result<(), FileError> {
    if (1..=MAX_VALUES).contains(&values) && input.values() <= MAX_VALUES {
        Ok(())
    } else {
        Err(FileError::Size {
            layer,
            input,
            values,
        })
    }
}

#[cfg(test)]
mod tests;
