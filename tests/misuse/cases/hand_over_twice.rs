// SPDX-License-Identifier: MIT OR Apache-2.0

use fpgamem::{Buffer, Direction};

fn misuse(buffer: Buffer) {
    let _first = buffer.into_device(Direction::ToDevice);
    let _second = buffer.into_device(Direction::ToDevice);
}

fn main() {}
