// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver with an accelerator in software, and both against the reference of the networks.

use super::software::Software;
use super::*;
use crate::cnn::digit::Random;
use crate::cnn::picture::Picture;
use crate::cnn::{reference, Layer, Network, Shape, Weights};
use descriptor::Operand;

const EXACT: Output = Output {
    shift: 0,
    relu: false,
};

fn descriptor_words(descriptor: &Descriptor) -> Vec<(usize, u32)> {
    let bytes = descriptor.bytes();
    let words = bytes
        .chunks(4)
        .map(|b| u32::from_le_bytes(b.try_into().unwrap()));
    (0..)
        .step_by(4)
        .zip(words)
        .filter(|(_, word)| *word != 0)
        .collect()
}

fn operand(addr: u64, len: usize, direction: Direction) -> Operand {
    Operand {
        addr: fpgamem::DeviceAddr::new(addr),
        len,
        direction,
    }
}

/// Image or left matrix, weights or right matrix, bias, output: all large enough.
fn operands() -> [Operand; 4] {
    let input = |addr| operand(addr, 4096, Direction::ToDevice);
    let output = operand(0x5_0000_4000, 4096, Direction::FromDevice);
    [input(0x5_0000_1000), input(0x2000), input(0x3000), output]
}

const CONV: Conv3x3 = Conv3x3 {
    height: 5,
    width: 6,
    channels: 7,
    filters: 8,
    stride_2: false,
    output: EXACT,
};
const PRODUCT: MatMul = MatMul {
    rows: 2,
    inner: 3,
    columns: 4,
    output: EXACT,
};

#[test]
fn a_convolution_lies_in_the_ring_as_the_manual_says() {
    let output = Output {
        shift: 9,
        relu: true,
    };
    let descriptor = Descriptor::conv3x3(&Conv3x3 { output, ..CONV }, operands()).unwrap();
    let expected = [
        (0x00, 4),
        (0x04, 1),
        (0x08, 0x1000),
        (0x0c, 5),
        (0x10, 0x2000),
        (0x18, 0x3000),
        (0x20, 0x4000),
        (0x24, 5),
        (0x28, 5),
        (0x2c, 6),
        (0x30, 7),
        (0x34, 8),
        (0x38, 9),
    ];
    assert_eq!(descriptor_words(&descriptor), expected);
}

#[test]
fn a_product_lies_in_the_ring_as_the_manual_says() {
    let output = Output {
        shift: 31,
        relu: false,
    };
    let descriptor = Descriptor::matmul(&MatMul { output, ..PRODUCT }, operands()).unwrap();
    let words = descriptor_words(&descriptor);
    assert_eq!(words[0], (0x00, 3));
    assert_eq!(words[1..3], [(0x08, 0x1000), (0x0c, 5)]);
    assert_eq!(words[7..], [(0x28, 2), (0x2c, 4), (0x30, 3), (0x34, 31)]);
}

#[test]
fn a_copy_and_a_fill_lie_in_the_ring_as_the_manual_says() {
    let [from, .., to] = operands();
    let copy = descriptor_words(&Descriptor::copy(from, to, 100).unwrap());
    let (source, destination) = ([(0x08, 0x1000), (0x0c, 5)], [(0x20, 0x4000), (0x24, 5)]);
    assert_eq!(
        copy,
        [&[(0, 1)], &source[..], &destination, &[(0x28, 100)]].concat()
    );
    let fill = descriptor_words(&Descriptor::fill(to, 0xa5, 64).unwrap());
    assert_eq!(
        fill,
        [&[(0, 2)], &destination[..], &[(0x28, 64), (0x2c, 0xa5)]].concat()
    );
}

#[test]
fn every_operand_must_be_long_enough() {
    let conv = [
        ("input", 210),
        ("weights", 504),
        ("bias", 32),
        ("output", 240),
    ];
    for (at, (which, needed)) in conv.into_iter().enumerate() {
        let mut operands = operands();
        operands[at].len = needed;
        assert!(Descriptor::conv3x3(&CONV, operands).is_ok());
        operands[at].len = needed - 1;
        let error = Descriptor::conv3x3(&CONV, operands).unwrap_err();
        let expected = format!(
            "the {which} takes {needed} bytes, but the buffer has {}",
            needed - 1
        );
        assert_eq!(error.to_string(), expected);
    }
    let product = [
        ("left matrix", 6),
        ("right matrix", 12),
        ("bias", 16),
        ("product", 8),
    ];
    for (at, (which, needed)) in product.into_iter().enumerate() {
        let mut operands = operands();
        operands[at].len = needed - 1;
        let error = Descriptor::matmul(&PRODUCT, operands).unwrap_err();
        assert!(matches!(error, AccelError::Length { which: w, .. } if w == which));
    }
}

#[test]
fn with_a_stride_of_2_the_output_is_a_quarter_rounded_up() {
    let conv = Conv3x3 {
        stride_2: true,
        ..CONV
    };
    let mut operands = operands();
    operands[3].len = 3 * 3 * 8;
    let descriptor = Descriptor::conv3x3(&conv, operands).unwrap();
    assert_eq!(descriptor_words(&descriptor)[1], (0x04, 2));
    operands[3].len -= 1;
    assert!(Descriptor::conv3x3(&conv, operands).is_err());
}

#[test]
fn every_operand_must_be_handed_over_the_right_way() {
    for at in 0..4 {
        let mut operands = operands();
        let wrong = if at == 3 {
            Direction::ToDevice
        } else {
            Direction::FromDevice
        };
        operands[at].direction = wrong;
        let error = Descriptor::conv3x3(&CONV, operands).unwrap_err();
        assert!(matches!(error, AccelError::Direction { direction, .. } if direction == wrong));
        operands[at].direction = Direction::Bidirectional;
        assert!(Descriptor::conv3x3(&CONV, operands).is_ok());
    }
}

#[test]
fn numbers_that_no_descriptor_can_say_are_refused() {
    let error = |conv| {
        Descriptor::conv3x3(&conv, operands())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(Conv3x3 {
            filters: 4097,
            ..CONV
        }),
        "the accelerator takes 1 to 4096 as filters, not 4097"
    );
    assert!(error(Conv3x3 { height: 0, ..CONV }).contains("as rows, not 0"));
    assert!(error(Conv3x3 {
        width: usize::MAX,
        ..CONV
    })
    .contains("as columns"));
    let output = Output {
        shift: 32,
        relu: false,
    };
    assert!(error(Conv3x3 { output, ..CONV }).contains("0 to 31 as shift, not 32"));
    let [from, .., to] = operands();
    let error = Descriptor::copy(from, to, 0).unwrap_err();
    assert!(matches!(
        error,
        AccelError::Extent {
            which: "bytes",
            found: 0,
            ..
        }
    ));
}

#[test]
fn a_copy_copies_and_is_counted() {
    let software = Software::new(1 << 16);
    let mut accel = software.driver();
    let from = software.hold(0..100);
    let to = software.alloc(100, Direction::FromDevice);
    let traffic = accel
        .execute(&Descriptor::copy(from, to, 99).unwrap())
        .unwrap();
    assert_eq!(software.held(&to)[97..], [97, 98, 0]);
    assert_eq!(
        traffic,
        Traffic {
            read: 64 + 99,
            written: 99 + 4
        }
    );
}

#[test]
fn a_fill_repeats_its_word() {
    let software = Software::new(1 << 16);
    let mut accel = software.driver();
    let to = software.alloc(10, Direction::FromDevice);
    accel
        .execute(&Descriptor::fill(to, 0x0403_0201, 9).unwrap())
        .unwrap();
    assert_eq!(software.held(&to), [1, 2, 3, 4, 1, 2, 3, 4, 1, 0]);
}

#[test]
fn the_ring_goes_round() {
    let software = Software::new(1 << 16);
    let mut accel = software.driver();
    for round in 0..3 * SLOTS {
        let to = software.alloc(4, Direction::FromDevice);
        let traffic = accel
            .execute(&Descriptor::fill(to, round, 4).unwrap())
            .unwrap();
        assert_eq!(software.held(&to), round.to_le_bytes());
        assert_eq!(
            traffic,
            Traffic {
                read: 64,
                written: 8
            }
        );
    }
}

#[test]
fn what_the_accelerator_refuses_is_an_error_with_its_meaning() {
    let software = Software::new(1 << 16);
    let mut accel = software.driver();
    let mut to = software.alloc(64, Direction::FromDevice);
    to.addr = fpgamem::DeviceAddr::new(to.addr.as_u64() + 8);
    let error = accel
        .execute(&Descriptor::fill(to, 0, 16).unwrap())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the accelerator reports error 2: an address is not a multiple of 16"
    );
    assert!(meaning(0).contains("does not list") && meaning(6).contains("does not list"));
}

#[test]
fn waits_for_its_patience_and_no_longer() {
    let software = Software::new(1 << 16);
    let mut accel = software.driver();
    software.deaf.set(true);
    let to = software.alloc(64, Direction::FromDevice);
    let error = accel
        .execute(&Descriptor::fill(to, 0, 16).unwrap())
        .unwrap_err();
    assert!(matches!(error, AccelError::Timeout { waited, word: 0 } if waited >= accel.patience));
}

#[test]
fn sleeps_until_the_interrupt_and_acknowledges_it() {
    let software = Software::new(1 << 16);
    let mut accel = software.driver();
    software.lazy.set(true);
    accel.use_interrupt();
    for round in 1..=3 {
        let to = software.alloc(4, Direction::FromDevice);
        let fill = Descriptor::fill(to, 7, 4).unwrap();
        accel.execute(&fill).unwrap();
        assert_eq!(software.held(&to), [7, 0, 0, 0]);
        assert_eq!(software.sleeps.get(), round);
        assert_eq!(accel.registers.read(INTERRUPT_STATUS), 0);
    }
}

#[test]
fn a_refusal_wakes_it_up_too() {
    let software = Software::new(1 << 16);
    let mut accel = software.driver();
    software.lazy.set(true);
    accel.use_interrupt();
    let mut to = software.alloc(64, Direction::FromDevice);
    to.addr = fpgamem::DeviceAddr::new(to.addr.as_u64() + 8);
    let refused = accel.execute(&Descriptor::fill(to, 0, 16).unwrap());
    assert!(matches!(refused, Err(AccelError::Failed { error: 2 })));
    assert_eq!(software.sleeps.get(), 1);
}

#[test]
fn without_the_interrupt_it_does_not_sleep() {
    let software = Software::new(1 << 16);
    let mut accel = software.driver();
    software.lazy.set(true);
    let to = software.alloc(64, Direction::FromDevice);
    let fill = Descriptor::fill(to, 0, 16).unwrap();
    assert!(matches!(
        accel.execute(&fill),
        Err(AccelError::Timeout { .. })
    ));
    assert_eq!(software.sleeps.get(), 0);
}

#[test]
fn does_not_sleep_for_longer_than_its_patience() {
    let software = Software::new(1 << 16);
    let mut accel = software.driver();
    software.deaf.set(true);
    accel.use_interrupt();
    let to = software.alloc(64, Direction::FromDevice);
    let error = accel
        .execute(&Descriptor::fill(to, 0, 16).unwrap())
        .unwrap_err();
    assert!(matches!(error, AccelError::Timeout { waited, word: 0 } if waited >= accel.patience));
    assert!((1..4).contains(&software.sleeps.get()));
}

#[test]
fn an_old_status_word_is_not_taken_for_a_new_one() {
    let software = Software::new(1 << 16);
    let mut accel = software.driver();
    let to = software.alloc(64, Direction::FromDevice);
    let fill = Descriptor::fill(to, 0, 16).unwrap();
    for _ in 0..SLOTS {
        accel.execute(&fill).unwrap();
    }
    software.deaf.set(true);
    assert!(matches!(
        accel.execute(&fill),
        Err(AccelError::Timeout { .. })
    ));
}

#[test]
fn the_ring_is_given_back_after_a_reset() {
    let software = Software::new(1 << 16);
    drop(software.driver());
    assert!(software.released.get());
}

#[test]
fn only_a_known_accelerator_is_used() {
    struct Fixed(u32, u32);
    impl Registers for Fixed {
        fn read(&self, offset: usize) -> u32 {
            if offset == ID {
                self.0
            } else {
                self.1
            }
        }
        fn write(&mut self, _: usize, _: u32) {}
    }
    assert!(identify(&Fixed(0x4143_4346, 0x0001_ffff)).is_ok());
    for (id, version) in [(0, 0x0001_0000), (0x4143_4346, 0x0002_0000)] {
        let error = identify(&Fixed(id, version)).unwrap_err();
        assert!(
            matches!(error, AccelError::Unknown { id: i, version: v } if (i, v) == (id, version))
        );
    }
}

/// Computes a layer by driver and software.
fn computed(layer: &Layer, shape: Shape, input: &[i8]) -> Vec<i8> {
    let software = Software::new(1 << 20);
    let mut accel = software.driver();
    let weights = layer.weights().unwrap();
    let bytes = |values: &[i8]| values.iter().map(|v| *v as u8).collect::<Vec<_>>();
    let operands = [
        software.hold(bytes(input)),
        software.hold(bytes(&weights.weights)),
        software.hold(weights.bias.iter().flat_map(|bias| bias.to_le_bytes())),
        software.alloc(layer.output(shape).values(), Direction::FromDevice),
    ];
    let descriptor = match layer.operation(shape).unwrap() {
        crate::cnn::Operation::Conv3x3(conv) => Descriptor::conv3x3(&conv, operands),
        crate::cnn::Operation::MatMul(product) => Descriptor::matmul(&product, operands),
    };
    accel.execute(&descriptor.unwrap()).unwrap();
    software
        .held(&operands[3])
        .into_iter()
        .map(|byte| byte as i8)
        .collect()
}

fn noise(random: &mut Random, len: usize) -> Vec<i8> {
    (0..len)
        .map(|_| i8::try_from(random.between(-128, 127)).unwrap())
        .collect()
}

fn weights(random: &mut Random, outputs: usize, products: usize) -> Weights {
    let bias = (0..outputs)
        .map(|_| random.between(-100_000, 100_000))
        .collect();
    let weights = noise(random, outputs * products);
    Weights {
        outputs,
        shift: 9,
        bias,
        weights,
    }
}

#[test]
fn convolutions_of_noise_equal_the_reference() {
    let mut random = Random::new(1);
    for (height, width, channels, filters) in [(1, 1, 1, 1), (5, 7, 3, 4), (2, 9, 17, 2)] {
        let shape = Shape {
            height,
            width,
            channels,
        };
        let layer = Layer::Conv(weights(&mut random, filters, 9 * channels));
        let input = noise(&mut random, shape.values());
        assert_eq!(
            computed(&layer, shape, &input),
            reference::layer(&layer, shape, &input)
        );
    }
}

#[test]
fn products_of_noise_equal_the_reference() {
    let mut random = Random::new(2);
    for (inputs, outputs) in [(1, 1), (100, 7), (1000, 33)] {
        let shape = Shape {
            height: 1,
            width: 1,
            channels: inputs,
        };
        let layer = Layer::Dense(weights(&mut random, outputs, inputs));
        let input = noise(&mut random, inputs);
        assert_eq!(
            computed(&layer, shape, &input),
            reference::layer(&layer, shape, &input)
        );
    }
}

#[test]
fn the_committed_network_computes_as_the_reference_layer_by_layer() {
    let network = Network::parse(include_bytes!("../../data/digits.cnn")).unwrap();
    let picture = Picture::parse(include_bytes!("../../data/digit.ppm")).unwrap();
    let mut tensor = network.input(&picture).unwrap();
    let mut shape = network.input;
    for (layer, expected) in network
        .layers
        .iter()
        .zip(reference::outputs(&network, &tensor))
    {
        tensor = match layer {
            Layer::MaxPool => reference::layer(layer, shape, &tensor),
            _ => computed(layer, shape, &tensor),
        };
        assert!(tensor == expected, "{}", layer.name());
        shape = layer.output(shape);
    }
}
