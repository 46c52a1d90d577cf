// SPDX-License-Identifier: MIT OR Apache-2.0

//! A bus master that runs while the CPU does other things, and reads what to do in memory.

use crate::accelerator::Accelerator;
use crate::memory::word;
use crate::scene::{Scene, BYTES, LINE};
use crate::verdict::Verdict;

pub(crate) fn second_descriptor_not_cleaned(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (inputs, outputs) = (
        [1, 2].map(|seed| scene.input(seed)),
        [(); 2].map(|()| scene.used_output()),
    );
    for (slot, (input, output)) in (0..).zip(inputs.iter().zip(&outputs)) {
        accelerator.describe_copy(slot, input, output, BYTES);
    }
    scene.invalidate(&accelerator.ring, 0..if wrong { LINE } else { 2 * LINE });
    accelerator.start(2);
    let done = Verdict::of(accelerator.wait(2));
    scene.invalidate(&outputs[0], 0..BYTES);
    scene.invalidate(&outputs[1], 0..BYTES);
    done.and(outputs[0].compare(1)).and(outputs[1].compare(2))
}

pub(crate) fn completion_polled_without_invalidate(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (input, output) = (scene.input(1), scene.used_output());
    accelerator.describe_copy(0, &input, &output, BYTES);
    scene.invalidate(&accelerator.ring, 0..LINE);
    accelerator.start(1);
    let done = accelerator.wait_by_status(0, || {
        if !wrong {
            scene.invalidate(&accelerator.ring, 0..LINE);
        }
    });
    scene.invalidate(&output, 0..BYTES);
    Verdict::of(done).and(output.compare(1))
}

pub(crate) fn result_invalidated_while_device_works(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (input, output) = (scene.input(1), scene.used_output());
    scene.invalidate(&output, 0..BYTES);
    accelerator.describe_copy(0, &input, &output, BYTES);
    scene.invalidate(&accelerator.ring, 0..LINE);
    accelerator.start(1);
    if wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    let done = accelerator.wait(1);
    if !wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    Verdict::of(done).and(output.compare(1))
}

pub(crate) fn operand_stored_after_descriptor(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (input, output) = (scene.input(1), scene.used_output());
    accelerator.describe_copy(0, &input, &output, BYTES);
    scene.invalidate(&accelerator.ring, 0..LINE);
    input.store(0, !0);
    if !wrong {
        scene.flush(&input, 0..8);
    }
    accelerator.start(1);
    let done = accelerator.wait(1);
    scene.invalidate(&output, 0..BYTES);
    let expected = |index| if index == 0 { !0 } else { word(1, index) };
    Verdict::of(done).and(output.compare_with(0..BYTES, expected))
}

pub(crate) fn neighbour_stored_while_device_works(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (input, output) = (scene.input(1), scene.used_output());
    // The result ends in the middle of a line.
    let bytes = 4 * LINE + LINE / 2;
    scene.invalidate(&output, 0..BYTES);
    accelerator.describe_copy(0, &input, &output, bytes);
    scene.invalidate(&accelerator.ring, 0..LINE);
    accelerator.start(1);
    output.store(if wrong { bytes } else { 5 * LINE }, 7);
    let done = accelerator.wait(1);
    scene.invalidate(&output, 0..bytes);
    Verdict::of(done).and(output.compare_range(0..bytes, 1))
}

pub(crate) fn slot_patched_without_invalidate(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (first, second, output) = (scene.input(1), scene.input(2), scene.used_output());
    accelerator.describe_copy(0, &first, &output, BYTES);
    scene.flush(&accelerator.ring, 0..LINE);
    accelerator.start(1);
    let mut verdict = Verdict::of(accelerator.wait(1));
    // A second job in the same slot but for its source: the rest of the line, the status in it, is the
    // device's.
    if !wrong {
        scene.invalidate(&accelerator.ring, 0..LINE);
    }
    accelerator.ring.store(8, second.device_addr);
    scene.invalidate(&accelerator.ring, 0..LINE);
    verdict.word(accelerator.ring.load(56), 1 << 32);
    verdict
}

pub(crate) fn layer_read_between_layers(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (input, middle, output) = (scene.input(1), scene.used_output(), scene.used_output());
    // What one layer leaves for the next needs no sync, if the CPU keeps off.
    accelerator.describe_copy(0, &input, &middle, BYTES);
    accelerator.describe_copy(1, &middle, &output, BYTES);
    scene.invalidate(&accelerator.ring, 0..2 * LINE);
    accelerator.start(1);
    let mut verdict = Verdict::of(accelerator.wait(1));
    if !wrong {
        scene.invalidate(&middle, 0..8);
    }
    verdict.word(middle.load(0), word(1, 0));
    accelerator.start(2);
    verdict = verdict.and(Verdict::of(accelerator.wait(2)));
    scene.invalidate(&output, 0..BYTES);
    verdict.and(output.compare(1))
}
