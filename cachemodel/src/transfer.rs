// SPDX-License-Identifier: GPL-2.0-or-later

//! Repeats a transfer that QEMU has just executed, with each side's view of memory.
//!
//! QEMU copied what the CPU sees to what the CPU sees. On hardware the device reads the DDR and
//! writes the DDR, descriptors included.

use crate::master::Master;
use crate::memory::{host, Memory};
use crate::model::Model;
use crate::report::Place;
use crate::zdma::{Channel, Step};

/// Bytes that are moved at once.
const CHUNK: u64 = 1 << 16;

/// Bytes that one start may move. Descriptors that never reached the DDR can ask for anything.
const MOST_BYTES: u64 = 1 << 32;

/// The CPU stored a register of a ZDMA channel, and QEMU has done what follows from it.
pub fn zdma_store<M: Memory>(
    model: &mut Model<M>,
    channel: &mut Channel,
    start: Place,
    offset: u64,
    value: u32,
) {
    let mut device = channel.clone();
    let memory = &model.memory;
    let done = channel.store(offset, value, &mut |at, bytes| memory.read(at, bytes));
    if done.is_empty() {
        return;
    }
    let steps = device.store(offset, value, &mut |at, bytes| model.peek(at, bytes));
    // What comes from outside of the DDR is found only where QEMU has put it.
    let as_seen = |step| (steps == done).then(|| fetch_foreign(&model.memory, step))?;
    let foreign = steps.iter().map(as_seen).collect::<Vec<_>>();
    for step in &done {
        if let Step::Copy { to, len, .. } | Step::Fill { to, len, .. } = *step {
            model.undo_write(to, len);
        }
    }
    model.start_transfer();
    let mut moved = 0;
    for (step, foreign) in steps.iter().zip(&foreign) {
        let len = extent(&model.memory, step);
        moved += len;
        if len == 0 || moved > MOST_BYTES {
            continue;
        }
        execute(model, start, step, foreign.as_deref());
    }
}

/// Bytes that a step moves, 0 if none of them can be in the DDR.
fn extent(memory: &impl Memory, step: &Step) -> u64 {
    let (ends, len) = match *step {
        Step::ReadDescriptor { address, len } => ([address, address], len),
        Step::Read { from, len, .. } => ([from, from], len),
        Step::Fill { to, len, .. } => ([to, to], len),
        Step::Copy { from, to, len, .. } => ([from, to], len),
    };
    let inside = ends.iter().any(|address| memory.holds(*address, 1));
    if inside {
        len
    } else {
        0
    }
}

fn fetch_foreign(memory: &impl Memory, step: &Step) -> Option<Vec<u8>> {
    let Step::Copy { from, to, len, .. } = *step else {
        return None;
    };
    if memory.holds(from, len) {
        return None;
    }
    let mut bytes = vec![0; host(len)];
    memory.read(to, &mut bytes);
    Some(bytes)
}

fn execute<M: Memory>(model: &mut Model<M>, start: Place, step: &Step, foreign: Option<&[u8]>) {
    let barriers = model.barriers();
    let master = |coherent| Master {
        start,
        barriers,
        coherent,
    };
    let mut buffer = vec![0; host(CHUNK)];
    match *step {
        Step::ReadDescriptor { address, len } => {
            model.master_read(&master(false), address, &mut buffer[..host(len)]);
        }
        Step::Read {
            from,
            coherent,
            len,
        } => {
            for (at, count) in chunks(len) {
                model.master_read(&master(coherent), from + at, &mut buffer[..count]);
            }
        }
        Step::Fill {
            pattern,
            to,
            coherent,
            len,
        } => {
            for chunk in buffer.chunks_exact_mut(pattern.len()) {
                chunk.copy_from_slice(&pattern);
            }
            for (at, count) in chunks(len) {
                model.master_write(&master(coherent), to + at, &buffer[..count]);
            }
        }
        Step::Copy {
            from,
            from_coherent,
            to,
            to_coherent,
            len,
        } => {
            for (at, count) in chunks(len) {
                let bytes = &mut buffer[..count];
                match foreign {
                    Some(foreign) => bytes.copy_from_slice(&foreign[host(at)..host(at) + count]),
                    None => model.master_read(&master(from_coherent), from + at, bytes),
                }
                model.master_write(&master(to_coherent), to + at, bytes);
            }
        }
    }
}

/// Offset and length of each chunk of `len` bytes.
fn chunks(len: u64) -> impl Iterator<Item = (u64, usize)> {
    (0..len)
        .step_by(host(CHUNK))
        .map(move |at| (at, host((len - at).min(CHUNK))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::tests::Ram;
    use crate::model::Access;
    use crate::policy::Policy;
    use crate::report::Kind;
    use crate::walk::Attribute;

    const REGION: u64 = 0x1_0000;
    const SOURCE: u64 = REGION + 0x100;
    const DESTINATION: u64 = REGION + 0x2000;

    fn model() -> Model<Ram> {
        let ram = Ram::new(0, 0x2_0000);
        let policy: Policy = "never".parse().unwrap();
        Model::new(ram, REGION..REGION + 0x8000, policy)
    }

    fn store(model: &mut Model<Ram>, address: u64, bytes: &[u8]) {
        let access = Access {
            place: Place::default(),
            kernel: false,
            attribute: Attribute::Cacheable,
        };
        model.memory.write(address, bytes);
        model.store(&access, address, bytes.len() as u64);
    }

    /// Copies as QEMU does, then tells the model of the store that started it.
    fn copy(model: &mut Model<Ram>, from: u64, to: u64, len: u32) {
        let mut channel = Channel::default();
        let place = Place::default();
        let low = |value: u64| u32::try_from(value).unwrap();
        for (offset, value) in [(0x128, low(from)), (0x130, len), (0x138, low(to))] {
            zdma_store(model, &mut channel, place, offset, value);
        }
        let mut bytes = vec![0; host(u64::from(len))];
        model.memory.read(from, &mut bytes);
        model.memory.write(to, &bytes);
        zdma_store(model, &mut channel, place, 0x200, 1);
    }

    fn cpu_sees(model: &Model<Ram>, address: u64) -> u8 {
        let mut byte = [0];
        model.memory.read(address, &mut byte);
        byte[0]
    }

    fn device_sees(model: &Model<Ram>, address: u64) -> u8 {
        let mut byte = [0];
        model.peek(address, &mut byte);
        byte[0]
    }

    #[test]
    fn the_device_copies_what_is_in_the_ddr_and_the_cpu_keeps_its_lines() {
        let mut model = model();
        store(&mut model, SOURCE, &[1; 64]);
        store(&mut model, DESTINATION, &[2; 64]);
        copy(&mut model, SOURCE, DESTINATION, 64);
        assert_eq!(cpu_sees(&model, DESTINATION), 2);
        assert_eq!(device_sees(&model, DESTINATION), 0xa5);
        let kinds = model.reports.list().iter().map(|report| report.kind);
        let expected = [Kind::MissingClean, Kind::LostToEviction];
        assert_eq!(kinds.collect::<Vec<_>>(), expected);
        assert_eq!(model.counts.transfers, 1);
    }

    #[test]
    fn what_the_device_copies_out_of_the_region_is_what_it_saw() {
        let mut model = model();
        store(&mut model, SOURCE, &[1; 64]);
        copy(&mut model, SOURCE, 0x100, 64);
        assert_eq!(cpu_sees(&model, 0x100), 0xa5);
    }

    #[test]
    fn what_comes_from_outside_of_the_ddr_arrives() {
        let mut model = model();
        store(&mut model, DESTINATION, &[2; 64]);
        let mut channel = Channel::default();
        let place = Place::default();
        for (offset, value) in [(0x128, 0xfffc_0000), (0x130, 64), (0x138, 0x1_2000)] {
            zdma_store(&mut model, &mut channel, place, offset, value);
        }
        model.memory.write(DESTINATION, &[7; 64]);
        zdma_store(&mut model, &mut channel, place, 0x200, 1);
        assert_eq!(device_sees(&model, DESTINATION), 7);
        assert_eq!(cpu_sees(&model, DESTINATION), 2);
    }

    #[test]
    fn descriptors_in_the_region_must_be_cleaned_too() {
        let mut model = model();
        let mut descriptor = [0; 16];
        descriptor[..8].copy_from_slice(&0x100_u64.to_le_bytes());
        descriptor[8..12].copy_from_slice(&64_u32.to_le_bytes());
        descriptor[12..].copy_from_slice(&0x10_u32.to_le_bytes());
        store(&mut model, SOURCE, &descriptor);
        descriptor[..8].copy_from_slice(&0x200_u64.to_le_bytes());
        model.memory.write(0x1000, &descriptor);
        let mut channel = Channel::default();
        let place = Place::default();
        let low = u32::try_from(SOURCE).unwrap();
        for (offset, value) in [(0x110, 0xc0), (0x158, low), (0x160, 0x1000), (0x200, 1)] {
            zdma_store(&mut model, &mut channel, place, offset, value);
        }
        let report = &model.reports.list()[0];
        assert_eq!(report.kind, Kind::MissingClean);
        assert_eq!(report.lines, vec![SOURCE..SOURCE + 64]);
    }
}
