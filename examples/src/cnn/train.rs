// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes the network that belongs to the example: it tells digits apart.
//!
//! Its filters are random and stay so; only the last layer learns, by the perceptron's rule. All of it
//! is arithmetic in integers with numbers from a seed, so it comes out the same on every machine.

use super::digit::{draw, Random, Style};
use super::picture::Picture;
use super::{reference, Layer, Network, Shape, Weights};

/// The digit of the picture that belongs to the example.
pub const DIGIT: usize = 7;

const SEED: u64 = 20_261_122;
const DIGITS: usize = 10;
/// Pictures of each digit to learn from.
const VARIANTS: usize = 8;
/// The most times that the last layer goes through all pictures.
const ROUNDS: usize = 40;
/// Outputs of the convolutions, each of which is followed by a max pool.
const FILTERS: [usize; 3] = [8, 16, 16];
const MAX_BIAS: i32 = 4000;

/// The picture that belongs to the example, as a file.
#[must_use]
pub fn picture_file() -> Vec<u8> {
    let picture = draw(DIGIT, &Style::PLAIN);
    picture.file("SPDX-License-Identifier: MIT OR Apache-2.0")
}

/// The network that belongs to the example, from a fixed seed.
#[must_use]
pub fn network() -> Network {
    let mut random = Random::new(SEED);
    let side = super::digit::SIDE;
    let input = Shape {
        channels: 3,
        height: side,
        width: side,
    };
    let mut network = Network {
        input,
        layers: Vec::new(),
    };

    let pictures = pictures(&mut random, VARIANTS);
    let mut examples: Vec<Vec<i8>> = Vec::new();
    for (_, picture) in &pictures {
        // The pictures are of the network's size.
        examples.extend(network.input(picture));
    }
    let mut shape = input;
    for outputs in FILTERS {
        let filters = filters(&mut random, outputs, shape, &examples);
        for layer in [Layer::Conv(filters), Layer::MaxPool] {
            for example in &mut examples {
                *example = reference::layer(&layer, shape, example);
            }
            shape = layer.output(shape);
            network.layers.push(layer);
        }
    }
    let digits: Vec<usize> = pictures.iter().map(|(digit, _)| *digit).collect();
    network.layers.push(Layer::Dense(learnt(examples, &digits)));
    network
}

/// Pictures of every digit, in random styles.
fn pictures(random: &mut Random, variants: usize) -> Vec<(usize, Picture)> {
    let digits = (0..DIGITS).cycle().take(DIGITS * variants);
    digits
        .map(|digit| (digit, draw(digit, &Style::random(random))))
        .collect()
}

/// How many of `DIGITS * variants` new pictures a network gets right.
#[must_use]
pub fn hits(network: &Network, seed: u64, variants: usize) -> usize {
    let pictures = pictures(&mut Random::new(seed), variants);
    let is_hit = |(digit, picture): &&(usize, Picture)| {
        network.input(picture).is_ok_and(|input| {
            let outputs = reference::outputs(network, &input);
            outputs
                .last()
                .is_some_and(|last| reference::argmax(last) == *digit)
        })
    };
    pictures.iter().filter(is_hit).count()
}

/// Random filters that see edges and not brightness, as their weights add up to about 0.
fn filters(random: &mut Random, outputs: usize, shape: Shape, examples: &[Vec<i8>]) -> Weights {
    let products = 9 * shape.channels;
    let mut weights = Vec::with_capacity(outputs * products);
    for _ in 0..outputs {
        let filter: Vec<i32> = (0..products).map(|_| random.between(-90, 90)).collect();
        let mean = filter.iter().sum::<i32>() / i32::try_from(products).unwrap_or(i32::MAX);
        weights.extend(
            filter
                .iter()
                .map(|weight| reference::shifted(weight - mean, 0)),
        );
    }
    let bias = (0..outputs)
        .map(|_| random.between(-MAX_BIAS, MAX_BIAS))
        .collect();
    let mut filters = Weights {
        outputs,
        shift: 0,
        bias,
        weights,
    };
    // One picture of each digit tells how large the sums become.
    let sums = examples
        .iter()
        .take(DIGITS)
        .flat_map(|e| reference::conv_sums(&filters, shape, e));
    filters.shift = shift_for(sums.max().unwrap_or(0));
    filters
}

/// A layer that maps each example to its digit, as far as the perceptron's rule finds one.
fn learnt(mut examples: Vec<Vec<i8>>, digits: &[usize]) -> Weights {
    // The bias is the weight of an input that is always the same.
    for example in &mut examples {
        example.push(i8::MAX);
    }
    let rows = perceptron(&examples, digits);
    let largest = rows.iter().flatten().map(|weight| weight.abs()).max();
    let largest = largest.unwrap_or(0).max(1);
    let small = |weight: &i32| reference::shifted(weight * 127 / largest, 0);
    let mut columns: Vec<Vec<i8>> = Vec::new();
    for at in 0..examples.first().map_or(0, Vec::len) {
        columns.push(rows.iter().map(|row| small(&row[at])).collect());
    }
    let bias = columns.pop().unwrap_or_default();
    let mut learnt = Weights {
        outputs: DIGITS,
        shift: 0,
        bias: bias
            .iter()
            .map(|weight| i32::from(*weight) * i32::from(i8::MAX))
            .collect(),
        weights: columns.concat(),
    };
    let sums = examples
        .iter()
        .flat_map(|e| reference::dense_sums(&learnt, e));
    learnt.shift = shift_for(sums.map(i32::abs).max().unwrap_or(0));
    learnt
}

/// Weights, a row for every digit, that score most examples best with the row of their digit.
fn perceptron(examples: &[Vec<i8>], digits: &[usize]) -> Vec<Vec<i32>> {
    let mut rows = vec![vec![0_i32; examples.first().map_or(0, Vec::len)]; DIGITS];
    for _ in 0..ROUNDS {
        let mut wrong = 0;
        for (example, digit) in examples.iter().zip(digits) {
            let scores = rows.iter().map(|row| score(row, example));
            let best = scores.enumerate().max_by_key(|(_, score)| *score);
            let guess = best.map_or(0, |(guess, _)| guess);
            if guess != *digit {
                wrong += 1;
                for (row, sign) in [(*digit, 1), (guess, -1)] {
                    for (weight, value) in rows[row].iter_mut().zip(example) {
                        *weight += sign * i32::from(*value);
                    }
                }
            }
        }
        if wrong == 0 {
            break;
        }
    }
    rows
}

fn score(row: &[i32], example: &[i8]) -> i64 {
    let products = row.iter().zip(example);
    products
        .map(|(weight, value)| i64::from(*weight) * i64::from(*value))
        .sum()
}

/// The smallest shift that makes a sum fit into 8 bits.
fn shift_for(sum: i32) -> u8 {
    (0..31).find(|shift| sum >> shift <= 127).unwrap_or(31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &[u8] = include_bytes!("../../data/digit.ppm");
    const NETWORK: &[u8] = include_bytes!("../../data/digits.cnn");

    #[test]
    fn the_committed_picture_is_the_one_that_is_made() {
        assert!(
            picture_file() == PICTURE,
            "run: cargo run --example make-cnn"
        );
    }

    #[test]
    fn the_committed_network_is_the_one_that_is_made() {
        assert!(
            network().file() == NETWORK,
            "run: cargo run --example make-cnn"
        );
    }

    #[test]
    fn the_network_sees_what_the_picture_shows() {
        let network = Network::parse(NETWORK).unwrap();
        let input = network.input(&Picture::parse(PICTURE).unwrap()).unwrap();
        let outputs = reference::outputs(&network, &input);
        assert_eq!(reference::argmax(outputs.last().unwrap()), DIGIT);
    }

    #[test]
    fn the_network_gets_most_pictures_right_that_it_has_not_learnt_from() {
        let network = Network::parse(NETWORK).unwrap();
        let hits = hits(&network, 1, 2);
        assert!(hits >= 16, "{hits} of 20");
    }

    #[test]
    fn no_layer_is_blind_or_dazzled() {
        let network = Network::parse(NETWORK).unwrap();
        let input = network.input(&Picture::parse(PICTURE).unwrap()).unwrap();
        for output in reference::outputs(&network, &input) {
            let share = |wanted: i8| {
                let count = output.iter().filter(|value| **value == wanted).count();
                count * 100 / output.len()
            };
            assert!(
                share(0) < 90 && share(i8::MAX) < 5,
                "{} {}",
                share(0),
                share(i8::MAX)
            );
        }
    }

    #[test]
    fn a_shift_is_as_small_as_can_be() {
        assert_eq!([0, 127, 128, 255, 256].map(shift_for), [0, 0, 1, 1, 2]);
        assert_eq!(shift_for(i32::MAX), 24);
    }
}
