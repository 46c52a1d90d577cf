// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files that are networks, and files that are not.

use super::*;

fn small() -> Network {
    let conv = Weights {
        outputs: 2,
        shift: 3,
        bias: vec![-1, 70_000],
        weights: (0..18).map(|n| n - 9).collect(),
    };
    let dense = Weights {
        outputs: 3,
        shift: 31,
        bias: vec![5, 6, -7],
        weights: vec![-128; 6],
    };
    Network {
        input: Shape {
            channels: 1,
            height: 2,
            width: 3,
        },
        layers: vec![Layer::Conv(conv), Layer::MaxPool, Layer::Dense(dense)],
    }
}

/// Offset of the first layer.
const LAYER: usize = 16;

fn error(change: impl FnOnce(&mut Vec<u8>)) -> FileError {
    let mut file = small().file();
    change(&mut file);
    Network::parse(&file).unwrap_err()
}

#[test]
fn what_is_written_reads_back() {
    assert_eq!(Network::parse(&small().file()), Ok(small()));
}

#[test]
fn the_bytes_are_as_documented() {
    let file = small().file();
    assert_eq!(file[..LAYER], *b"fpgacnn1\x02\0\x03\0\x01\0\x03\0");
    assert_eq!(
        file[LAYER..LAYER + 12],
        [1, 3, 2, 0, 255, 255, 255, 255, 0x70, 0x11, 1, 0]
    );
    assert_eq!(file[LAYER + 12..LAYER + 30].first(), Some(&247));
    assert_eq!(file[LAYER + 30..LAYER + 38], [2, 0, 0, 0, 3, 31, 3, 0]);
    assert_eq!(file.len(), LAYER + 38 + 12 + 6);
}

#[test]
fn every_file_that_is_cut_off_is_refused_with_its_length() {
    let file = small().file();
    for len in 0..file.len() {
        match Network::parse(&file[..len]).unwrap_err() {
            FileError::Magic => assert!(len < MAGIC.len()),
            FileError::End {
                offset,
                needed,
                end,
                ..
            } => {
                assert_eq!(end, len);
                assert!(offset <= len && len < offset + needed);
            }
            error => panic!("{len}: {error}"),
        }
    }
}

#[test]
fn bytes_after_the_last_layer_are_refused() {
    let len = small().file().len();
    let error = error(|file| file.push(0));
    assert_eq!(
        error,
        FileError::Rest {
            offset: len,
            end: len + 1
        }
    );
}

#[test]
fn other_files_are_refused() {
    assert_eq!(error(|file| file[7] = b'2'), FileError::Magic);
}

#[test]
fn counts_out_of_range_are_refused_with_their_place() {
    let range = |what, offset, found, min, max| FileError::Range {
        what,
        offset,
        found,
        min,
        max,
    };
    assert_eq!(
        error(|file| file[12] = 0),
        range("the number of channels", 12, 0, 1, 4096)
    );
    assert_eq!(
        error(|file| file[9] = 16),
        range("the height", 8, 4098, 1, 4096)
    );
    assert_eq!(
        error(|file| file[14] = 0),
        range("the number of layers", 14, 0, 1, 4096)
    );
    assert_eq!(
        error(|file| file[LAYER + 2] = 0),
        range("the number of outputs", LAYER + 2, 0, 1, 4096)
    );
    assert_eq!(
        error(|file| file[LAYER + 1] = 32),
        range("the shift", LAYER + 1, 32, 0, 31)
    );
}

#[test]
fn a_max_pool_has_nothing_but_its_kind() {
    let pool = LAYER + 30;
    let range = |what, offset| FileError::Range {
        what,
        offset,
        found: 1,
        min: 0,
        max: 0,
    };
    assert_eq!(
        error(|file| file[pool + 1] = 1),
        range("the shift", pool + 1)
    );
    assert_eq!(
        error(|file| file[pool + 2] = 1),
        range("the number of outputs", pool + 2)
    );
}

#[test]
fn a_bias_that_could_overflow_a_sum_is_refused() {
    let error = error(|file| file[LAYER + 11] = 0x20);
    let FileError::Range {
        what: "a bias",
        offset,
        found,
        max,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((offset, found, max), (LAYER + 8, 0x2001_1170, 0x2000_0000));
}

#[test]
fn an_unknown_kind_is_refused_with_its_layer() {
    let error = error(|file| file[LAYER + 30] = 4);
    assert_eq!(
        error,
        FileError::Kind {
            layer: 2,
            offset: LAYER + 30,
            found: 4
        }
    );
}

#[test]
fn a_max_pool_that_leaves_nothing_is_refused() {
    // A height of 1 also makes the fully connected layer's input shorter, but the pool is first.
    let error = error(|file| file[8] = 1);
    let input = Shape {
        channels: 2,
        height: 1,
        width: 3,
    };
    assert_eq!(
        error,
        FileError::Size {
            layer: 2,
            input,
            values: 0
        }
    );
}

#[test]
fn sums_that_could_overflow_are_refused() {
    // 4096 x 4096 values for a fully connected layer.
    let mut file = MAGIC.to_vec();
    for count in [4096, 4096, 1, 1] {
        file.extend(short(count));
    }
    file.extend([DENSE, 0, 1, 0]);
    let error = Network::parse(&file).unwrap_err();
    assert_eq!(
        error,
        FileError::Products {
            layer: 1,
            products: 1 << 24
        }
    );
}

#[test]
fn tensors_that_are_too_large_are_refused_before_their_weights_are_read() {
    let mut file = MAGIC.to_vec();
    for count in [4096, 4096, 1, 1] {
        file.extend(short(count));
    }
    file.extend([CONV, 0, 2, 0]);
    let error = Network::parse(&file).unwrap_err();
    let input = Shape {
        channels: 1,
        height: 4096,
        width: 4096,
    };
    assert_eq!(
        error,
        FileError::Size {
            layer: 1,
            input,
            values: 1 << 25
        }
    );
}
