// SPDX-License-Identifier: MIT OR Apache-2.0

use fpgamem::DeviceBuffer;

fn misuse(buffer: &DeviceBuffer) -> DeviceBuffer {
    buffer.clone()
}

fn main() {}
