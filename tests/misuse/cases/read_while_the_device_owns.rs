// SPDX-License-Identifier: MIT OR Apache-2.0

use fpgamem::{Buffer, Direction};

fn misuse(buffer: Buffer) {
    let _owned = buffer.into_device(Direction::FromDevice);
    let _byte = buffer[0];
}

fn main() {}
