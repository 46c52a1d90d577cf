// SPDX-License-Identifier: MIT OR Apache-2.0

use fpgamem::Buffer;

fn misuse(buffer: &mut Buffer) -> fpgamem::Result<u8> {
    let bytes = &buffer[..];
    buffer.sync_for_cpu(..)?;
    Ok(bytes[0])
}

fn main() {}
