// SPDX-License-Identifier: MIT OR Apache-2.0

//! Copies by a DMA channel, with all syncs and without each of them.
//!
//! In each round the source holds an old content and the destination another, both in memory; then the
//! CPU writes the new content to the source and junk to the destination, so that lines of both are
//! dirty, and reads the destination, so that its lines are in the cache. A sync that is left out and
//! needed leaves old content or junk in the result.

use crate::failure::Failure;
use fpgamem::{AllocOptions, Coherency, Device, DeviceBuffer, Direction, HandOverError};
use fpgamem_examples::pattern;
use fpgamem_examples::uio::Registers;
use fpgamem_examples::zdma::{Zdma, ZdmaError};
use serde::Serialize;

/// Bytes of a copy: more than a page, no multiple of a line.
const LEN: usize = 70_000;

pub(super) const ALL_SYNCS: &str = "all syncs";
pub(super) const AS_THE_POOL_SAYS: &str = "the pool's own syncs";
const NO_SOURCE: &str = "source not cleaned before";
const NO_BEFORE: &str = "destination not invalidated before";
const NO_AFTER: &str = "destination not invalidated after";

/// Which syncs are made.
#[derive(Clone, Copy, Debug)]
struct Syncs {
    source: bool,
    before: bool,
    after: bool,
}

const ALL: Syncs = Syncs {
    source: true,
    before: true,
    after: true,
};

/// What the copies with some of the syncs showed.
#[derive(Debug, Serialize)]
pub(super) struct Experiment {
    pub(super) name: &'static str,
    /// Bytes that were compared.
    pub(super) bytes: usize,
    /// Those that were not what the CPU had written.
    pub(super) wrong_bytes: usize,
}

/// How a master behaves towards the caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Port {
    /// No copy needed a sync.
    Coherent,
    /// Most bytes of copies without a sync were wrong, on the way out and on the way in.
    NotCoherent,
    /// Anything between.
    Mixed,
}

/// Says how the channel behaves, by what went wrong without syncs.
pub(super) fn judge(experiments: &[Experiment]) -> Port {
    let of = |name: &str| {
        experiments
            .iter()
            .find(|experiment| experiment.name == name)
    };
    let without: Vec<_> = [NO_SOURCE, NO_BEFORE, NO_AFTER]
        .into_iter()
        .filter_map(of)
        .collect();
    let mostly = |e: &Experiment| e.wrong_bytes > e.bytes / 2;
    if without.iter().all(|experiment| experiment.wrong_bytes == 0) {
        Port::Coherent
    } else if [NO_SOURCE, NO_AFTER]
        .into_iter()
        .filter_map(of)
        .filter(|e| mostly(e))
        .count()
        == 2
    {
        Port::NotCoherent
    } else {
        Port::Mixed
    }
}

/// Makes all experiments, so many rounds of each.
pub(super) fn run<R: Registers>(
    device: &Device,
    zdma: &mut Zdma<R>,
    rounds: u32,
) -> Result<Vec<Experiment>, Failure> {
    // Syncs that do what they say, whatever the pool's port is said to be.
    let real = AllocOptions::new().coherency(Coherency::NonCoherent);
    let pools = AllocOptions::new();
    let cases = [
        (ALL_SYNCS, real, ALL),
        (AS_THE_POOL_SAYS, pools, ALL),
        (
            NO_SOURCE,
            real,
            Syncs {
                source: false,
                ..ALL
            },
        ),
        (
            NO_BEFORE,
            real,
            Syncs {
                before: false,
                ..ALL
            },
        ),
        (
            NO_AFTER,
            real,
            Syncs {
                after: false,
                ..ALL
            },
        ),
    ];
    let mut experiments = Vec::new();
    for (name, options, syncs) in cases {
        let mut pair = Pair::new(device, options)?;
        let mut wrong_bytes = 0;
        for round in 0..rounds {
            wrong_bytes += pair.copy(zdma, round, syncs)?;
        }
        pair.take_back()?;
        // CAST: there are at most 10,000 rounds.
        let bytes = LEN * rounds as usize;
        experiments.push(Experiment {
            name,
            bytes,
            wrong_bytes,
        });
    }
    Ok(experiments)
}

/// A source and a destination, which stay the device's.
struct Pair {
    source: DeviceBuffer,
    destination: DeviceBuffer,
}

impl Pair {
    fn new(device: &Device, options: AllocOptions) -> Result<Self, Failure> {
        let buffer = || -> Result<DeviceBuffer, Failure> {
            let buffer = device.alloc_with(LEN, options)?;
            Ok(buffer
                .into_device(Direction::Bidirectional)
                .map_err(given_up)?)
        };
        Ok(Self {
            source: buffer()?,
            destination: buffer()?,
        })
    }

    /// One round; the number of wrong bytes.
    fn copy<R: Registers>(
        &mut self,
        zdma: &mut Zdma<R>,
        round: u32,
        syncs: Syncs,
    ) -> Result<usize, Failure> {
        let content = |kind: u32| {
            let mut bytes = vec![0; LEN];
            pattern::fill(4 * round + kind, &mut bytes);
            bytes
        };
        let [old, poison, new, junk] = [0, 1, 2, 3].map(content);
        let Self {
            source,
            destination,
        } = self;
        for (buffer, bytes) in [(&mut *source, &old), (&mut *destination, &poison)] {
            buffer.view_mut().write_at(0, bytes)?;
            buffer.sync_for_cpu(..)?;
        }
        source.view_mut().write_at(0, &new)?;
        destination.view_mut().write_at(0, &junk)?;
        if syncs.source {
            source.sync_for_device(..)?;
        }
        if syncs.before {
            destination.sync_for_cpu(..)?;
        }
        let mut result = vec![0; LEN];
        destination.view().read_at(0, &mut result)?;
        zdma.copy(source, destination, LEN).map_err(failed)?;
        if syncs.after {
            destination.sync_for_cpu(..)?;
        }
        destination.view().read_at(0, &mut result)?;
        Ok(result
            .iter()
            .zip(&new)
            .filter(|(found, wanted)| found != wanted)
            .count())
    }

    fn take_back(self) -> Result<(), Failure> {
        for buffer in [self.source, self.destination] {
            // SAFETY: The channel, which alone was told of the buffer, has finished: `copy` says so.
            unsafe { buffer.into_cpu() }.map_err(given_up)?;
        }
        Ok(())
    }
}

fn given_up<B>(failed: HandOverError<B>) -> fpgamem::Error {
    failed.into()
}

fn failed(error: ZdmaError) -> Failure {
    let way_out =
        "see whether the channel may access the region: isolation of the firmware, its clock, \
                   an SMMU";
    Failure::new("the DMA channel failed", way_out).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fpgamem::Policy;

    fn port(coherent: bool, policy: Policy) -> (Vec<Experiment>, Port) {
        let device = Device::emulated()
            .coherent(coherent)
            .policy(policy)
            .open()
            .unwrap();
        let experiments = run(&device, &mut Zdma::emulated(&device), 2).unwrap();
        let port = judge(&experiments);
        (experiments, port)
    }

    #[test]
    fn caches_that_are_not_snooped_are_noticed() {
        let (experiments, port) = port(false, Policy::Never);
        assert_eq!(port, Port::NotCoherent);
        for experiment in experiments {
            let right = [ALL_SYNCS, AS_THE_POOL_SAYS].contains(&experiment.name);
            assert_eq!(experiment.wrong_bytes == 0, right, "{experiment:?}");
            assert_eq!(experiment.bytes, 2 * LEN);
        }
    }

    #[test]
    fn caches_that_write_back_by_themselves_are_neither() {
        let (experiments, port) = port(false, Policy::Evict(1));
        assert_ne!(port, Port::Coherent);
        assert_eq!(experiments[0].wrong_bytes, 0);
    }

    #[test]
    fn a_pool_that_is_called_coherent_and_is_not_has_wrong_bytes() {
        // The emulated FPGA snoops the buffers that are called coherent, and no others.
        let experiment = |name, wrong_bytes| Experiment {
            name,
            bytes: 100,
            wrong_bytes,
        };
        let all = [
            experiment(NO_SOURCE, 0),
            experiment(NO_BEFORE, 0),
            experiment(NO_AFTER, 0),
        ];
        assert_eq!(judge(&all), Port::Coherent);
        let some = [
            experiment(NO_SOURCE, 90),
            experiment(NO_BEFORE, 0),
            experiment(NO_AFTER, 0),
        ];
        assert_eq!(judge(&some), Port::Mixed);
        let most = [
            experiment(NO_SOURCE, 90),
            experiment(NO_BEFORE, 0),
            experiment(NO_AFTER, 80),
        ];
        assert_eq!(judge(&most), Port::NotCoherent);
    }
}
