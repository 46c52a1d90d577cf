// SPDX-License-Identifier: MIT OR Apache-2.0

//! A small convolutional network in 8-bit integers: its description, its file, a reference in exact
//! arithmetic, and how a picture becomes its input.
//!
//! A tensor is a sequence of `i8`, row by row, in each point by point, in each channel by channel.

pub mod digit;
mod file;
pub mod picture;
pub mod reference;
// Where the program says that the accelerator has finished.
#[allow(unsafe_code)]
pub mod run;
pub mod train;

pub use file::FileError;

use crate::accel::{Conv3x3, MatMul, Output};
use picture::Picture;

/// The extent of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows, at least 1.
    pub height: usize,
    /// Columns, at least 1.
    pub width: usize,
    /// Values of a point, at least 1.
    pub channels: usize,
}

impl Shape {
    /// Values in the tensor, which are its bytes.
    #[must_use]
    pub fn values(self) -> usize {
        self.height * self.width * self.channels
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // As one string, so that a width given to the formatter counts.
        f.pad(&format!("{}x{}x{}", self.height, self.width, self.channels))
    }
}

/// One layer of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A convolution with 3x3 filters, stride 1, zeroes around the input, then bias and ReLU.
    ///
    /// The weights are those of the first filter first: row by row, point by point, channel by channel.
    Conv(Weights),
    /// The largest of each 2x2 values; an odd last row or column is left out.
    MaxPool,
    /// A product with a matrix, which has a row for every input and a column for every output, then
    /// bias.
    Dense(Weights),
}

/// What a layer has learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Channels or values that the layer puts out, at least 1.
    pub outputs: usize,
    /// Binary logarithm of what sums are divided by to make them values of 8 bits, 0 to 31.
    pub shift: u8,
    /// Added to the sums before, one for each output.
    pub bias: Vec<i32>,
    /// Factors.
    pub weights: Vec<i8>,
}

impl Layer {
    /// What the layer is called in tables.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conv(_) => "conv 3x3 + bias + ReLU",
            Self::MaxPool => "max pool 2x2",
            Self::Dense(_) => "fully connected",
        }
    }

    /// The shape of what the layer puts out, given an input of shape `input`.
    #[must_use]
    pub fn output(&self, input: Shape) -> Shape {
        match self {
            Self::Conv(weights) => Shape {
                channels: weights.outputs,
                ..input
            },
            Self::MaxPool => Shape {
                height: input.height / 2,
                width: input.width / 2,
                ..input
            },
            Self::Dense(weights) => Shape {
                channels: weights.outputs,
                height: 1,
                width: 1,
            },
        }
    }

    /// What the accelerator is to do for an input of shape `input`; `None` where the CPU computes the
    /// layer.
    #[must_use]
    pub fn operation(&self, input: Shape) -> Option<Operation> {
        let Shape {
            height,
            width,
            channels,
        } = input;
        match self {
            Self::Conv(Weights {
                outputs: filters,
                shift,
                ..
            }) => {
                let output = Output {
                    shift: *shift,
                    relu: true,
                };
                let filters = *filters;
                let conv = Conv3x3 {
                    height,
                    width,
                    channels,
                    filters,
                    stride_2: false,
                    output,
                };
                Some(Operation::Conv3x3(conv))
            }
            Self::Dense(Weights {
                outputs: columns,
                shift,
                ..
            }) => {
                let output = Output {
                    shift: *shift,
                    relu: false,
                };
                let inner = input.values();
                Some(Operation::MatMul(MatMul {
                    rows: 1,
                    inner,
                    columns: *columns,
                    output,
                }))
            }
            Self::MaxPool => None,
        }
    }

    /// What the layer has learnt, if it learns.
    #[must_use]
    pub fn weights(&self) -> Option<&Weights> {
        match self {
            Self::Conv(weights) | Self::Dense(weights) => Some(weights),
            Self::MaxPool => None,
        }
    }
}

/// A layer as the accelerator computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A convolution.
    Conv3x3(Conv3x3),
    /// A product.
    MatMul(MatMul),
}

/// A network: layers, each of which takes what the one before puts out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// What the first layer takes.
    pub input: Shape,
    /// The layers.
    pub layers: Vec<Layer>,
}

/// A picture does not fit a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the picture has {width}x{height} pixels of {channels} samples, but the network takes {wide}x{high} \
     of {deep}", wide = .network.width, high = .network.height, deep = .network.channels
)]
pub struct Unfit {
    /// Columns of the picture.
    pub width: usize,
    /// Rows of the picture.
    pub height: usize,
    /// Samples of a pixel of the picture.
    pub channels: usize,
    /// What the network takes.
    pub network: Shape,
}

impl Network {
    /// Makes a picture the network's input: samples 0 to 255 become values 0 to 127. A grey picture
    /// fills every channel.
    ///
    /// # Errors
    ///
    /// The size differs, or the picture has colours and the network takes another number of channels
    /// than 3.
    pub fn input(&self, picture: &Picture) -> Result<Vec<i8>, Unfit> {
        let &Picture {
            channels,
            height,
            width,
            ..
        } = picture;
        let fits = (height, width) == (self.input.height, self.input.width);
        if !fits || (channels != 1 && channels != self.input.channels) {
            return Err(Unfit {
                width,
                height,
                channels,
                network: self.input,
            });
        }
        let copies = self.input.channels / channels;
        let samples = picture.samples.iter();
        let values = samples
            .flat_map(|sample| vec![(sample / 2) as i8; copies])
            .collect();
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(channels: usize) -> Network {
        Network {
            input: Shape {
                channels,
                height: 1,
                width: 2,
            },
            layers: Vec::new(),
        }
    }

    fn picture(channels: usize, samples: &[u8]) -> Picture {
        Picture {
            channels,
            height: 1,
            width: 2,
            samples: samples.to_vec(),
        }
    }

    #[test]
    fn colours_become_channels() {
        let input = network(3).input(&picture(3, &[0, 2, 4, 255, 254, 253]));
        assert_eq!(input, Ok(vec![0, 1, 2, 127, 127, 126]));
    }

    #[test]
    fn grey_fills_every_channel() {
        let input = network(3).input(&picture(1, &[10, 20]));
        assert_eq!(input, Ok(vec![5, 5, 5, 10, 10, 10]));
    }

    #[test]
    fn a_picture_of_another_size_is_refused_with_both_sizes() {
        let other = Picture {
            channels: 3,
            height: 2,
            width: 1,
            samples: vec![0; 6],
        };
        let error = network(3).input(&other).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the picture has 1x2 pixels of 3 samples, but the network takes 2x1 of 3"
        );
    }

    #[test]
    fn colours_do_not_fit_a_network_for_grey() {
        let error = network(1).input(&picture(3, &[0; 6])).unwrap_err();
        assert_eq!((error.channels, error.network.channels), (3, 1));
    }
}
