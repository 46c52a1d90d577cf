// SPDX-License-Identifier: MIT OR Apache-2.0

//! Does what a trace says with buffers of a device, and checks every byte of them.

use crate::paddle::{Client, Tensor};
use crate::pattern::{self, Mismatch};
use crate::trace::{Operation, Step, Trace};
use crate::zdma::{Zdma, ZdmaError};
use fpgamem::{Arena, Buffer, Device, Direction, HandOverError};
use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;

/// How to replay.
#[derive(Debug, Default)]
pub struct Options {
    /// Fill every buffer with its pattern, and check it when the buffer is freed.
    pub contents: bool,
    /// Of how many buffers one is copied by the ZDMA before its free, and the copy checked; and the
    /// channel that copies.
    pub sample: Option<(NonZeroUsize, Zdma)>,
    /// Where buffers come from instead of the device.
    pub arena: Option<Arena>,
    /// Allocate and sync as this client of Paddle's does, not by the library; there are no samples
    /// then.
    pub paddle: Option<Client>,
}

/// What a replay did and found.
#[derive(Debug, Default)]
pub struct Summary {
    /// Operations done.
    pub nr_operations: usize,
    /// Bytes filled and checked.
    pub checked_bytes: usize,
    /// Buffers filled and checked.
    pub checked_buffers: usize,
    /// Bytes copied by the ZDMA, as it counted them itself, and checked.
    pub zdma_bytes: usize,
    /// Buffers copied by the ZDMA and checked.
    pub zdma_buffers: usize,
    /// Most bytes asked for by the buffers that lived at the same time.
    pub peak_bytes: usize,
    /// Most bytes in blocks that were held for them.
    pub peak_capacity: usize,
    /// Most buffers that lived at the same time.
    pub peak_buffers: usize,
    /// Most mappings that held them.
    pub peak_mappings: usize,
    /// Allocations from the device.
    pub nr_allocs: u64,
    /// Buffers that the trace did not free.
    pub left_buffers: usize,
    /// What was wrong.
    pub failures: Vec<Failure>,
}

/// A buffer that did not hold what it should.
#[derive(Debug, thiserror::Error)]
#[error("{trace}:{line}: buffer {id} {fault}")]
pub struct Failure {
    /// Name of the trace.
    pub trace: String,
    /// Line of the trace where it was found.
    pub line: usize,
    /// The buffer.
    pub id: u32,
    /// What was wrong.
    pub fault: Fault,
}

/// What can be wrong with a buffer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The CPU does not find what it wrote.
    #[error("has changed: {0}")]
    Contents(Mismatch),
    /// The copy that the ZDMA made is not what the CPU wrote.
    #[error("was copied wrongly by the ZDMA: {0}")]
    Copy(Mismatch),
    /// The ZDMA moved another number of bytes than it was told to.
    #[error("was to be copied with {expected} bytes, the ZDMA says it moved {moved}")]
    Count {
        /// Bytes that it was told to move.
        expected: usize,
        /// Bytes that it says it has moved.
        moved: usize,
    },
}

/// Why a replay could not go on.
#[derive(Debug, thiserror::Error)]
#[error("{trace}:{line}: {operation} of buffer {id} failed")]
pub struct ReplayError {
    /// Name of the trace.
    pub trace: String,
    /// Line of the trace.
    pub line: usize,
    /// What was to be done.
    pub operation: &'static str,
    /// The buffer.
    pub id: u32,
    /// Why it failed.
    pub source: Cause,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The library refused.
    #[error(transparent)]
    Memory(#[from] fpgamem::Error),
    /// The driver refused what a client of Paddle's asks for.
    #[error(transparent)]
    Paddle(#[from] io::Error),
    /// The ZDMA failed.
    #[error(transparent)]
    Zdma(#[from] ZdmaError),
    /// The trace is not one that [`Trace::parse`] makes.
    #[error("the buffer is not allocated")]
    NotLive,
}

impl<B> From<HandOverError<B>> for Cause {
    fn from(failed: HandOverError<B>) -> Self {
        Self::Memory(failed.into())
    }
}

/// Replays a trace; calls `after` with the number of operations done after each.
///
/// Buffers that the trace leaves are checked and freed at the end.
///
/// # Errors
///
/// The first operation that the device refuses. Wrong contents are no error; the summary has them.
pub fn replay(
    device: &Device,
    trace: &Trace,
    options: Options,
    mut after: impl FnMut(usize),
) -> Result<Summary, ReplayError> {
    let mut replay = Replay {
        device,
        trace: &trace.name,
        options,
        live: HashMap::new(),
        summary: Summary::default(),
    };
    let error = |line, operation, id| {
        move |source| ReplayError {
            trace: trace.name.clone(),
            line,
            operation,
            id,
            source,
        }
    };
    for step in &trace.steps {
        replay
            .step(step)
            .map_err(error(step.line, name(&step.operation), step.id))?;
        replay.summary.nr_operations += 1;
        after(replay.summary.nr_operations);
    }
    let last_line = trace.steps.last().map_or(0, |step| step.line);
    let left: Vec<_> = replay.live.keys().copied().collect();
    replay.summary.left_buffers = left.len();
    for id in left {
        replay
            .free(last_line, id)
            .map_err(error(last_line, "free at the end", id))?;
    }
    Ok(replay.summary)
}

fn name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Alloc { .. } => "allocation",
        Operation::Free => "free",
        Operation::Flush(_) => "flush",
        Operation::Invalidate(_) => "invalidate",
    }
}

/// A buffer of the replay.
enum Live {
    Native(Buffer),
    Paddle(Tensor),
}

impl Live {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Native(buffer) => buffer,
            Self::Paddle(tensor) => tensor,
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Native(buffer) => buffer.capacity(),
            Self::Paddle(tensor) => tensor.capacity(),
        }
    }
}

struct Replay<'a> {
    device: &'a Device,
    trace: &'a str,
    options: Options,
    live: HashMap<u32, Live>,
    summary: Summary,
}

impl Replay<'_> {
    fn step(&mut self, step: &Step) -> Result<(), Cause> {
        match &step.operation {
            Operation::Alloc { bytes } => self.alloc(step.id, *bytes)?,
            Operation::Free => self.free(step.line, step.id)?,
            Operation::Flush(range) => self.sync(step.id, range, true)?,
            Operation::Invalidate(range) => self.sync(step.id, range, false)?,
        }
        Ok(())
    }

    fn sync(&mut self, id: u32, range: &Range<usize>, for_device: bool) -> Result<(), Cause> {
        match (self.live.get_mut(&id), &self.options.paddle) {
            (Some(Live::Native(buffer)), _) if for_device => {
                buffer.sync_for_device(range.clone())?;
            }
            (Some(Live::Native(buffer)), _) => buffer.sync_for_cpu(range.clone())?,
            (Some(Live::Paddle(tensor)), Some(client)) if for_device => {
                client.flush(tensor, range)?;
            }
            (Some(Live::Paddle(tensor)), Some(client)) => client.invalidate(tensor, range)?,
            (None, _) | (_, None) => return Err(Cause::NotLive),
        }
        Ok(())
    }

    /// A buffer, from where the options say.
    fn buffer_of(&mut self, len: NonZeroUsize) -> Result<Live, Cause> {
        if let Some(arena) = &self.options.arena {
            return Ok(Live::Native(arena.alloc(len.get())?));
        }
        let live = match &self.options.paddle {
            Some(client) => Live::Paddle(client.alloc(len)?),
            None => Live::Native(self.device.alloc(len.get())?),
        };
        self.summary.nr_allocs += 1;
        Ok(live)
    }

    fn alloc(&mut self, id: u32, len: NonZeroUsize) -> Result<(), Cause> {
        let mut buffer = self.buffer_of(len)?;
        if self.options.contents {
            pattern::fill(
                id,
                match &mut buffer {
                    Live::Native(buffer) => buffer,
                    Live::Paddle(tensor) => tensor,
                },
            );
        }
        self.live.insert(id, buffer);
        let sum = |of: fn(&Live) -> usize| self.live.values().map(of).sum::<usize>();
        let summary = &mut self.summary;
        summary.peak_bytes = summary.peak_bytes.max(sum(|live| live.bytes().len()));
        summary.peak_buffers = summary.peak_buffers.max(self.live.len());
        let (held, mappings) = match &self.options.arena {
            Some(arena) => {
                let usage = arena.usage();
                summary.nr_allocs = usage.allocations;
                (usage.held_bytes, usage.mappings)
            }
            None => (sum(Live::capacity), self.live.len()),
        };
        summary.peak_capacity = summary.peak_capacity.max(held);
        summary.peak_mappings = summary.peak_mappings.max(mappings);
        Ok(())
    }

    fn free(&mut self, line: usize, id: u32) -> Result<(), Cause> {
        let live = self.live.remove(&id).ok_or(Cause::NotLive)?;
        if !self.options.contents {
            return Ok(());
        }
        let mut faults = Vec::new();
        let sample = self.options.sample.as_mut();
        let live = match (live, sample.filter(|(n, _)| id as usize % *n == 0)) {
            (Live::Native(buffer), Some((_, zdma))) => {
                let len = buffer.len();
                let copy = self.device.alloc(len)?;
                let copied = copy_by_zdma(zdma, buffer, copy)?;
                self.summary.zdma_buffers += 1;
                self.summary.zdma_bytes += copied.moved;
                if copied.moved != len {
                    faults.push(Fault::Count {
                        expected: len,
                        moved: copied.moved,
                    });
                }
                faults.extend(pattern::check(id, &copied.dst).err().map(Fault::Copy));
                Live::Native(copied.src)
            }
            (live, _) => live,
        };
        faults.extend(pattern::check(id, live.bytes()).err().map(Fault::Contents));
        self.summary.checked_buffers += 1;
        self.summary.checked_bytes += live.bytes().len();
        self.summary
            .failures
            .extend(faults.into_iter().map(|fault| Failure {
                trace: self.trace.to_owned(),
                line,
                id,
                fault,
            }));
        Ok(())
    }
}

/// A copy that the ZDMA made, with the bytes that it says it moved.
struct Copied {
    src: Buffer,
    dst: Buffer,
    moved: usize,
}

fn copy_by_zdma(zdma: &mut Zdma, src: Buffer, dst: Buffer) -> Result<Copied, Cause> {
    let len = src.len();
    let src = src.into_device(Direction::ToDevice)?;
    let dst = dst.into_device(Direction::FromDevice)?;
    let moved = zdma.copy(&src, &dst, len)?;
    // SAFETY: The channel, which alone was told of the buffer, has finished: `copy` says so.
    let src = unsafe { src.into_cpu() }?;
    // SAFETY: As above.
    let dst = unsafe { dst.into_cpu() }?;
    Ok(Copied { src, dst, moved })
}
