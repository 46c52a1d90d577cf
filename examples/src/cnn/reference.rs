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
    let filter_values = 9 * shape.channels;
    let plane = shape.height * shape.width;
    let mut sums = Vec::with_capacity(weights.outputs * plane);
    for (filter, bias) in weights
        .weights
        .chunks_exact(filter_values)
        .zip(&weights.bias)
    {
        let start = sums.len();
        sums.resize(start + plane, *bias);
        for (kernel, channel) in filter.chunks_exact(9).zip(input.chunks_exact(plane)) {
            add_channel(kernel, channel, shape, &mut sums[start..]);
        }
    }
    sums
}

/// Adds what one input channel contributes to the sums of one filter.
fn add_channel(kernel: &[i8], channel: &[i8], shape: Shape, sums: &mut [i32]) {
    let Shape { height, width, .. } = shape;
    for (at, factor) in kernel.iter().enumerate() {
        // The filter's middle lies over the output; what it covers outside of the input is 0.
        let (down, right) = (at / 3, at % 3);
        let rows = 1_usize.saturating_sub(down)..(height + 1 - down).min(height);
        let columns = 1_usize.saturating_sub(right)..(width + 1 - right).min(width);
        for row in rows {
            let from = (row + down - 1) * width;
            let from = &channel[from + columns.start + right - 1..from + columns.end + right - 1];
            let to = &mut sums[row * width + columns.start..row * width + columns.end];
            for (to, from) in to.iter_mut().zip(from) {
                *to += i32::from(*factor) * i32::from(*from);
            }
        }
    }
}

/// The sums that a fully connected layer makes of its input, before the shift.
pub(super) fn dense_sums(weights: &Weights, input: &[i8]) -> Vec<i32> {
    let mut sums = vec![0; weights.outputs];
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
        .map(|sum| shifted(sum.max(0), weights.shift))
        .collect()
}

fn dense(weights: &Weights, input: &[i8]) -> Vec<i8> {
    let sums = dense_sums(weights, input);
    sums.into_iter()
        .map(|sum| shifted(sum, weights.shift))
        .collect()
}

/// A sum as a value of 8 bits: shifted right, rounding down, and limited to what 8 bits hold.
pub(super) fn shifted(sum: i32, shift: u8) -> i8 {
    let value = sum >> shift;
    i8::try_from(value).unwrap_or(if value < 0 { i8::MIN } else { i8::MAX })
}

fn max_pool(shape: Shape, input: &[i8]) -> Vec<i8> {
    let Shape {
        channels,
        height,
        width,
    } = shape;
    let (rows, columns) = (height / 2, width / 2);
    let mut output = Vec::with_capacity(channels * rows * columns);
    for channel in input.chunks_exact(height * width) {
        for row in 0..rows {
            let upper = &channel[2 * row * width..][..width];
            let lower = &channel[(2 * row + 1) * width..][..width];
            for (upper, lower) in upper.chunks_exact(2).zip(lower.chunks_exact(2)) {
                output.push(upper[0].max(upper[1]).max(lower[0]).max(lower[1]));
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
        channels: 1,
        height: 3,
        width: 3,
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
        let lower_right = Layer::Conv(weights(1, 0, &[0], &[0, 0, 0, 0, 0, 0, 0, 0, 1]));
        assert_eq!(
            layer(&lower_right, THREE, &COUNT),
            [5, 6, 0, 8, 9, 0, 0, 0, 0]
        );
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
            channels: 2,
            height: 1,
            width: 2,
        };
        let mut factors = [0; 36];
        // First filter: 2 * first channel + 3 * second. Second filter: the second channel's right
        // neighbour, negative.
        (factors[4], factors[13], factors[32]) = (2, 3, -1);
        let conv = Layer::Conv(weights(2, 0, &[1, 50], &factors));
        assert_eq!(layer(&conv, shape, &[1, 2, 10, 20]), [33, 65, 30, 50]);
    }

    #[test]
    fn a_single_value_is_convolved_with_the_middle_alone() {
        let shape = Shape {
            channels: 1,
            height: 1,
            width: 1,
        };
        let conv = Layer::Conv(weights(
            1,
            1,
            &[1],
            &[100, 100, 100, 100, 3, 100, 100, 100, 100],
        ));
        assert_eq!(layer(&conv, shape, &[5]), [8]);
    }

    #[test]
    fn negative_sums_become_zero_in_a_convolution_only() {
        let shape = Shape {
            channels: 1,
            height: 1,
            width: 1,
        };
        let conv = Layer::Conv(weights(1, 0, &[-3], &[0, 0, 0, 0, 1, 0, 0, 0, 0]));
        assert_eq!(layer(&conv, shape, &[2]), [0]);
        let dense = Layer::Dense(weights(1, 0, &[], &[-1]));
        assert_eq!(layer(&dense, shape, &[2]), [-2]);
    }

    #[test]
    fn a_shift_rounds_down_and_the_result_is_limited() {
        let cases = [
            (7, 1, 3),
            (-7, 1, -4),
            (127, 0, 127),
            (128, 0, 127),
            (-129, 0, -128),
        ];
        for (sum, shift, expected) in cases {
            assert_eq!(shifted(sum, shift), expected, "{sum} >> {shift}");
        }
        assert_eq!(shifted(i32::MIN, 31), -1);
    }

    #[test]
    fn the_largest_products_do_not_overflow() {
        let shape = Shape {
            channels: 1024,
            height: 1,
            width: 1,
        };
        let dense = Layer::Dense(weights(1, 17, &[], &[-128; 1024]));
        assert_eq!(layer(&dense, shape, &[-128; 1024]), [127]);
    }

    #[test]
    fn a_matrix_has_a_column_for_every_output() {
        let shape = Shape {
            channels: 2,
            height: 1,
            width: 1,
        };
        let dense = Layer::Dense(weights(3, 0, &[], &[1, 2, 3, 10, 20, 30]));
        assert_eq!(layer(&dense, shape, &[1, -1]), [-9, -18, -27]);
    }

    #[test]
    fn pooling_takes_the_largest_and_leaves_odd_ends_out() {
        let shape = Shape {
            channels: 2,
            height: 3,
            width: 5,
        };
        let mut input = [-5; 30];
        // 99 in the row and the column that are left out.
        (input[1], input[7], input[4], input[10]) = (-1, 9, 99, 99);
        (input[20], input[23], input[29]) = (4, -128, 99);
        assert_eq!(layer(&Layer::MaxPool, shape, &input), [-1, 9, 4, -5]);
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
        let sum = Layer::Dense(weights(1, 0, &[], &[1]));
        let network = Network {
            input: Shape {
                channels: 1,
                height: 2,
                width: 2,
            },
            layers: vec![double, Layer::MaxPool, sum],
        };
        let expected = [vec![3, 5, 7, 9], vec![9], vec![9]];
        assert_eq!(outputs(&network, &[1, 2, 3, 4]), expected);
    }
}
