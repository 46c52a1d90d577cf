// SPDX-License-Identifier: GPL-2.0-or-later

//! The arithmetic of the accelerator, on bytes that are signed 8-bit numbers.
//!
//! Sums are 32 bits wide and wrap. What is stored is the sum, divided by a power of two and rounded
//! half up, made non-negative if ReLU is asked for, and limited to -128…127.

/// How a sum becomes a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Binary logarithm of the divisor, 0 to 31.
    pub shift: u32,
    /// Whether negative results become 0.
    pub relu: bool,
}

impl Output {
    /// Eight bits of a sum.
    fn narrow(self, sum: i32) -> u8 {
        let half = if self.shift == 0 {
            0
        } else {
            1 << (self.shift - 1)
        };
        let scaled = (i64::from(sum) + half) >> self.shift;
        let lowest = if self.relu { 0 } else { i64::from(i8::MIN) };
        let limited = scaled.clamp(lowest, i64::from(i8::MAX));
        i8::try_from(limited).unwrap_or(0).cast_unsigned()
    }
}

/// A matrix product: rows of A and B's columns, all row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixShape {
    /// Rows of A and of the result.
    pub rows: usize,
    /// Columns of A, rows of B.
    pub inner: usize,
    /// Columns of B and of the result.
    pub columns: usize,
}

/// Multiplies A, `rows` by `inner`, with B, `inner` by `columns`, and adds one bias per column.
pub fn matrix_product(
    shape: &MatrixShape,
    a: &[u8],
    b: &[u8],
    bias: Option<&[i32]>,
    output: Output,
) -> Vec<u8> {
    let mut result = Vec::with_capacity(shape.rows * shape.columns);
    for row in a.chunks_exact(shape.inner) {
        let mut sums = bias.map_or_else(|| vec![0; shape.columns], <[i32]>::to_vec);
        for (factor, row_of_b) in row.iter().zip(b.chunks_exact(shape.columns)) {
            add_products(&mut sums, *factor, row_of_b);
        }
        result.extend(sums.iter().map(|sum| output.narrow(*sum)));
    }
    result
}

fn add_products(sums: &mut [i32], factor: u8, row: &[u8]) {
    let factor = i32::from(factor.cast_signed());
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum = sum.wrapping_add(factor * i32::from(value.cast_signed()));
    }
}

/// A convolution with a window of 3 by 3 around each point, and zeroes around the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionShape {
    /// Rows of the image.
    pub height: usize,
    /// Columns of the image.
    pub width: usize,
    /// Values per point of the image.
    pub inputs: usize,
    /// Values per point of the result.
    pub outputs: usize,
    /// 1, or 2 to take every second point of every second row.
    pub stride: usize,
}

/// Rows and columns of the window.
const WINDOW: usize = 3;

impl ConvolutionShape {
    /// Rows and columns of the result.
    pub fn result_size(&self) -> (usize, usize) {
        let Self {
            height,
            width,
            stride,
            ..
        } = *self;
        (height.div_ceil(stride), width.div_ceil(stride))
    }

    /// Bytes of the weights.
    pub fn weight_count(&self) -> usize {
        self.outputs * WINDOW * WINDOW * self.inputs
    }
}

/// Convolves an image, row by row and point by point, with weights in the order output, row, column,
/// input.
pub fn convolution(
    shape: &ConvolutionShape,
    image: &[u8],
    weights: &[u8],
    bias: Option<&[i32]>,
    output: Output,
) -> Vec<u8> {
    let (height, width) = shape.result_size();
    let mut result = Vec::with_capacity(height * width * shape.outputs);
    for y in (0..height).map(|y| y * shape.stride) {
        for x in (0..width).map(|x| x * shape.stride) {
            for number in 0..shape.outputs {
                let start = bias.map_or(0, |bias| bias[number]);
                let weights = &weights[number * WINDOW * WINDOW * shape.inputs..];
                let sum = start.wrapping_add(window(shape, image, weights, (y, x)));
                result.push(output.narrow(sum));
            }
        }
    }
    result
}

/// The sum over the window around a point.
fn window(shape: &ConvolutionShape, image: &[u8], weights: &[u8], (y, x): (usize, usize)) -> i32 {
    let mut sum = 0_i32;
    for row in 0..WINDOW {
        for column in 0..WINDOW {
            let (Some(y), Some(x)) = ((y + row).checked_sub(1), (x + column).checked_sub(1)) else {
                continue;
            };
            if y >= shape.height || x >= shape.width {
                continue;
            }
            let inputs = &image[(y * shape.width + x) * shape.inputs..][..shape.inputs];
            let weights = &weights[(row * WINDOW + column) * shape.inputs..][..shape.inputs];
            for (value, weight) in inputs.iter().zip(weights) {
                let product = i32::from(value.cast_signed()) * i32::from(weight.cast_signed());
                sum = sum.wrapping_add(product);
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT: Output = Output {
        shift: 0,
        relu: false,
    };

    /// Numbers that look random.
    fn noise(len: usize, seed: u32) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_le_bytes()[3]
        };
        (0..len).map(|_| next()).collect()
    }

    fn biases(len: usize, seed: u32) -> Vec<i32> {
        let bytes = noise(len * 2, seed);
        let pairs = bytes.chunks_exact(2);
        pairs
            .map(|b| i32::from(i16::from_le_bytes([b[0], b[1]])))
            .collect()
    }

    /// What the documentation says of a result, in floating point.
    fn expected(sum: i64, output: Output) -> u8 {
        let scaled = (sum as f64 / f64::from(1_u32 << output.shift) + 0.5).floor();
        let lowest = if output.relu { 0.0 } else { -128.0 };
        let limited = scaled.clamp(lowest, 127.0);
        #[expect(clippy::cast_possible_truncation, reason = "limited to eight bits")]
        let narrow = limited as i8;
        narrow.cast_unsigned()
    }

    #[test]
    fn sums_are_divided_rounded_and_limited() {
        let narrow = |sum, shift, relu| Output { shift, relu }.narrow(sum).cast_signed();
        assert_eq!(narrow(100, 0, false), 100);
        assert_eq!(narrow(5, 1, false), 3);
        assert_eq!(narrow(-5, 1, false), -2);
        assert_eq!(narrow(-6, 2, false), -1);
        assert_eq!(narrow(1000, 2, false), 127);
        assert_eq!(narrow(-1000, 2, false), -128);
        assert_eq!(narrow(-1000, 2, true), 0);
        assert_eq!(narrow(i32::MAX, 31, false), 1);
    }

    #[test]
    fn a_small_matrix_product_is_what_one_gets_by_hand() {
        let shape = MatrixShape {
            rows: 2,
            inner: 2,
            columns: 3,
        };
        let a = [1, 2, 3, 4];
        let b = [1, 0, 0xff, 2, 1, 0];
        let product = matrix_product(&shape, &a, &b, None, EXACT);
        assert_eq!(product, [5, 2, 0xff, 11, 4, 0xfd]);
        let biased = matrix_product(&shape, &a, &b, Some(&[10, 20, 30]), EXACT);
        assert_eq!(biased, [15, 22, 29, 21, 24, 27]);
    }

    #[test]
    fn matrix_products_agree_with_the_definition() {
        let shape = MatrixShape {
            rows: 5,
            inner: 33,
            columns: 7,
        };
        let output = Output {
            shift: 7,
            relu: false,
        };
        let (a, b) = (noise(5 * 33, 1), noise(33 * 7, 2));
        let bias = biases(7, 3);
        let product = matrix_product(&shape, &a, &b, Some(&bias), output);
        for i in 0..shape.rows {
            for j in 0..shape.columns {
                let sum = (0..shape.inner).fold(i64::from(bias[j]), |sum, k| {
                    let a = i64::from(a[i * shape.inner + k].cast_signed());
                    let b = i64::from(b[k * shape.columns + j].cast_signed());
                    sum + a * b
                });
                let at = i * shape.columns + j;
                assert_eq!(product[at], expected(sum, output), "row {i}, column {j}");
            }
        }
    }

    #[test]
    fn the_identity_kernel_copies_the_image() {
        let shape = ConvolutionShape {
            height: 4,
            width: 5,
            inputs: 1,
            outputs: 1,
            stride: 1,
        };
        let image = noise(20, 4);
        let weights = [0, 0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(convolution(&shape, &image, &weights, None, EXACT), image);
        let shifted = [0, 0, 0, 1, 0, 0, 0, 0, 0];
        let moved = convolution(&shape, &image, &shifted, None, EXACT);
        assert_eq!(moved[1..5], image[..4]);
        assert_eq!(moved[5], 0);
    }

    #[test]
    fn convolutions_agree_with_the_definition() {
        for stride in [1, 2] {
            let shape = ConvolutionShape {
                height: 7,
                width: 6,
                inputs: 3,
                outputs: 4,
                stride,
            };
            let output = Output {
                shift: 6,
                relu: true,
            };
            let (image, weights) = (noise(7 * 6 * 3, 5), noise(shape.weight_count(), 6));
            let bias = biases(4, 7);
            let result = convolution(&shape, &image, &weights, Some(&bias), output);
            let (height, width) = shape.result_size();
            assert_eq!(result.len(), height * width * 4);
            let pixel = |y: i64, x: i64, c: usize| -> i64 {
                if !(0..7).contains(&y) || !(0..6).contains(&x) {
                    return 0;
                }
                let at = usize::try_from(y * 6 + x).unwrap() * 3 + c;
                i64::from(image[at].cast_signed())
            };
            for (index, found) in result.iter().enumerate() {
                let (point, o) = (index / 4, index % 4);
                let (y, x) = (point / width * stride, point % width * stride);
                let mut sum = i64::from(bias[o]);
                for (tap, weight) in weights[o * 27..(o + 1) * 27].iter().enumerate() {
                    let (dy, dx, c) = (tap / 9, tap / 3 % 3, tap % 3);
                    let at = |base: usize, delta: usize| base as i64 + delta as i64 - 1;
                    sum += pixel(at(y, dy), at(x, dx), c) * i64::from(weight.cast_signed());
                }
                assert_eq!(
                    *found,
                    expected(sum, output),
                    "stride {stride}, value {index}"
                );
            }
        }
    }
}
