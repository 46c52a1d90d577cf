// SPDX-License-Identifier: MIT OR Apache-2.0

//! The VMAs of processes.

use super::{Model, Vma};

impl Model {
    /// A new VMA.
    pub(crate) fn mapped(&mut self, process: u32, start: u64, vma: Vma) {
        self.hold(vma.file);
        if let Some(buffer) = self.buffers.get_mut(&vma.buffer) {
            buffer.vmas += 1;
        }
        if let Some(process) = self.processes.get_mut(&process) {
            process.vmas.insert(start, vma);
        }
    }

    /// The VMA at an address, with its first address.
    pub(crate) fn vma_at(&self, process: u32, address: u64) -> Option<(u64, Vma)> {
        let vmas = &self.processes.get(&process)?.vmas;
        let (&start, &vma) = vmas.range(..=address).next_back()?;
        (address < vma.end).then_some((start, vma))
    }

    /// Splits the VMA that contains `address`, unless it begins there.
    pub(crate) fn split(&mut self, process: u32, address: u64) {
        let Some((start, vma)) = self.vma_at(process, address) else {
            return;
        };
        if start == address {
            return;
        }
        let head = Vma {
            end: address,
            ..vma
        };
        let tail = Vma {
            offset: vma.offset + (address - start),
            ..vma
        };
        if let Some(process) = self.processes.get_mut(&process) {
            process.vmas.insert(start, head);
        }
        self.mapped(process, address, tail);
    }

    /// Takes the VMAs of a range out and returns them, each with the reference on its file.
    #[must_use = "the files are to be released"]
    pub(crate) fn unmapped(&mut self, process: u32, start: u64, end: u64) -> Vec<(u64, Vma)> {
        self.split(process, start);
        self.split(process, end);
        let Some(vmas) = self.processes.get_mut(&process).map(|p| &mut p.vmas) else {
            return Vec::new();
        };
        let gone: Vec<(u64, Vma)> = vmas
            .range(start..end)
            .map(|(&at, &vma)| (at, vma))
            .collect();
        vmas.retain(|at, _| !(start..end).contains(at));
        for (_, vma) in &gone {
            if let Some(buffer) = self.buffers.get_mut(&vma.buffer) {
                buffer.vmas -= 1;
            }
            self.settle(vma.buffer);
        }
        gone
    }

    /// Unmaps a range.
    pub(crate) fn unmap(&mut self, process: u32, start: u64, end: u64) {
        for (_, vma) in self.unmapped(process, start, end) {
            self.release(vma.file);
        }
    }

    /// Moves a range that lies in one VMA.
    pub(crate) fn moved(&mut self, process: u32, start: u64, end: u64, to: u64) {
        self.split(process, start);
        self.split(process, end);
        if let Some(vmas) = self.processes.get_mut(&process).map(|p| &mut p.vmas) {
            if let Some(mut vma) = vmas.remove(&start) {
                vma.end = to + (end - start);
                vmas.insert(to, vma);
            }
        }
    }

    /// Changes the VMA of a range, which becomes one of its own unless nothing changes.
    pub(crate) fn change(&mut self, process: u32, start: u64, end: u64, edit: impl Fn(&mut Vma)) {
        let Some((_, before)) = self.vma_at(process, start) else {
            return;
        };
        let mut after = before;
        edit(&mut after);
        if after == before {
            return;
        }
        self.split(process, start);
        self.split(process, end);
        if let Some(vma) = self
            .processes
            .get_mut(&process)
            .and_then(|p| p.vmas.get_mut(&start))
        {
            edit(vma);
        }
    }

    /// Bytes from `address` on that its buffer maps without a gap, across VMAs.
    pub(crate) fn contiguous(&self, process: u32, address: u64) -> u64 {
        let Some((start, first)) = self.vma_at(process, address) else {
            return 0;
        };
        let offset = first.offset + (address - start);
        let mut end = first.end;
        while let Some((at, vma)) = self.vma_at(process, end) {
            if at != end || vma.buffer != first.buffer || vma.offset != offset + (end - address) {
                break;
            }
            end = vma.end;
        }
        end - address
    }

    /// The lowest address of a process that maps a byte of a buffer.
    pub(crate) fn address_of(&self, process: u32, buffer: u32, offset: u64) -> Option<u64> {
        let vmas = &self.processes.get(&process)?.vmas;
        vmas.iter().find_map(|(start, vma)| {
            let past = offset.checked_sub(vma.offset)?;
            (vma.buffer == buffer && past < vma.end - start).then_some(start + past)
        })
    }
}
