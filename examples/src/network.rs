// SPDX-License-Identifier: MIT OR Apache-2.0

//! What Paddle-Lite's FPGA back end asks of the driver for a detector: Darknet-53 with three heads, as
//! YOLOv3 has it, of any width and for pictures of any size.
//!
//! It makes traces that are larger than the recorded ones, from nothing but the shapes of the layers.
//! Each step of a layer is as in those: first all parameters are loaded; the first run allocates layer
//! by layer the output, and the filter in several formats, of which one stays; nothing that a later
//! layer could use again is freed before the end.

mod lines;

use lines::Lines;

/// Bytes that every tensor has behind its elements.
const TAIL: usize = 16;
/// Elements of a row are a multiple of this.
const ROW: usize = 16;
/// Rows of a filter that the accelerator holds.
const FILTER_ROWS: usize = 2048;
/// Outputs that it computes at the same time.
const PARALLEL_OUTPUTS: usize = 16;
/// Filters are cut at multiples of so many outputs, where that many fit.
const CUT: usize = 128;
/// What the heads say of each place of the picture: three boxes of 80 classes, with a place each.
const PREDICTIONS: usize = 3 * (80 + 5);

/// A detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detector {
    /// Width and height of the picture, a multiple of 32.
    pub side: usize,
    /// Channels of the first layer.
    pub width: usize,
    /// Residual blocks behind each halving of the picture.
    pub blocks: [usize; 5],
}

impl Detector {
    /// YOLOv3 for pictures of 608 by 608.
    pub const YOLOV3_608: Self = Self {
        side: 608,
        width: 32,
        blocks: [1, 2, 8, 8, 4],
    };

    /// The text of the trace of two runs.
    #[must_use]
    pub fn trace(self) -> String {
        let mut lines = Lines::default();
        let layers = self.layers();
        let input = lines.tensor(4 * 3 * self.side * self.side);
        let parameters: Vec<_> = layers.iter().map(|layer| lines.load(layer)).collect();

        let picture = lines.tensor(elements(3, self.side) * 2);
        lines.convert(input, picture);
        let mut heads = Vec::new();
        for (layer, parameters) in layers.iter().zip(parameters) {
            match *layer {
                Layer::Convolution(convolution) => lines.first_run(&convolution, &parameters),
                Layer::Other { channels, side } => {
                    lines.tensor(elements(channels, side) * 2);
                }
                Layer::Head { side } => {
                    heads.push(side);
                    lines.tensor(elements(PREDICTIONS, side) * 4);
                    lines.read_head(side);
                }
            }
        }
        lines.convert(input, picture);
        for side in heads {
            lines.read_head(side);
        }
        lines.end();
        lines.text
    }

    fn layers(self) -> Vec<Layer> {
        let mut layers = Vec::new();
        let (mut side, mut channels) = (self.side, self.width);
        layers.push(convolution(3, channels, 3, side));
        for blocks in self.blocks {
            side /= 2;
            layers.push(convolution(channels, 2 * channels, 3, side));
            channels *= 2;
            for _ in 0..blocks {
                layers.push(convolution(channels, channels / 2, 1, side));
                layers.push(convolution(channels / 2, channels, 3, side));
                // The sum with what went in.
                layers.push(Layer::Other { channels, side });
            }
        }
        let mut inputs = channels;
        for scale in 0..3 {
            let wide = channels >> scale;
            let narrow = wide / 2;
            if scale > 0 {
                // What the scale before has found, beside what the picture was at this size.
                layers.push(convolution(wide, narrow, 1, side));
                side *= 2;
                layers.push(Layer::Other {
                    channels: narrow,
                    side,
                });
                inputs = narrow + wide;
                layers.push(Layer::Other {
                    channels: inputs,
                    side,
                });
            }
            for _ in 0..2 {
                layers.push(convolution(inputs, narrow, 1, side));
                layers.push(convolution(narrow, wide, 3, side));
                inputs = wide;
            }
            layers.push(convolution(wide, narrow, 1, side));
            layers.push(convolution(narrow, wide, 3, side));
            layers.push(Layer::Convolution(Convolution {
                inputs: wide,
                outputs: PREDICTIONS,
                kernel: 1,
                side,
                normalized: false,
            }));
            layers.push(Layer::Head { side });
        }
        layers
    }
}

/// Elements of a tensor, with what fills up its rows.
fn elements(channels: usize, side: usize) -> usize {
    side * (side * channels).next_multiple_of(ROW)
}

#[derive(Clone, Copy, Debug)]
struct Convolution {
    inputs: usize,
    outputs: usize,
    /// Width and height of the filter.
    kernel: usize,
    /// Width and height of the output.
    side: usize,
    /// Whether the outputs are normalized, which takes four parameters for each, or one added.
    normalized: bool,
}

#[derive(Clone, Copy, Debug)]
enum Layer {
    Convolution(Convolution),
    /// One that has no parameters.
    Other {
        channels: usize,
        side: usize,
    },
    /// The CPU reads what a head predicts.
    Head {
        side: usize,
    },
}

fn convolution(inputs: usize, outputs: usize, kernel: usize, side: usize) -> Layer {
    Layer::Convolution(Convolution {
        inputs,
        outputs,
        kernel,
        side,
        normalized: true,
    })
}

impl Convolution {
    /// Weights of one output.
    fn weights(&self) -> usize {
        self.inputs * self.kernel * self.kernel
    }

    /// Bytes of the filter of so many outputs, without its tail.
    fn filter(&self, outputs: usize) -> usize {
        4 * outputs * self.kernel * (self.inputs * self.kernel).next_multiple_of(ROW)
    }

    /// Outputs whose filter the accelerator holds at once.
    fn outputs_at_once(&self) -> usize {
        let rows = self.weights().div_ceil(ROW);
        let outputs = (FILTER_ROWS / rows * PARALLEL_OUTPUTS).min(FILTER_ROWS);
        if outputs < CUT {
            outputs
        } else {
            outputs - outputs % CUT
        }
    }

    /// Bytes of the formats that so many outputs of the filter go through, one after the other.
    fn formats(&self, outputs: usize) -> Vec<usize> {
        let (weights, aligned) = (self.weights(), self.weights().next_multiple_of(ROW));
        let mut formats = vec![outputs * weights; 2];
        if weights != aligned {
            formats.push(outputs * aligned);
        }
        let filled_up = outputs.next_multiple_of(PARALLEL_OUTPUTS);
        let again = if filled_up == outputs { 2 } else { 3 };
        formats.extend([filled_up * aligned].repeat(again));
        formats
    }
}

#[cfg(test)]
mod tests;
