// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pictures in the binary formats of Netpbm: P5 (grey) and P6 (colour), 8 bits a sample.

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Samples a pixel: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The samples, 0 to 255, row by row, those of a pixel together.
    pub samples: Vec<u8>,
}

/// The largest width and height that are read.
const MAX_SIDE: usize = 4096;

/// Why a file is no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// The first two bytes are others.
    #[error(
        "the file begins with {found:?}; binary pictures of Netpbm begin with \"P5\" or \"P6\""
    )]
    Kind {
        /// What it begins with.
        found: String,
    },

    /// A number of the header is missing or too large.
    #[error("{what} at byte {offset} is not a number from {min} to {max}")]
    Header {
        /// Which number.
        what: &'static str,
        /// Where it should begin.
        offset: usize,
        /// The smallest that is read.
        min: usize,
        /// The largest that is read.
        max: usize,
    },

    /// No white space separates the header from the samples.
    #[error("byte {offset} is {found:#04x}, not the white space that ends the header")]
    Separator {
        /// Where it should be.
        offset: usize,
        /// What is there.
        found: u8,
    },

    /// The file holds fewer or more samples than the header says.
    #[error("{width}x{height} pixels take {expected} bytes, but {found} follow the header")]
    Size {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes that the samples take.
        expected: usize,
        /// Bytes after the header.
        found: usize,
    },

    /// A sample is larger than the header allows.
    #[error("the sample at byte {offset} is {found}, above the maximum {max} of the header")]
    Sample {
        /// Where it is.
        offset: usize,
        /// Its value.
        found: u8,
        /// The header's maximum.
        max: u8,
    },
}

impl Picture {
    /// Reads a file.
    ///
    /// Samples are scaled so that the header's maximum, which is at most 255, becomes 255.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place in the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, PictureError> {
        let channels = match bytes {
            [b'P', b'5', ..] => 1,
            [b'P', b'6', ..] => 3,
            _ => {
                let found = &bytes[..bytes.len().min(2)];
                let found = String::from_utf8_lossy(found).into_owned();
                return Err(PictureError::Kind { found });
            }
        };
        let mut header = Header { bytes, at: 2 };
        let width = header.number("the width", MAX_SIDE)?;
        let height = header.number("the height", MAX_SIDE)?;
        let max = header.number("the maximum of a sample", 255)?;
        let max = u8::try_from(max).unwrap_or(u8::MAX);
        let start = header.end()?;
        let samples = &bytes[start..];
        let expected = width * height * channels;
        if samples.len() != expected {
            let found = samples.len();
            return Err(PictureError::Size {
                width,
                height,
                expected,
                found,
            });
        }
        if let Some(at) = samples.iter().position(|sample| *sample > max) {
            let (offset, found) = (start + at, samples[at]);
            return Err(PictureError::Sample { offset, found, max });
        }
        let samples = samples.iter().map(|sample| scaled(*sample, max)).collect();
        Ok(Self {
            channels,
            height,
            width,
            samples,
        })
    }

    /// The picture as a file, with one line of comment.
    #[must_use]
    pub fn file(&self, comment: &str) -> Vec<u8> {
        let kind = if self.channels == 1 { 5 } else { 6 };
        let mut file = format!(
            "P{kind}\n# {comment}\n{} {}\n255\n",
            self.width, self.height
        )
        .into_bytes();
        file.extend_from_slice(&self.samples);
        file
    }
}

/// A sample on the scale to 255.
fn scaled(sample: u8, max: u8) -> u8 {
    let scaled = (u32::from(sample) * 255 + u32::from(max) / 2) / u32::from(max);
    u8::try_from(scaled).unwrap_or(u8::MAX)
}

struct Header<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Header<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips white space, and comments from "#" to the end of the line.
    fn skip(&mut self) {
        let mut comment = false;
        while let Some(byte) = self.peek() {
            comment = (comment || byte == b'#') && byte != b'\n';
            if !comment && !byte.is_ascii_whitespace() {
                break;
            }
            self.at += 1;
        }
    }

    /// Reads a number from 1 to `max`.
    fn number(&mut self, what: &'static str, max: usize) -> Result<usize, PictureError> {
        self.skip();
        let offset = self.at;
        let mut number = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            // More digits than any maximum has make no difference.
            number = (number * 10 + usize::from(digit - b'0')).min(max + 1);
            self.at += 1;
        }
        if (1..=max).contains(&number) {
            Ok(number)
        } else {
            Err(PictureError::Header {
                what,
                offset,
                min: 1,
                max,
            })
        }
    }

    /// Skips the one white space after the last number and returns where the samples begin.
    fn end(&self) -> Result<usize, PictureError> {
        match self.peek() {
            Some(found) if !found.is_ascii_whitespace() => Err(PictureError::Separator {
                offset: self.at,
                found,
            }),
            // A file that ends here has too few samples.
            byte => Ok(self.at + usize::from(byte.is_some())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str, samples: &[u8]) -> Result<Picture, PictureError> {
        Picture::parse(&[header.as_bytes(), samples].concat())
    }

    #[test]
    fn reads_grey_and_colour() {
        let grey = parse("P5 2 1 255\n", &[0, 255]).unwrap();
        assert_eq!((grey.channels, grey.height, grey.width), (1, 1, 2));
        assert_eq!(grey.samples, [0, 255]);
        let colour = parse("P6 1 2 255\n", &[1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!((colour.channels, colour.height, colour.width), (3, 2, 1));
        assert_eq!(colour.samples, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn comments_and_any_white_space_separate_numbers() {
        let picture = parse("P5# a 9\n\t1 #\n# 7\n 3\r\n255\n", &[1, 2, 3]).unwrap();
        assert_eq!((picture.height, picture.width), (3, 1));
    }

    #[test]
    fn a_sample_that_looks_like_white_space_is_a_sample() {
        assert_eq!(parse("P5 2 1 255\n", b"\n ").unwrap().samples, b"\n ");
    }

    #[test]
    fn a_smaller_maximum_is_scaled_up() {
        assert_eq!(
            parse("P5 3 1 15\n", &[0, 7, 15]).unwrap().samples,
            [0, 119, 255]
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        let picture = Picture {
            channels: 3,
            height: 1,
            width: 2,
            samples: vec![9, 8, 7, 6, 5, 4],
        };
        assert_eq!(Picture::parse(&picture.file("9 9")), Ok(picture));
    }

    #[test]
    fn other_files_are_refused_by_their_beginning() {
        for (bytes, found) in [
            ("P3 1 1 255\n", "P3"),
            ("GIF89a", "GI"),
            ("P", "P"),
            ("", ""),
        ] {
            let error = Picture::parse(bytes.as_bytes()).unwrap_err();
            assert_eq!(
                error,
                PictureError::Kind {
                    found: found.to_owned()
                }
            );
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_their_place() {
        for (header, expected) in [
            (
                "P5 0 1 255\n",
                "the width at byte 3 is not a number from 1 to 4096",
            ),
            (
                "P5 1 4097 255\n",
                "the height at byte 5 is not a number from 1 to 4096",
            ),
            (
                "P5 1 -1 255\n",
                "the height at byte 5 is not a number from 1 to 4096",
            ),
            (
                "P5 1 1 65535\n",
                "the maximum of a sample at byte 7 is not a number from 1 to 255",
            ),
            (
                "P5 99999999999999999999 1 255\n",
                "the width at byte 3 is not",
            ),
            (
                "P5 1",
                "the height at byte 4 is not a number from 1 to 4096",
            ),
        ] {
            let error = parse(header, &[0]).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn the_header_ends_with_white_space() {
        let error = parse("P5 1 1 255", &[b'x', 0]).unwrap_err();
        assert_eq!(
            error,
            PictureError::Separator {
                offset: 10,
                found: b'x'
            }
        );
    }

    #[test]
    fn too_few_and_too_many_samples_are_refused_with_both_sizes() {
        for (samples, found) in [(&[1; 5][..], 5), (&[1; 7], 7), (&[], 0)] {
            let error = parse("P6 2 1 255\n", samples).unwrap_err();
            assert_eq!(
                error,
                PictureError::Size {
                    width: 2,
                    height: 1,
                    expected: 6,
                    found
                }
            );
        }
        let error = Picture::parse(b"P5 2 3 255").unwrap_err();
        assert_eq!(
            error,
            PictureError::Size {
                width: 2,
                height: 3,
                expected: 6,
                found: 0
            }
        );
    }

    #[test]
    fn a_sample_above_the_maximum_is_refused_with_its_place() {
        let error = parse("P5 3 1 15\n", &[15, 16, 0]).unwrap_err();
        assert_eq!(
            error,
            PictureError::Sample {
                offset: 11,
                found: 16,
                max: 15
            }
        );
    }
}
