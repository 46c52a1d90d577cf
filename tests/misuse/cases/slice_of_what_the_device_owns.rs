// SPDX-License-Identifier: MIT OR Apache-2.0

use fpgamem::DeviceBuffer;

fn misuse(buffer: &DeviceBuffer) -> u8 {
    buffer[0]
}

fn main() {}
