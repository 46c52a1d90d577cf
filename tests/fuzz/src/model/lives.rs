// SPDX-License-Identifier: MIT OR Apache-2.0

//! How buffers, files and processes come and go.

use super::{Buffer, File, Hold, Model, Process};
use std::collections::BTreeMap;

impl Model {
    /// Enters a buffer that has been allocated.
    pub(crate) fn allocated(&mut self, start: u32, buffer: Buffer) {
        self.counts.allocations += 1;
        if buffer.handle != 0 {
            if let Some(file) = self.files.get_mut(&buffer.file) {
                file.handles.insert(buffer.handle, start);
            }
        }
        let area = self.areas.get_mut(&buffer.file);
        if let (Some(area), Some(slot)) = (area, buffer.slot) {
            area.used.insert(slot);
        }
        self.buffers.insert(start, buffer);
    }

    /// Whether the device is said to own a buffer.
    pub(crate) fn is_marked(&self, start: u32) -> bool {
        let Some(buffer) = self.buffers.get(&start) else {
            return false;
        };
        let area = self.areas.get(&buffer.file);
        let word = area.zip(buffer.slot).map(|(area, slot)| area.word(slot));
        buffer.device || word.is_some_and(|word| word != 0)
    }

    /// Whether a buffer that goes now is quarantined.
    fn may_be_written(&self, start: u32) -> bool {
        let says_owners = |buffer: &Buffer| self.areas.contains_key(&buffer.file);
        let silent = !self.buffers.get(&start).is_some_and(says_owners);
        self.is_marked(start) || self.crash && silent
    }

    /// The word of the status area that the driver gives to the next buffer of a file and clears, be
    /// there blocks for it or not.
    pub(crate) fn clear_next_slot(&mut self, file: u32) -> Option<u32> {
        let area = self.areas.get_mut(&file)?;
        let slot = area.next_slot()?;
        area.store(slot, 0);
        Some(slot)
    }

    /// Clears the words that the next `count` buffers of a file get.
    pub(crate) fn clear_slots(&mut self, file: u32, count: u64) {
        let before = self.areas.get(&file).map(|area| area.used.clone());
        for _ in 0..count {
            if let Some(slot) = self.clear_next_slot(file) {
                if let Some(area) = self.areas.get_mut(&file) {
                    area.used.insert(slot);
                }
            }
        }
        if let (Some(area), Some(used)) = (self.areas.get_mut(&file), before) {
            area.used = used;
        }
    }

    /// Frees a buffer that nothing refers to.
    pub(super) fn settle(&mut self, start: u32) {
        let dead = |buffer: &Buffer| buffer.handle == 0 && buffer.vmas == 0 && buffer.holds == 0;
        if !self.buffers.get(&start).is_some_and(dead) {
            return;
        }
        let quarantined = self.may_be_written(start);
        let Some(gone) = self.buffers.remove(&start) else {
            return;
        };
        let area = self.areas.get_mut(&gone.file);
        if let (Some(area), Some(slot)) = (area, gone.slot) {
            area.used.remove(&slot);
        }
        self.freed.push((start, gone.blocks));
        // The coordinator ends each quarantine at once.
        self.counts.frees += 1;
        self.counts.quarantined += u64::from(quarantined);
    }

    /// The accelerator's driver holds a part of a buffer.
    pub(crate) fn held(&mut self, slot: u64, hold: Hold) {
        if let Some(buffer) = self.buffers.get_mut(&hold.buffer) {
            buffer.holds += 1;
        }
        self.holds.insert(slot, hold);
    }

    /// It lets go of what a slot holds, if anything.
    pub(crate) fn let_go(&mut self, slot: u64) {
        let Some(hold) = self.holds.remove(&slot) else {
            return;
        };
        if let Some(buffer) = self.buffers.get_mut(&hold.buffer) {
            buffer.holds -= 1;
        }
        self.settle(hold.buffer);
    }

    /// Drops a handle.
    pub(crate) fn free_handle(&mut self, file: u32, handle: u32) {
        let start = self
            .files
            .get_mut(&file)
            .and_then(|file| file.handles.remove(&handle));
        let Some(start) = start else { return };
        if let Some(buffer) = self.buffers.get_mut(&start) {
            buffer.handle = 0;
        }
        self.settle(start);
    }

    /// A file that has been opened, with one descriptor.
    pub(crate) fn opened(&mut self, read_only: bool, paddle: bool) -> u32 {
        self.last_file += 1;
        let file = File {
            read_only,
            paddle,
            references: 1,
            ..File::default()
        };
        self.files.insert(self.last_file, file);
        self.last_file
    }

    /// A further descriptor or VMA of a file.
    pub(crate) fn hold(&mut self, file: u32) {
        if let Some(file) = self.files.get_mut(&file) {
            file.references += 1;
        }
    }

    /// A descriptor or VMA of a file went; the last one takes the handles along.
    pub(crate) fn release(&mut self, number: u32) {
        let Some(file) = self.files.get_mut(&number) else {
            return;
        };
        file.references -= 1;
        if file.references > 0 {
            return;
        }
        let handles: Vec<u32> = file.handles.keys().copied().collect();
        for handle in handles {
            self.free_handle(number, handle);
        }
        self.files.remove(&number);
    }

    /// A process is a copy of another one.
    pub(crate) fn forked(&mut self, from: u32, to: u32, pid: u64) {
        let Some(parent) = self.processes.get(&from).cloned() else {
            return;
        };
        for (_, file) in &parent.descriptors {
            self.hold(*file);
        }
        let child = Process {
            pid,
            descriptors: parent.descriptors,
            vmas: BTreeMap::new(),
            others: parent.others,
        };
        for other in child.others.values() {
            self.hold(other.file);
        }
        self.processes.insert(to, child);
        for (start, vma) in parent.vmas.into_iter().filter(|(_, vma)| !vma.stays) {
            self.mapped(to, start, vma);
        }
    }

    /// A process has ended, by a signal or not.
    pub(crate) fn ended(&mut self, process: u32, by_signal: bool) {
        self.crash = by_signal;
        self.unmap(process, 0, u64::MAX);
        if let Some(process) = self.processes.remove(&process) {
            let others = process.others.values().map(|other| other.file);
            let descriptors = process.descriptors.iter().map(|(_, file)| *file);
            for file in others.chain(descriptors) {
                self.release(file);
            }
        }
        self.crash = false;
    }
}
