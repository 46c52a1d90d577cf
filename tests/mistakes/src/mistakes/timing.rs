// SPDX-License-Identifier: MIT OR Apache-2.0

//! The right sync at the wrong time: while the device may still be, or already be, at work.

use crate::accelerator::Accelerator;
use crate::memory::{take_back, word};
use crate::scene::{Scene, BYTES, LINE};
use crate::verdict::Verdict;
use fpgamem::{Device, Direction};
use fpgamem_tests::abi;

/// Bytes that the device handles in one line.
const SMALL: u64 = LINE;

pub(crate) fn invalidate_before_wait(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    scene.program(input.device_addr, output.device_addr, BYTES);
    scene.start();
    if wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    scene.wait();
    if !wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    output.compare(1)
}

pub(crate) fn neighbour_stored_before_wait(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    // The result ends within a line, of which the CPU uses the rest.
    let bytes = 4 * LINE + 16;
    scene.invalidate(&output, 0..BYTES);
    scene.program(input.device_addr, output.device_addr, bytes);
    scene.start();
    output.store(if wrong { bytes } else { 5 * LINE }, 7);
    scene.wait();
    scene.invalidate(&output, 0..bytes);
    output.compare_range(0..bytes, 1)
}

pub(crate) fn taken_back_before_wait(scene: &Scene, wrong: bool) -> Verdict {
    let input = scene.input(1);
    let device = Device::open().expect("the node is there");
    let mut output = device.alloc(16384).expect("the pool has room");
    output.fill(9);
    let output = output.into_device(Direction::FromDevice);
    let output = output.expect("the driver hands it over");
    scene.program(input.device_addr, output.device_addr().as_u64(), BYTES);
    scene.start();
    let output = if wrong {
        let output = take_back(output);
        scene.wait();
        output
    } else {
        scene.wait();
        take_back(output)
    };
    crate::memory::compare_slice(&output, 1)
}

pub(crate) fn descriptor_cleaned_after_doorbell(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (input, output) = (scene.input(1), scene.used_output());
    scene.invalidate(&output, 0..BYTES);
    accelerator.describe_copy(0, &input, &output, BYTES);
    if !wrong {
        scene.invalidate(&accelerator.ring, 0..LINE);
    }
    accelerator.start(1);
    if wrong {
        scene.invalidate(&accelerator.ring, 0..LINE);
    }
    let done = accelerator.wait(1);
    scene.invalidate(&output, 0..BYTES);
    Verdict::of(done).and(output.compare(1))
}

pub(crate) fn operand_cleaned_after_doorbell(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (input, output) = (scene.input(9), scene.used_output());
    input.fill_range(0..SMALL, 1);
    accelerator.describe_copy(0, &input, &output, SMALL);
    scene.invalidate(&accelerator.ring, 0..LINE);
    if !wrong {
        scene.flush(&input, 0..SMALL);
    }
    accelerator.start(1);
    if wrong {
        scene.flush(&input, 0..SMALL);
    }
    let done = accelerator.wait(1);
    scene.invalidate(&output, 0..SMALL);
    Verdict::of(done).and(output.compare_range(0..SMALL, 1))
}

pub(crate) fn operand_changed_after_doorbell(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (input, output) = (scene.input(9), scene.used_output());
    let refill = || {
        input.fill_range(0..SMALL, 1);
        scene.flush(&input, 0..SMALL);
    };
    accelerator.describe_copy(0, &input, &output, SMALL);
    scene.invalidate(&accelerator.ring, 0..LINE);
    if !wrong {
        refill();
    }
    accelerator.start(1);
    if wrong {
        refill();
    }
    let done = accelerator.wait(1);
    scene.invalidate(&output, 0..SMALL);
    Verdict::of(done).and(output.compare_range(0..SMALL, 1))
}

pub(crate) fn result_cleaned_after_doorbell(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (input, output) = (scene.input(1), scene.buffer(BYTES));
    output.fill_range(0..SMALL, 9);
    accelerator.describe_copy(0, &input, &output, SMALL);
    scene.invalidate(&accelerator.ring, 0..LINE);
    if !wrong {
        scene.invalidate(&output, 0..SMALL);
    }
    accelerator.start(1);
    if wrong {
        scene.invalidate(&output, 0..SMALL);
    }
    let done = accelerator.wait(1);
    scene.invalidate(&output, 0..SMALL);
    Verdict::of(done).and(output.compare_range(0..SMALL, 1))
}

pub(crate) fn small_result_invalidated_before_wait(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (input, output) = (scene.input(1), scene.used_output());
    accelerator.describe_copy(0, &input, &output, SMALL);
    scene.invalidate(&accelerator.ring, 0..LINE);
    accelerator.start(1);
    // Long enough that the device is done, as it happens.
    let other = input.compare_range(0..BYTES, 1);
    if wrong {
        scene.invalidate(&output, 0..SMALL);
    }
    let done = accelerator.wait(1);
    if !wrong {
        scene.invalidate(&output, 0..SMALL);
    }
    other
        .and(Verdict::of(done))
        .and(output.compare_range(0..SMALL, 1))
}

pub(crate) fn no_invalidate_after_interrupt(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (input, output) = (scene.input(1), scene.used_output());
    accelerator.describe_copy(0, &input, &output, BYTES);
    scene.invalidate(&accelerator.ring, 0..LINE);
    accelerator.start(1);
    let done = accelerator.sleep();
    if !wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    Verdict::of(done).and(output.compare(1))
}

pub(crate) fn operand_reused_before_interrupt(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (input, output) = (scene.input(1), scene.used_output());
    accelerator.describe_copy(0, &input, &output, BYTES);
    scene.invalidate(&accelerator.ring, 0..LINE);
    accelerator.start(1);
    // The next round's operand.
    if wrong {
        input.store(0, !0);
    }
    let done = accelerator.sleep();
    if !wrong {
        input.store(0, !0);
    }
    scene.invalidate(&output, 0..BYTES);
    let kept = input.compare_with(0..16, |index| if index == 0 { !0 } else { word(1, index) });
    Verdict::of(done).and(kept).and(output.compare(1))
}

pub(crate) fn interrupt_is_no_barrier(scene: &Scene, wrong: bool) -> Verdict {
    let accelerator = Accelerator::open(scene);
    let (other, result) = (scene.input(2), scene.used_output());
    accelerator.describe_copy(0, &other, &result, BYTES);
    scene.invalidate(&accelerator.ring, 0..LINE);
    accelerator.start(1);
    let done = accelerator.wait(1);
    let output = scene.buffer(BYTES);
    let input = scene.buffer_with(BYTES, abi::ALLOC_WRITE_COMBINE);
    input.fill(1);
    scene.invalidate(&output, 0..BYTES);
    scene.program(input.device_addr, output.device_addr, BYTES);
    input.store(0, !0);
    // The kernel handles an interrupt, with barriers of its own; the next time none may come.
    accelerator.interrupt();
    if !wrong {
        crate::instruction::dsb();
    }
    scene.start();
    scene.wait();
    scene.invalidate(&output, 0..BYTES);
    let expected = |index| if index == 0 { !0 } else { word(1, index) };
    Verdict::of(done).and(output.compare_with(0..BYTES, expected))
}

pub(crate) fn invalidate_before_interrupt(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    scene.program(input.device_addr, output.device_addr, BYTES);
    scene.enable_interrupt();
    scene.start();
    if wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    scene.sleep();
    if !wrong {
        scene.invalidate(&output, 0..BYTES);
    }
    let verdict = output.compare(1);
    scene.disable_interrupt();
    verdict
}

pub(crate) fn input_refilled_before_wait(scene: &Scene, wrong: bool) -> Verdict {
    let (input, output) = (scene.input(1), scene.used_output());
    scene.program(input.device_addr, output.device_addr, BYTES);
    scene.start();
    let next = || {
        input.fill(2);
        scene.flush(&input, 0..BYTES);
    };
    if wrong {
        next();
    }
    scene.wait();
    if !wrong {
        next();
    }
    scene.invalidate(&output, 0..BYTES);
    output
        .compare(1)
        .and(scene.seen_by_device(&input).compare(2))
}
