// SPDX-License-Identifier: MIT OR Apache-2.0

use fpgamem::{Buffer, Direction};

fn misuse(buffer: Buffer) {
    let bytes = &buffer[..];
    let _owned = buffer.into_device(Direction::ToDevice);
    let _first = bytes[0];
}

fn main() {}
