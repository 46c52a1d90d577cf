// SPDX-License-Identifier: MIT OR Apache-2.0

//! The layers on the CPU, in exact integer arithmetic.

use super::{Layer, Network, Shape, Weights};

/// What a layer puts out for an input of shape `shape`.
///
/// # Panics
///
/// Where the lengths of input or weights do not fit the shape.
#[must_use]
pub fn layer(layer: &Layer, shape: Shape, input: &[i8]) -> Vec<i8> {
    assert_eq!(input.len(), shape.values(), "values of a tensor of {shape}");
    match layer {
        Layer::Conv(weights) => conv(weights, shape, input),
        Layer::MaxPool => max_pool(shape, input),
        Layer::Dense(weights) => dense(weights, input),
    }
}

/// What every layer of a network puts out.
#[must_use]
pub fn outputs(network: &Network, input: &[i8]) -> Vec<Vec<i8>> {
    let mut outputs: Vec<Vec<i8>> = Vec::with_capacity(network.layers.len());
    let mut shape = network.input;
    for step in &network.layers {
        let input = outputs.last().map_or(input, Vec::as_slice);
        let output = layer(step, shape, input);
        outputs.push(output);
        shape = step.output(shape);
    }
    outputs
}

/// The first of the largest values, by its index; 0 where there is none.
#[must_use]
pub fn argmax(values: &[i8]) -> usize {
    let best = (0..values.len()).rev().max_by_key(|at| values[*at]);
    best.unwrap_or(0)
}

/// The sums that a convolution makes of its input, before the shift.
pub(super) fn conv_sums(weights: &Weights, shape: Shape, input: &[i8]) -> Vec<i32> {
    let mut sums = Vec::with_capacity(shape.height * shape.width * weights.outputs);
    for row in 0..shape.height {
        for column in 0..shape.width {
            let window = window(shape, input, row, column);
            let filters = weights.weights.chunks_exact(window.len());
            let biased = filters.zip(&weights.bias);
            sums.extend(biased.map(|(filter, bias)| bias + dot(filter, &window)));
        }
    }
    sums
}

/// What a filter sees with its middle over a point: 3x3 points, zeroes outside of the input.
fn window(shape: Shape, input: &[i8], row: usize, column: usize) -> Vec<i8> {
    let Shape {
        height,
        width,
        channels,
    } = shape;
    let mut window = Vec::with_capacity(9 * channels);
    for row in [row.checked_sub(1), Some(row), Some(row + 1)] {
        for column in [column.checked_sub(1), Some(column), Some(column + 1)] {
            match (row, column) {
                (Some(row), Some(column)) if row < height && column < width => {
                    let start = (row * width + column) * channels;
                    window.extend_from_slice(&input[start..start + channels]);
                }
                _ => window.resize(window.len() + channels, 0),
            }
        }
    }
    window
}

fn dot(a: &[i8], b: &[i8]) -> i32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| i32::from(*a) * i32::from(*b))
        .sum()
}

/// The sums that a fully connected layer makes of its input, before the shift.
pub(super) fn dense_sums(weights: &Weights, input: &[i8]) -> Vec<i32> {
    let mut sums = weights.bias.clone();
    for (row, value) in weights.weights.chunks_exact(weights.outputs).zip(input) {
        for (sum, factor) in sums.iter_mut().zip(row) {
            *sum += i32::from(*factor) * i32::from(*value);
        }
    }
    sums
}

fn conv(weights: &Weights, shape: Shape, input: &[i8]) -> Vec<i8> {
    let sums = conv_sums(weights, shape, input);
    sums.into_iter()
        .map(|sum| shifted(sum, weights.shift).max(0))
        .collect()
}

fn dense(weights: &Weights, input: &[i8]) -> Vec<i8> {
    let sums = dense_sums(weights, input);
    sums.into_iter()
        .map(|sum| shifted(sum, weights.shift))
        .collect()
}

/// A sum as a value of 8 bits: divided by a power of two, rounded half up, and limited.
pub(super) fn shifted(sum: i32, shift: u8) -> i8 {
    let half = (1_i64 << shift) / 2;
    let value = (i64::from(sum) + half) >> shift;
    i8::try_from(value).unwrap_or(if value < 0 { i8::MIN } else { i8::MAX })
}

fn max_pool(shape: Shape, input: &[i8]) -> Vec<i8> {
    let Shape {
        height,
        width,
        channels,
    } = shape;
    let mut output = Vec::with_capacity(height / 2 * (width / 2) * channels);
    for row in (0..height / 2).map(|row| 2 * row) {
        for column in (0..width / 2).map(|column| 2 * column) {
            for channel in 0..channels {
                let value = |row, column| input[(row * width + column) * channels + channel];
                let upper = value(row, column).max(value(row, column + 1));
                let lower = value(row + 1, column).max(value(row + 1, column + 1));
                output.push(upper.max(lower));
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(outputs: usize, shift: u8, bias: &[i32], weights: &[i8]) -> Weights {
        Weights {
            outputs,
            shift,
            bias: bias.to_vec(),
            weights: weights.to_vec(),
        }
    }

    const THREE: Shape = Shape {
        height: 3,
        width: 3,
        channels: 1,
    };
    const ONE: Shape = Shape {
        height: 1,
        width: 1,
        channels: 1,
    };
    const COUNT: [i8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

    #[test]
    fn a_filter_that_is_1_in_the_middle_copies() {
        let copy = Layer::Conv(weights(1, 0, &[0], &[0, 0, 0, 0, 1, 0, 0, 0, 0]));
        assert_eq!(layer(&copy, THREE, &COUNT), COUNT);
    }

    #[test]
    fn a_filter_is_not_mirrored_and_zeroes_surround_the_input() {
        // 1 at the upper left: every output is its upper left neighbour.
        let upper_left = Layer::Conv(weights(1, 0, &[0], &[1, 0, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(
            layer(&upper_left, THREE, &COUNT),
            [0, 0, 0, 0, 1, 2, 0, 4, 5]
        );
        let right = Layer::Conv(weights(1, 0, &[0], &[0, 0, 0, 0, 0, 1, 0, 0, 0]));
        assert_eq!(layer(&right, THREE, &COUNT), [2, 3, 0, 5, 6, 0, 8, 9, 0]);
    }

    #[test]
    fn a_filter_of_ones_adds_the_neighbourhood() {
        let ones = Layer::Conv(weights(1, 0, &[0], &[1; 9]));
        assert_eq!(
            layer(&ones, THREE, &COUNT),
            [12, 21, 16, 27, 45, 33, 24, 39, 28]
        );
    }

    #[test]
    fn channels_add_up_and_every_filter_makes_one() {
        let shape = Shape {
            height: 1,
            width: 2,
            channels: 2,
        };
        let mut factors = [0; 36];
        // First filter, in the middle: 2 * first channel + 3 * second. Second filter: the second
        // channel of the right neighbour, negative.
        (factors[8], factors[9], factors[18 + 11]) = (2, 3, -1);
        let conv = Layer::Conv(weights(2, 0, &[1, 50], &factors));
        assert_eq!(layer(&conv, shape, &[1, 10, 2, 20]), [33, 30, 65, 50]);
    }

    #[test]
    fn a_single_value_is_convolved_with_the_middle_alone() {
        let conv = Layer::Conv(weights(
            1,
            1,
            &[2],
            &[100, 100, 100, 100, 3, 100, 100, 100, 100],
        ));
        assert_eq!(layer(&conv, ONE, &[5]), [9]);
    }

    #[test]
    fn negative_sums_become_zero_in_a_convolution_only() {
        let conv = Layer::Conv(weights(1, 0, &[-3], &[0, 0, 0, 0, 1, 0, 0, 0, 0]));
        assert_eq!(layer(&conv, ONE, &[2]), [0]);
        let dense = Layer::Dense(weights(1, 0, &[-3], &[1]));
        assert_eq!(layer(&dense, ONE, &[2]), [-1]);
    }

    #[test]
    fn sums_are_divided_rounded_half_up_and_limited() {
        let cases = [
            (6, 2, 2),
            (5, 2, 1),
            (-6, 2, -1),
            (-7, 2, -2),
            (127, 0, 127),
            (128, 0, 127),
            (-129, 0, -128),
            (i32::MAX, 31, 1),
            (i32::MIN, 31, -1),
        ];
        for (sum, shift, expected) in cases {
            assert_eq!(shifted(sum, shift), expected, "{sum} / 2^{shift}");
        }
    }

    #[test]
    fn the_largest_products_do_not_overflow() {
        let shape = Shape {
            height: 1,
            width: 1,
            channels: 1024,
        };
        let dense = Layer::Dense(weights(1, 17, &[0], &[-128; 1024]));
        assert_eq!(layer(&dense, shape, &[-128; 1024]), [127]);
    }

    #[test]
    fn a_matrix_has_a_column_for_every_output() {
        let shape = Shape {
            height: 1,
            width: 1,
            channels: 2,
        };
        let dense = Layer::Dense(weights(3, 0, &[0, 0, 100], &[1, 2, 3, 10, 20, 30]));
        assert_eq!(layer(&dense, shape, &[1, -1]), [-9, -18, 73]);
    }

    #[test]
    fn pooling_takes_the_largest_of_each_channel_and_leaves_odd_ends_out() {
        let shape = Shape {
            height: 3,
            width: 3,
            channels: 2,
        };
        let input = [
            -5, 1, -1, 2, 99, 99, //
            -4, 3, -8, 4, 99, 99, //
            99, 99, 99, 99, 99, 99,
        ];
        assert_eq!(layer(&Layer::MaxPool, shape, &input), [-1, 4]);
        let shape = Shape {
            height: 2,
            width: 4,
            channels: 1,
        };
        let input = [1, 2, 3, 4, 8, 7, 6, 5];
        assert_eq!(layer(&Layer::MaxPool, shape, &input), [8, 6]);
    }

    #[test]
    fn the_first_of_equal_values_wins() {
        assert_eq!(argmax(&[-3, 7, 1, 7]), 1);
        assert_eq!(argmax(&[-128]), 0);
        assert_eq!(argmax(&[]), 0);
    }

    #[test]
    fn each_layer_takes_what_the_one_before_puts_out() {
        let double = Layer::Conv(weights(1, 0, &[1], &[0, 0, 0, 0, 2, 0, 0, 0, 0]));
        let sum = Layer::Dense(weights(1, 0, &[1], &[1]));
        let network = Network {
            input: Shape {
                height: 2,
                width: 2,
                channels: 1,
            },
            layers: vec![double, Layer::MaxPool, sum],
        };
        let expected = [vec![3, 5, 7, 9], vec![9], vec![10]];
        assert_eq!(outputs(&network, &[1, 2, 3, 4]), expected);
    }
}
