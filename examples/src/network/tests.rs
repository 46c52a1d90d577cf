// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use crate::footprint::{smallest_region, Footprint};
use crate::trace::Trace;

const BLOCK: usize = 16384;

fn parse(detector: Detector) -> Trace {
    Trace::parse("network", &detector.trace()).unwrap()
}

/// The operations of a trace from one line on up to another, without the names of buffers.
fn shapes(text: &str, from: &str, to: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| *line != from);
    let without_name = |line: &str| {
        let mut fields: Vec<_> = line.split(' ').collect();
        fields.remove(1);
        fields.join(" ")
    };
    lines
        .take_while(|line| *line != to)
        .map(without_name)
        .collect()
}

/// The first run of a layer whose filter is the first buffer.
fn first_run(layer: Convolution) -> Vec<String> {
    let mut lines = Lines::default();
    let parameters = lines.load(&Layer::Convolution(layer));
    let from = format!("A 5 {}", elements(layer.outputs, layer.side) * 2 + TAIL);
    lines.first_run(&layer, &parameters);
    shapes(&lines.text, &from, "")
}

#[test]
fn layers_ask_for_what_those_of_a_recorded_network_do() {
    let resnet50 = include_str!("../../data/resnet50.trace");
    let layer = |inputs, outputs, kernel, side| Convolution {
        inputs,
        outputs,
        kernel,
        side,
        normalized: true,
    };
    for (layer, from, to) in [
        // Its rows are no multiple of 16 weights.
        (layer(3, 64, 7, 112), "A 270 1605648", "A 283 401424"),
        (layer(64, 64, 3, 56), "A 308 401424", "A 320 1605648"),
        // In two pieces, and in five, the last one shorter.
        (layer(256, 256, 3, 14), "A 591 100368", "A 612 401424"),
        (layer(512, 512, 3, 7), "A 906 50192", "A 954 200720"),
    ] {
        let recorded = shapes(resnet50, from, to);
        assert!(recorded.len() > 30);
        assert_eq!(first_run(layer), recorded, "{layer:?}");
    }
}

#[test]
fn yolov3_fills_a_region_of_512_mib_almost() {
    let trace = parse(Detector::YOLOV3_608);
    let footprint = Footprint::of(&trace, BLOCK);
    assert_eq!((footprint.nr_allocs, footprint.nr_frees), (2288, 2288));
    assert_eq!(footprint.peak_blocks, 31_778);
    assert_eq!(footprint.peak_bytes >> 10, 495_175);
    let region = smallest_region(&trace, BLOCK).unwrap();
    assert_eq!(region, 32_174 * BLOCK as u64);
    assert!(region < 512 << 20);
}

#[test]
fn small_detectors_need_at_most_a_tenth_more_than_their_peak() {
    for (side, width, blocks) in [(320, 24, [1, 2, 4, 6, 4]), (416, 40, [1; 5])] {
        let trace = parse(Detector {
            side,
            width,
            blocks,
        });
        let peak = Footprint::of(&trace, BLOCK).peak_blocks * BLOCK;
        let region = smallest_region(&trace, BLOCK).unwrap();
        let percent = region * 100 / peak as u64;
        assert!(percent < 110, "{side} {width} {blocks:?}: {percent} %");
    }
}

#[test]
fn every_buffer_is_freed() {
    let trace = parse(Detector {
        side: 32,
        width: 8,
        blocks: [1; 5],
    });
    let footprint = Footprint::of(&trace, BLOCK);
    assert_eq!(footprint.nr_allocs, footprint.nr_frees);
}
