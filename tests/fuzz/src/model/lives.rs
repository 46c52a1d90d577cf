// SPDX-License-Identifier: MIT OR Apache-2.0

//! How buffers, files and processes come and go.

use super::{Buffer, File, Model, Process};
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
        self.buffers.insert(start, buffer);
    }

    /// Frees a buffer that nothing refers to.
    pub(super) fn settle(&mut self, start: u32) {
        let dead = |buffer: &Buffer| buffer.handle == 0 && buffer.vmas == 0;
        if !self.buffers.get(&start).is_some_and(dead) {
            return;
        }
        let gone = self.buffers.remove(&start);
        // The coordinator ends each quarantine at once.
        self.counts.frees += 1;
        if self.crash || gone.is_some_and(|buffer| buffer.device) {
            self.counts.quarantined += 1;
        }
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
    pub(crate) fn opened(&mut self, read_only: bool) -> u32 {
        self.last_file += 1;
        let file = File {
            read_only,
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
        };
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
            for (_, file) in process.descriptors {
                self.release(file);
            }
        }
        self.crash = false;
    }
}
