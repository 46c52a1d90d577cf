// SPDX-License-Identifier: MIT OR Apache-2.0

//! Allocation traces: what a program asked of the allocator and of the caches, one operation a line.
//!
//! ```text
//! A id bytes           allocate a buffer
//! F id                 free it
//! C id offset bytes    clean (flush) a range of it
//! I id offset bytes    clean and invalidate (invalidate) a range of it
//! ```
//!
//! Numbers are decimal. Empty lines and lines that start with `#` are skipped. An id may be used again
//! after its buffer was freed. A range starts in its buffer; it may overrun its end, as some programs'
//! ranges do, and is then cut there.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;

/// What is done to a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Allocates the buffer.
    Alloc {
        /// Its length.
        bytes: NonZeroUsize,
    },
    /// Frees the buffer.
    Free,
    /// Cleans a range of the buffer.
    Flush(Range<usize>),
    /// Cleans and invalidates a range of the buffer.
    Invalidate(Range<usize>),
}

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Number of the line, from 1 on.
    pub line: usize,
    /// Name of the buffer.
    pub id: u32,
    /// What is done to it.
    pub operation: Operation,
}

/// A trace that makes sense: every operation is on a live buffer, every range is inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its name, for messages.
    pub name: String,
    /// Its operations in their order.
    pub steps: Vec<Step>,
    /// Ranges that overran their buffer and were cut at its end.
    pub nr_overruns: usize,
}

/// A line that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct TraceError {
    /// Name of the trace.
    pub file: String,
    /// Number of the line, from 1 on.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The line is none of the four forms.
    #[error(
        "expected \"A id bytes\", \"F id\", \"C id offset bytes\" or \"I id offset bytes\", \
         found \"{0}\""
    )]
    Form(String),
    /// A field is not a number that fits.
    #[error("expected a decimal number as {field}, found \"{found}\"")]
    Number {
        /// Name of the field.
        field: &'static str,
        /// What stands there.
        found: String,
    },
    /// A length of 0.
    #[error("expected at least 1 byte, found 0")]
    Empty,
    /// An id that is in use is allocated.
    #[error("buffer {id} is allocated again; it is live since line {since}")]
    Live {
        /// The buffer.
        id: u32,
        /// Line of its allocation.
        since: usize,
    },
    /// An id that is not in use is operated on.
    #[error("buffer {0} is not allocated here")]
    NotLive(u32),
    /// A range starts past the end of the buffer.
    #[error("the range starts at {offset}, past the end of buffer {id} of {len} bytes")]
    Outside {
        /// The buffer.
        id: u32,
        /// Start of the range.
        offset: usize,
        /// Length of the buffer.
        len: usize,
    },
}

impl Trace {
    /// Parses the text of a trace; `file` is its name in errors.
    ///
    /// # Errors
    ///
    /// The first line that cannot be.
    pub fn parse(file: &str, text: &str) -> Result<Self, TraceError> {
        let mut parser = Parser::default();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            parser.line(line, content).map_err(|problem| TraceError {
                file: file.to_owned(),
                line,
                problem,
            })?;
        }
        Ok(Self {
            name: file.to_owned(),
            steps: parser.steps,
            nr_overruns: parser.nr_overruns,
        })
    }
}

#[derive(Default)]
struct Parser {
    steps: Vec<Step>,
    nr_overruns: usize,
    /// Length and line of allocation of the live buffers.
    live: BTreeMap<u32, (NonZeroUsize, usize)>,
}

impl Parser {
    fn line(&mut self, line: usize, content: &str) -> Result<(), Problem> {
        let fields: Vec<_> = content.split_whitespace().collect();
        let (id, operation) = match fields[..] {
            ["A", id, bytes] => self.alloc(line, number("id", id)?, number("bytes", bytes)?)?,
            ["F", id] => self.free(number("id", id)?)?,
            [kind @ ("C" | "I"), id, offset, bytes] => {
                let id = number("id", id)?;
                let range = self.range(id, number("offset", offset)?, number("bytes", bytes)?)?;
                let flush = kind == "C";
                (
                    id,
                    if flush {
                        Operation::Flush(range)
                    } else {
                        Operation::Invalidate(range)
                    },
                )
            }
            _ => return Err(Problem::Form(content.to_owned())),
        };
        self.steps.push(Step {
            line,
            id,
            operation,
        });
        Ok(())
    }

    fn alloc(&mut self, line: usize, id: u32, bytes: usize) -> Result<(u32, Operation), Problem> {
        let bytes = NonZeroUsize::new(bytes).ok_or(Problem::Empty)?;
        match self.live.insert(id, (bytes, line)) {
            Some((_, since)) => Err(Problem::Live { id, since }),
            None => Ok((id, Operation::Alloc { bytes })),
        }
    }

    fn free(&mut self, id: u32) -> Result<(u32, Operation), Problem> {
        self.live.remove(&id).ok_or(Problem::NotLive(id))?;
        Ok((id, Operation::Free))
    }

    fn range(&mut self, id: u32, offset: usize, bytes: usize) -> Result<Range<usize>, Problem> {
        let len = self.live.get(&id).ok_or(Problem::NotLive(id))?.0.get();
        if bytes == 0 {
            return Err(Problem::Empty);
        }
        if offset >= len {
            return Err(Problem::Outside { id, offset, len });
        }
        let end = offset.saturating_add(bytes);
        if end > len {
            self.nr_overruns += 1;
        }
        Ok(offset..end.min(len))
    }
}

fn number<T: std::str::FromStr>(field: &'static str, found: &str) -> Result<T, Problem> {
    found.parse().map_err(|_| Problem::Number {
        field,
        found: found.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Trace, TraceError> {
        Trace::parse("t.trace", text)
    }

    fn problem(text: &str) -> (usize, Problem) {
        let error = parse(text).unwrap_err();
        (error.line, error.problem)
    }

    #[test]
    fn reads_every_kind_of_line() {
        let trace = parse("A 0 272\nC 0 0 272\nI 0 16 8\nF 0\n").unwrap();
        let bytes = NonZeroUsize::new(272).unwrap();
        let operations: Vec<_> = trace.steps.into_iter().map(|step| step.operation).collect();
        assert_eq!(
            operations,
            [
                Operation::Alloc { bytes },
                Operation::Flush(0..272),
                Operation::Invalidate(16..24),
                Operation::Free,
            ]
        );
        assert_eq!(trace.nr_overruns, 0);
    }

    #[test]
    fn skips_comments_and_empty_lines_and_counts_them() {
        let trace = parse("# a comment\n\n  A 5 1\r\n").unwrap();
        assert_eq!(trace.steps.len(), 1);
        assert_eq!((trace.steps[0].line, trace.steps[0].id), (3, 5));
    }

    #[test]
    fn an_id_may_be_used_again_after_its_free() {
        assert_eq!(parse("A 1 8\nF 1\nA 1 16\n").unwrap().steps.len(), 3);
    }

    #[test]
    fn cuts_and_counts_a_range_that_overruns_its_buffer() {
        let trace = parse("A 1 100\nC 1 96 48\n").unwrap();
        assert_eq!(trace.steps[1].operation, Operation::Flush(96..100));
        assert_eq!(trace.nr_overruns, 1);
    }

    #[test]
    fn cuts_a_range_whose_end_is_no_number() {
        let trace = parse(&format!("A 1 100\nI 1 1 {}\n", usize::MAX)).unwrap();
        assert_eq!(trace.steps[1].operation, Operation::Invalidate(1..100));
    }

    #[test]
    fn an_error_gives_file_line_and_what_was_expected() {
        let error = parse("A 1 8\nX 1\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "t.trace:2: expected \"A id bytes\", \"F id\", \"C id offset bytes\" or \
             \"I id offset bytes\", found \"X 1\""
        );
    }

    #[test]
    fn refuses_a_missing_and_a_surplus_field() {
        for text in ["A 1", "A 1 2 3", "F", "F 1 2", "C 1 0", "I 1 0 8 9"] {
            assert_eq!(problem(text), (1, Problem::Form(text.into())));
        }
    }

    #[test]
    fn refuses_what_is_no_number() {
        let number = |field, found: &str| {
            (
                1,
                Problem::Number {
                    field,
                    found: found.into(),
                },
            )
        };
        assert_eq!(problem("A one 8"), number("id", "one"));
        assert_eq!(problem("A 4294967296 8"), number("id", "4294967296"));
        assert_eq!(problem("A 1 -8"), number("bytes", "-8"));
        assert_eq!(problem("C 1 0x0 8"), number("offset", "0x0"));
    }

    #[test]
    fn refuses_a_length_of_zero() {
        assert_eq!(problem("A 1 0"), (1, Problem::Empty));
        assert_eq!(problem("A 1 8\nC 1 0 0"), (2, Problem::Empty));
    }

    #[test]
    fn refuses_to_allocate_a_live_buffer() {
        assert_eq!(
            problem("\nA 1 8\nA 1 8"),
            (3, Problem::Live { id: 1, since: 2 })
        );
    }

    #[test]
    fn refuses_operations_on_what_is_not_allocated() {
        for text in ["F 3", "C 3 0 1", "I 3 0 1"] {
            assert_eq!(problem(text), (1, Problem::NotLive(3)));
        }
        assert_eq!(problem("A 3 1\nF 3\nF 3"), (3, Problem::NotLive(3)));
    }

    #[test]
    fn refuses_a_range_wholly_outside() {
        let outside = Problem::Outside {
            id: 1,
            offset: 100,
            len: 100,
        };
        assert_eq!(problem("A 1 100\nC 1 100 4"), (2, outside));
    }
}
