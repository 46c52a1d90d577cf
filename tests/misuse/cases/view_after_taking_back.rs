// SPDX-License-Identifier: MIT OR Apache-2.0

use fpgamem::DeviceBuffer;

fn misuse(buffer: DeviceBuffer) {
    let view = buffer.view();
    let _ = unsafe { buffer.into_cpu() };
    let mut byte = [0];
    let _ = view.read_at(0, &mut byte);
}

fn main() {}
