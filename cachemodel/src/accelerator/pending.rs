// SPDX-License-Identifier: GPL-2.0-or-later

//! Descriptors between the doorbell and their execution.
//!
//! A device may read what it was given at once, and write at the last moment. So descriptors and
//! operands are taken as the DDR holds them at the doorbell, and what the CPU does to them, or has
//! left in the lines of the result, is judged then and again when the results are written.

use super::compute;
use super::descriptor::{decode, Job, Operand, Refusal, DESCRIPTOR_BYTES, STATUS};
use crate::master::{LateEviction, Master};
use crate::memory::{host, Memory};
use crate::model::Model;
use std::collections::VecDeque;

/// The accelerator's port to the DDR, counting what passes.
pub(super) struct Bus<'a, M> {
    pub(super) model: &'a mut Model<M>,
    pub(super) master: Master,
    pub(super) read: u64,
    pub(super) written: u64,
}

impl<M: Memory> Bus<'_, M> {
    fn fetch(&mut self, operand: Operand) -> Vec<u8> {
        let mut bytes = vec![0; host(operand.len)];
        self.read += operand.len;
        self.model
            .master_read(&self.master, operand.address, &mut bytes);
        bytes
    }

    pub(super) fn write(&mut self, address: u64, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        self.model.master_write(&self.master, address, bytes);
    }
}

/// A descriptor that is to be executed.
#[derive(Debug)]
pub(super) struct Pending {
    /// Where it is.
    pub(super) address: u64,
    /// The doorbell, and the barriers until then.
    pub(super) master: Master,
    /// What it asks for.
    pub(super) job: Result<Job, Refusal>,
    /// What was read at the doorbell, and what the DDR held: not the same where it was started too
    /// early. What an earlier descriptor has yet to write is not there.
    operands: Vec<Option<(Vec<u8>, Vec<u8>)>>,
    /// Lines that were dirty at the doorbell and get over the result.
    late: Vec<LateEviction>,
}

impl Pending {
    /// Takes the descriptor at `address`, which follows those of `earlier`.
    pub(super) fn take<M: Memory>(
        bus: &mut Bus<'_, M>,
        address: u64,
        earlier: &VecDeque<Self>,
        is_memory: impl Fn(&M, u64, u64) -> bool,
    ) -> Self {
        let bytes = bus.fetch(Operand {
            address,
            len: DESCRIPTOR_BYTES,
        });
        let job = decode(&bytes, |at, len| is_memory(&bus.model.memory, at, len));
        let mut late = bus.model.judge_write(&bus.master, address + STATUS, 4);
        let mut operands = Vec::new();
        if let Ok(job) = &job {
            let result = job.result();
            late.extend(
                bus.model
                    .judge_write(&bus.master, result.address, result.len),
            );
            for operand in job.operands() {
                let is_written = |pending: &Self| {
                    let job = pending.job.as_ref();
                    job.is_ok_and(|job| job.result().overlaps(&operand))
                };
                let waits = earlier.iter().any(is_written);
                operands.push((!waits).then(|| {
                    let mut held = vec![0; host(operand.len)];
                    bus.model.peek(operand.address, &mut held);
                    (bus.fetch(operand), held)
                }));
            }
        }
        Self {
            address,
            master: bus.master,
            job,
            operands,
            late,
        }
    }

    /// Computes and writes the result.
    pub(super) fn execute<M: Memory>(&mut self, bus: &mut Bus<'_, M>) -> Result<(), Refusal> {
        let job = self.job?;
        let mut inputs = Vec::new();
        for (operand, taken) in job.operands().into_iter().zip(&mut self.operands) {
            inputs.push(match taken.take() {
                Some((mut bytes, held)) => {
                    let address = operand.address;
                    bus.model
                        .judge_reread(&bus.master, address, &held, &mut bytes);
                    bytes
                }
                None => bus.fetch(operand),
            });
        }
        bus.write(job.result().address, &compute(&job, inputs));
        for eviction in &self.late {
            bus.model.evict_late(eviction);
        }
        Ok(())
    }
}

/// What a job makes of its operands, which are in the order of [`Job::operands`].
fn compute(job: &Job, inputs: Vec<Vec<u8>>) -> Vec<u8> {
    let mut inputs = inputs.into_iter();
    let mut next = || inputs.next().unwrap_or_default();
    match job {
        Job::Copy { .. } => next(),
        Job::Fill { destination, value } => {
            let pattern = value.to_le_bytes().into_iter().cycle();
            pattern.take(host(destination.len)).collect()
        }
        Job::MatrixProduct {
            shape,
            bias,
            output,
            ..
        } => {
            let (a, b) = (next(), next());
            let bias = bias.map(|_| words(&next()));
            compute::matrix_product(shape, &a, &b, bias.as_deref(), *output)
        }
        Job::Convolution {
            shape,
            bias,
            output,
            ..
        } => {
            let (image, weights) = (next(), next());
            let bias = bias.map(|_| words(&next()));
            compute::convolution(shape, &image, &weights, bias.as_deref(), *output)
        }
    }
}

fn words(bytes: &[u8]) -> Vec<i32> {
    let words = bytes.chunks_exact(4);
    words
        .map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}
