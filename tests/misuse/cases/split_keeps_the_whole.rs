// SPDX-License-Identifier: MIT OR Apache-2.0

use fpgamem::Buffer;

fn misuse(mut buffer: Buffer) {
    let _parts = buffer.split_at(64);
    buffer[0] = 1;
}

fn main() {}
