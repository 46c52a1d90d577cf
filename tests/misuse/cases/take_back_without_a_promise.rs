// SPDX-License-Identifier: MIT OR Apache-2.0

use fpgamem::DeviceBuffer;

fn misuse(buffer: DeviceBuffer) {
    let _ = buffer.into_cpu();
}

fn main() {}
