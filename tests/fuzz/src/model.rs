// SPDX-License-Identifier: MIT OR Apache-2.0

//! The shadow model: what must be live, and what the driver and the kernel must answer.

use crate::worker::digest;
use fpgamem_tests::PAGE;
use std::collections::BTreeMap;

/// A live buffer, known by its first block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) blocks: u32,
    /// `BUFFER_*` bits.
    pub(crate) flags: u32,
    /// The file that allocated it.
    pub(crate) file: u32,
    /// Its handle there, 0 if it has none (any more).
    pub(crate) handle: u32,
    pub(crate) vmas: u32,
    /// An ioctl said that the device may access it.
    pub(crate) device: bool,
    /// The process that allocated it.
    pub(crate) pid: u64,
    /// Words that are not zero, by offset in bytes.
    pub(crate) words: BTreeMap<u64, u64>,
}

impl Buffer {
    /// The word at an offset.
    pub(crate) fn word(&self, offset: u64) -> u64 {
        self.words.get(&offset).copied().unwrap_or(0)
    }

    /// The digest of the page at an offset.
    pub(crate) fn digest(&self, offset: u64) -> u64 {
        let words = self.words.range(offset..offset + PAGE);
        digest(words.map(|(at, word)| ((at - offset) / 8, *word)))
    }
}

/// An open file.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) read_only: bool,
    /// Descriptors and VMAs.
    pub(crate) references: u32,
    /// First blocks of the buffers, by handle.
    pub(crate) handles: BTreeMap<u32, u32>,
}

/// A mapping of a buffer or of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vma {
    pub(crate) end: u64,
    /// First block of the buffer.
    pub(crate) buffer: u32,
    /// Offset in the buffer of the first address.
    pub(crate) offset: u64,
    pub(crate) file: u32,
    /// `PROT_*` bits.
    pub(crate) protection: u32,
    /// Not copied by fork.
    pub(crate) stays: bool,
}

/// A worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    pub(crate) pid: u64,
    /// Descriptors and their files, in the order of their making.
    pub(crate) descriptors: Vec<(u64, u32)>,
    /// By first address.
    pub(crate) vmas: BTreeMap<u64, Vma>,
}

/// What debugfs counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) allocations: u64,
    pub(crate) frees: u64,
    pub(crate) failures: u64,
    pub(crate) quarantined: u64,
    pub(crate) flush_calls: u64,
    pub(crate) invalidate_calls: u64,
}

/// All that is live.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// First physical address of the region.
    pub(crate) base: u64,
    pub(crate) block_bytes: u64,
    pub(crate) nr_blocks: u32,
    /// `BUFFER_*` bits of a buffer that asks for nothing.
    pub(crate) default_flags: u32,
    /// By first block.
    pub(crate) buffers: BTreeMap<u32, Buffer>,
    pub(crate) files: BTreeMap<u32, File>,
    pub(crate) processes: BTreeMap<u32, Process>,
    pub(crate) counts: Counts,
    pub(crate) last_file: u32,
    /// What goes now goes because a signal killed its process.
    pub(crate) crash: bool,
}

impl Model {
    /// Free runs of blocks, lowest first: first block and the one after the last.
    fn free_runs(&self) -> Vec<(u32, u32)> {
        let mut runs = Vec::new();
        let mut from = 0;
        for (&start, buffer) in &self.buffers {
            if from < start {
                runs.push((from, start));
            }
            from = start + buffer.blocks;
        }
        if from < self.nr_blocks {
            runs.push((from, self.nr_blocks));
        }
        runs
    }

    /// Blocks of live buffers.
    pub(crate) fn blocks_used(&self) -> u32 {
        self.buffers.values().map(|buffer| buffer.blocks).sum()
    }

    /// The first block at or after `block` whose address is a multiple of `align` bytes.
    fn aligned(&self, block: u32, align: u64) -> u32 {
        let address = self
            .phys(block)
            .next_multiple_of(align.max(self.block_bytes));
        u32::try_from((address - self.base) / self.block_bytes).unwrap_or(u32::MAX)
    }

    /// Where the lowest aligned run of `blocks` free blocks is.
    pub(crate) fn find(&self, blocks: u32, align: u64) -> Option<u32> {
        self.free_runs().into_iter().find_map(|(start, end)| {
            let start = self.aligned(start, align);
            (start < end && end - start >= blocks).then_some(start)
        })
    }

    /// Blocks of the longest aligned run of free ones.
    pub(crate) fn largest(&self, align: u64) -> u32 {
        let runs = self.free_runs().into_iter();
        let tails = runs.map(|(start, end)| end.saturating_sub(self.aligned(start, align)));
        tails.max().unwrap_or(0)
    }

    /// The blocks that `len` bytes need.
    pub(crate) fn blocks_for(&self, len: u64) -> u32 {
        u32::try_from(len.div_ceil(self.block_bytes)).unwrap_or(u32::MAX)
    }

    /// First physical address of a block.
    pub(crate) fn phys(&self, block: u32) -> u64 {
        self.base + u64::from(block) * self.block_bytes
    }

    /// Bytes of a live buffer.
    pub(crate) fn bytes(&self, buffer: u32) -> u64 {
        self.buffers
            .get(&buffer)
            .map_or(0, |b| u64::from(b.blocks) * self.block_bytes)
    }

    /// The offset for mmap of a physical address.
    pub(crate) fn mmap_offset(&self, phys: u64) -> u64 {
        fpgamem_tests::abi::MMAP_OFFSET_BASE + (phys - (self.base & !((2 << 20) - 1)))
    }

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
    fn settle(&mut self, start: u32) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 16384;

    /// A process with a file, whose buffer of four blocks has a handle and is mapped at 1 MiB.
    fn model() -> (Model, u32) {
        let mut model = Model {
            base: 0x4000_0000,
            block_bytes: BLOCK,
            nr_blocks: 16,
            ..Model::default()
        };
        let file = model.opened(false);
        let process = Process {
            descriptors: vec![(3, file)],
            ..Process::default()
        };
        model.processes.insert(1, process);
        let buffer = Buffer {
            blocks: 4,
            file,
            handle: 7,
            ..Buffer::default()
        };
        model.allocated(0, buffer);
        let vma = Vma {
            end: (1 << 20) + 4 * BLOCK,
            buffer: 0,
            offset: 0,
            file,
            protection: 3,
            stays: false,
        };
        model.mapped(1, 1 << 20, vma);
        (model, file)
    }

    #[test]
    fn a_buffer_lives_while_a_handle_or_a_mapping_does() {
        let (mut model, file) = model();
        model.free_handle(file, 7);
        assert_eq!(model.blocks_used(), 4);
        model.unmap(1, 1 << 20, (1 << 20) + 2 * BLOCK);
        assert_eq!(model.blocks_used(), 4);
        model.unmap(1, 0, u64::MAX);
        assert_eq!((model.blocks_used(), model.counts.frees), (0, 1));
    }

    #[test]
    fn a_mapping_keeps_the_handles_of_a_closed_file() {
        let (mut model, file) = model();
        model.processes.insert(
            1,
            Process {
                descriptors: Vec::new(),
                ..model.processes[&1].clone()
            },
        );
        model.release(file);
        assert_eq!(model.files[&file].handles.len(), 1);
        model.unmap(1, 0, u64::MAX);
        assert!(model.files.is_empty() && model.buffers.is_empty());
    }

    #[test]
    fn a_hole_in_the_middle_makes_two_mappings() {
        let (mut model, _) = model();
        model.unmap(1, (1 << 20) + BLOCK, (1 << 20) + 2 * BLOCK);
        assert_eq!(model.buffers[&0].vmas, 2);
        assert_eq!(model.contiguous(1, 1 << 20), BLOCK);
        assert_eq!(model.address_of(1, 0, BLOCK), None);
        assert_eq!(
            model.address_of(1, 0, 2 * BLOCK),
            Some((1 << 20) + 2 * BLOCK)
        );
    }

    #[test]
    fn a_changed_part_is_contiguous_with_the_rest() {
        let (mut model, _) = model();
        model.change(1, (1 << 20) + BLOCK, (1 << 20) + 2 * BLOCK, |vma| {
            vma.protection = 0
        });
        assert_eq!(model.buffers[&0].vmas, 3);
        assert_eq!(model.contiguous(1, 1 << 20), 4 * BLOCK);
    }

    #[test]
    fn the_death_of_a_process_leaves_what_its_child_has() {
        let (mut model, _) = model();
        model.forked(1, 2, 99);
        model.ended(1, true);
        assert_eq!((model.buffers[&0].vmas, model.counts.quarantined), (1, 0));
        model.ended(2, true);
        assert!(model.files.is_empty() && model.buffers.is_empty());
        assert_eq!(model.counts.quarantined, 1);
    }

    #[test]
    fn the_lowest_aligned_run_is_found() {
        let (model, _) = model();
        assert_eq!(model.find(2, 0), Some(4));
        assert_eq!(model.find(2, 8 * BLOCK), Some(8));
        assert_eq!(model.find(13, 0), None);
        assert_eq!((model.largest(4096), model.largest(8 * BLOCK)), (12, 8));
    }
}
