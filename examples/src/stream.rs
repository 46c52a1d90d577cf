// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sends frame after frame through the ZDMA in the same two buffers, which stay the device's: the syncs
//! are made by hand, one for each part that the CPU has written or will read.
//!
//! A frame is what the CPU sends, behind its number. Before each transfer the CPU clears the number in
//! the output, so that it can tell the new frame from the one before.

use crate::uio::Registers;
use crate::zdma::{Zdma, ZdmaError};
use fpgamem::{Device, DeviceBuffer, Direction, HandOverError};

/// Bytes of a frame's number.
const NUMBER_BYTES: usize = 8;

/// A sync of the program, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// The frame in the input, before the ZDMA reads it.
    Input,
    /// The cleared number in the output, before the ZDMA writes there.
    Cleared,
    /// The frame in the output, before the CPU reads it.
    Output,
}

impl Sync {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Input, Self::Cleared, Self::Output];
}

/// Why frames could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The library refused.
    #[error(transparent)]
    Memory(#[from] fpgamem::Error),
    /// The ZDMA failed.
    #[error(transparent)]
    Zdma(#[from] ZdmaError),
}

impl<B> From<HandOverError<B>> for StreamError {
    fn from(failed: HandOverError<B>) -> Self {
        Self::Memory(failed.into())
    }
}

/// Sends frames of at most `frame_bytes` bytes, and returns those that come out wrong, counted from 1.
///
/// Leaves one of the syncs out, if it is told to: a mistake.
///
/// # Errors
///
/// The first thing that the device or the ZDMA refuses.
pub fn send<'a, R: Registers>(
    device: &Device,
    zdma: &mut Zdma<R>,
    frames: impl Iterator<Item = &'a [u8]>,
    frame_bytes: usize,
    forget: Option<Sync>,
) -> Result<Vec<u64>, StreamError> {
    let bytes = NUMBER_BYTES + frame_bytes;
    let mut input = device.alloc(bytes)?.into_device(Direction::ToDevice)?;
    let mut output = device.alloc(bytes)?.into_device(Direction::FromDevice)?;
    let mut wrong = Vec::new();
    for (number, frame) in (1_u64..).zip(frames) {
        let sent = [&number.to_le_bytes(), frame].concat();
        input.view_mut().write_at(0, &sent)?;
        if forget != Some(Sync::Input) {
            input.sync_for_device(..sent.len())?;
        }
        output.view_mut().write_at(0, &[0; NUMBER_BYTES])?;
        if forget != Some(Sync::Cleared) {
            output.sync_for_device(..NUMBER_BYTES)?;
        }
        zdma.copy(&input, &output, sent.len())?;
        if forget != Some(Sync::Output) {
            output.sync_for_cpu(..sent.len())?;
        }
        let mut received = vec![0; sent.len()];
        output.view().read_at(0, &mut received)?;
        if received != sent {
            wrong.push(number);
        }
    }
    for buffer in [input, output] {
        take_back(buffer)?;
    }
    Ok(wrong)
}

fn take_back(buffer: DeviceBuffer) -> Result<(), StreamError> {
    // SAFETY: The channel, which alone was told of the buffer, has finished: `copy` says so.
    unsafe { buffer.into_cpu() }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fpgamem::Policy;

    /// Frames that come out wrong, of ten.
    fn wrong(policy: Policy, forget: Option<Sync>) -> Vec<u64> {
        let device = Device::emulated().policy(policy).open().unwrap();
        let data: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut zdma = Zdma::emulated(&device);
        send(&device, &mut zdma, data.chunks(4000), 4000, forget).unwrap()
    }

    fn policies() -> impl Iterator<Item = Policy> {
        let seeded = (1..4).flat_map(|seed| [Policy::Evict(seed), Policy::Prefetch(seed)]);
        std::iter::once(Policy::Never).chain(seeded)
    }

    #[test]
    fn every_frame_arrives_under_every_policy() {
        for policy in policies() {
            assert_eq!(wrong(policy, None), [0; 0], "{policy:?}");
        }
    }

    #[test]
    fn each_sync_that_is_left_out_spoils_frames() {
        for sync in Sync::ALL {
            let spoilt = policies().filter(|policy| !wrong(*policy, Some(sync)).is_empty());
            assert!(spoilt.count() > 0, "{sync:?}");
        }
    }

    #[test]
    fn no_sync_is_missing_in_the_list() {
        let source = include_str!("stream.rs");
        let program = source.split("#[cfg(test)]").next().unwrap();
        let calls = program.matches(".sync_for_").count();
        assert_eq!(calls, Sync::ALL.len());
    }
}
