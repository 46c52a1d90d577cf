// SPDX-License-Identifier: MIT OR Apache-2.0

use fpgamem::Buffer;

fn misuse(buffer: Buffer) {
    let _ = buffer.typed::<&'static str>();
}

fn main() {}
