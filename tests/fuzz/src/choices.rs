// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an operation is done to, by chance.

use crate::fuzzer::Fuzzer;
use crate::model::Vma;

impl Fuzzer {
    /// True in so many of a hundred cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    /// A random place in a collection.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        let len = u64::try_from(len).unwrap_or(1).max(1);
        usize::try_from(self.random.below(len)).unwrap_or(0)
    }

    /// A worker.
    pub(crate) fn process(&mut self) -> u32 {
        let index = self.index(self.model.processes.len());
        self.model.processes.keys().nth(index).copied().unwrap_or(0)
    }

    /// A worker and one of its descriptors, with the file.
    pub(crate) fn any_descriptor(&mut self) -> Option<(u32, u64, u32)> {
        let process = self.process();
        let count = self.model.processes[&process].descriptors.len();
        let index = self.index(count);
        let (descriptor, file) = *self.model.processes[&process].descriptors.get(index)?;
        Some((process, descriptor, file))
    }

    /// The same, of the native node or of Paddle's.
    fn descriptor_of(&mut self, paddle: bool) -> Option<(u32, u64, u32)> {
        let process = self.process();
        let files = &self.model.files;
        let all = self.model.processes[&process].descriptors.iter();
        let such: Vec<(u64, u32)> = all
            .copied()
            .filter(|(_, file)| files[file].paddle == paddle)
            .collect();
        let (descriptor, file) = *such.get(self.index(such.len()))?;
        Some((process, descriptor, file))
    }

    /// A worker and one of its descriptors of the native node, with the file.
    pub(crate) fn descriptor(&mut self) -> Option<(u32, u64, u32)> {
        self.descriptor_of(false)
    }

    /// A worker and one of its descriptors of Paddle's node, with the file.
    pub(crate) fn paddle_descriptor(&mut self) -> Option<(u32, u64, u32)> {
        self.descriptor_of(true)
    }

    /// A mapping of a worker: first address and VMA.
    pub(crate) fn mapping(&mut self, process: u32) -> Option<(u64, Vma)> {
        let index = self.index(self.model.processes[&process].vmas.len());
        let longest = self.chance(15);
        let vmas = &self.model.processes[&process].vmas;
        if longest {
            // One that huge pages may map is rare.
            let longest = vmas.iter().max_by_key(|(start, vma)| vma.end - **start);
            return longest.map(|(&start, &vma)| (start, vma));
        }
        vmas.iter().nth(index).map(|(&start, &vma)| (start, vma))
    }

    /// A handle of a file and the buffer behind it.
    pub(crate) fn handle(&mut self, file: u32) -> Option<(u32, u32)> {
        let index = self.index(self.model.files[&file].handles.len());
        let handles = &self.model.files[&file].handles;
        handles
            .iter()
            .nth(index)
            .map(|(&handle, &buffer)| (handle, buffer))
    }
}
