// SPDX-License-Identifier: MIT OR Apache-2.0

//! How the host's standard input travels over a UART that has no end-of-file.
//!
//! The guest's terminal is in line mode with two special bytes: EOF hands over what has come so
//! far, and ends the input when nothing has; QUOTE makes the next byte an ordinary one.

/// Ctrl-D, the terminal's `eof` character.
const EOF: u8 = 0x04;
/// Ctrl-V, the terminal's `lnext` character.
const QUOTE: u8 = 0x16;

/// The most bytes that may be sent in one piece: well below the terminal's line of 4095.
pub(crate) const PIECE_BYTES: usize = 1024;

/// A piece of input as it goes over the line; `None` ends the input.
pub(crate) fn encode(piece: Option<&[u8]>) -> Vec<u8> {
    let Some(piece) = piece else { return vec![EOF] };
    let mut line = Vec::with_capacity(piece.len() + 1);
    for &byte in piece {
        if byte == EOF || byte == QUOTE {
            line.push(QUOTE);
        }
        line.push(byte);
    }
    if piece.last().is_some_and(|&byte| byte != b'\n') {
        line.push(EOF);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_pass_unchanged() {
        assert_eq!(encode(Some(b"one\ntwo\n")), b"one\ntwo\n");
    }

    #[test]
    fn a_line_without_an_end_is_handed_over() {
        assert_eq!(encode(Some(b"half")), b"half\x04");
    }

    #[test]
    fn special_bytes_are_quoted() {
        assert_eq!(encode(Some(b"\x04\x16\n")), b"\x16\x04\x16\x16\n");
    }

    #[test]
    fn the_end_is_a_lone_eof() {
        assert_eq!(encode(None), b"\x04");
    }
}
