// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mapped memory: making, changing and ending it.
//!
//! A [`Mapping`] never gives a reference into its memory: devices, other processes and other
//! mappings of the same buffer change it. It knows which parts of it are still mapped and refuses
//! access to the others, where the next allocation of the process may lie. Access that the
//! protection forbids ends the process with SIGSEGV, as some tests want it.

use nix::errno::Errno;
use nix::sys::mman::{self, MRemapFlags, MapFlags, MmapAdvise, ProtFlags};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::NonNull;

/// Mapped memory that is unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: u64,
    /// The mapped parts as half-open ranges of offsets, ascending and disjoint.
    ///
    /// INVARIANT: each lies below `len` and is a mapping that this value made and owns.
    pieces: Vec<Range<u64>>,
}

impl Mapping {
    /// Maps `len` bytes of a file at `offset`; `flags` must not contain `MAP_FIXED`.
    pub fn of(
        file: impl AsFd,
        len: u64,
        protection: ProtFlags,
        flags: MapFlags,
        offset: u64,
    ) -> Result<Self, Errno> {
        assert!(
            !flags.contains(MapFlags::MAP_FIXED),
            "replace() takes the place of a mapping"
        );
        let (length, offset) = (length(len), file_offset(offset));
        // SAFETY: without MAP_FIXED the kernel takes an unused part of the address space.
        let base = unsafe { mman::mmap(None, length, protection, flags, file, offset) }?;
        Ok(Self::owning(base, len))
    }

    /// Maps `len` bytes of private memory.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub fn anonymous(len: u64, protection: ProtFlags) -> Self {
        let flags = MapFlags::MAP_PRIVATE;
        // SAFETY: without MAP_FIXED the kernel takes an unused part of the address space.
        let base = unsafe { mman::mmap_anonymous(None, length(len), protection, flags) };
        Self::owning(base.expect("there is address space"), len)
    }

    fn owning(base: NonNull<c_void>, len: u64) -> Self {
        Self {
            base: base.cast(),
            len,
            pieces: std::iter::once(0..len).collect(),
        }
    }

    /// The user address of the first byte.
    pub fn addr(&self) -> u64 {
        self.base.as_ptr().expose_provenance() as u64
    }

    /// The length in bytes that was asked for.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing of it is mapped any more.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether all of `range` is mapped.
    pub fn is_mapped(&self, range: Range<u64>) -> bool {
        self.pieces
            .iter()
            .any(|piece| piece.start <= range.start && range.end <= piece.end)
    }

    /// Unmaps whatever is mapped in `range` of offsets.
    pub fn unmap(&mut self, range: Range<u64>) {
        // The kernel is asked for each mapped part, never for a hole, which may be in other hands.
        for piece in self.forget(range) {
            // SAFETY: the part was this value's, which has just given it up.
            unsafe { mman::munmap(self.at(piece.start), host_len(piece.end - piece.start)) }
                .expect("munmap of a mapping succeeds");
        }
    }

    /// Unmaps `range`, which must be mapped, where the kernel may refuse.
    pub fn try_unmap(&mut self, range: Range<u64>) -> Result<(), Errno> {
        let (at, len) = self.owned(&range);
        // SAFETY: the range is this value's, and nothing refers to its memory.
        unsafe { mman::munmap(at, len) }?;
        self.forget(range);
        Ok(())
    }

    /// Changes the protection of `range`.
    pub fn protect(&self, range: Range<u64>, protection: ProtFlags) -> Result<(), Errno> {
        let (at, len) = self.owned(&range);
        // SAFETY: the range is this value's, and nothing refers to its memory.
        unsafe { mman::mprotect(at, len, protection) }
    }

    /// Gives advice about everything.
    pub fn advise(&self, advice: MmapAdvise) -> Result<(), Errno> {
        let (at, len) = self.owned(&(0..self.len));
        // SAFETY: the range is this value's, and nothing refers to its memory.
        unsafe { mman::madvise(at, len, advice) }
    }

    /// Maps a file over `range` with `MAP_FIXED`. Where that fails, the range counts as a hole,
    /// because the kernel removes what was there first.
    pub fn replace(
        &mut self,
        range: Range<u64>,
        file: impl AsFd,
        flags: MapFlags,
        offset: u64,
    ) -> Result<(), Errno> {
        let (at, len) = self.owned(&range);
        let (flags, offset) = (flags | MapFlags::MAP_FIXED, file_offset(offset));
        let (addr, len) = (Some(at.addr()), NonZeroUsize::new(len).expect("not empty"));
        // SAFETY: the range is this value's, and nothing refers to its memory.
        let mapped = unsafe { mman::mmap(addr, len, crate::READ_WRITE, flags, file, offset) };
        if mapped.is_err() {
            self.forget(range);
        }
        mapped.map(drop)
    }

    /// Moves everything to another address of the kernel's choice.
    pub fn relocate(&mut self) -> Result<(), Errno> {
        let mut target = Self::anonymous(self.len, ProtFlags::PROT_NONE);
        let (from, len) = self.owned(&(0..self.len));
        let flags = MRemapFlags::MREMAP_MAYMOVE | MRemapFlags::MREMAP_FIXED;
        let to = Some(target.base.cast());
        // SAFETY: source and target belong to values at hand, and nothing refers to their memory.
        unsafe { mman::mremap(from, len, len, flags, to) }?;
        self.base = target.base;
        target.pieces.clear();
        Ok(())
    }

    /// Moves `range` to `offset` of `target`, in place of what is mapped there. Where the kernel
    /// refuses after it has removed that, it counts as mapped still.
    pub fn move_into(
        &mut self,
        range: Range<u64>,
        target: &mut Self,
        offset: u64,
    ) -> Result<(), Errno> {
        let (from, len) = self.owned(&range);
        let (to, _) = target.owned(&(offset..offset + (range.end - range.start)));
        let flags = MRemapFlags::MREMAP_MAYMOVE | MRemapFlags::MREMAP_FIXED;
        // Before the call, because memory that this takes could come to lie in the hole.
        let gone = self.forget(range);
        // SAFETY: source and target belong to values at hand, and nothing refers to their memory.
        let moved = unsafe { mman::mremap(from, len, len, flags, Some(to)) };
        if moved.is_err() {
            self.pieces.extend(gone);
            self.pieces.sort_by_key(|piece| piece.start);
        }
        moved.map(drop)
    }

    /// Puts private memory without access into a hole, where nothing else may be mapped.
    pub fn plug(&mut self, hole: Range<u64>) {
        let at = self.at(hole.start).addr();
        let len = length(hole.end - hole.start);
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED_NOREPLACE;
        // SAFETY: the flag keeps the kernel from replacing anything.
        let plug = unsafe { mman::mmap_anonymous(Some(at), len, ProtFlags::PROT_NONE, flags) };
        let plug = plug.expect("nobody has taken the hole");
        assert_eq!(plug.addr(), at, "the hole is where it was");
        self.pieces.push(hole);
        self.pieces.sort_by_key(|piece| piece.start);
    }

    /// Asks to move everything `by` bytes up, over part of itself, which is always refused.
    pub fn move_over_itself(&self, by: u64) -> Result<(), Errno> {
        let (from, len) = self.owned(&(0..self.len - by));
        let (to, _) = self.owned(&(by..self.len));
        let flags = MRemapFlags::MREMAP_MAYMOVE | MRemapFlags::MREMAP_FIXED;
        // SAFETY: source and target are this value's, and nothing refers to their memory.
        unsafe { mman::mremap(from, len, len, flags, Some(to)) }.map(drop)
    }

    /// Moves a part, which must be mapped, and leaves a hole. It goes `past` bytes behind a place that the
    /// kernel chooses.
    pub fn take(&mut self, range: Range<u64>, past: u64) -> Result<Self, Errno> {
        let (from, len) = self.owned(&range);
        let mut place = Self::anonymous(past + range.end - range.start, ProtFlags::PROT_NONE);
        let target = past..place.len;
        let (to, _) = place.owned(&target);
        let flags = MRemapFlags::MREMAP_MAYMOVE | MRemapFlags::MREMAP_FIXED;
        // SAFETY: source and target belong to values at hand, and nothing refers to their memory.
        let base = unsafe { mman::mremap(from, len, len, flags, Some(to)) }?;
        place.forget(target);
        self.forget(range.clone());
        Ok(Self::owning(base, range.end - range.start))
    }

    /// Changes the length by mremap, with leave to move.
    pub fn resize(&mut self, len: u64) -> Result<(), Errno> {
        let (at, old) = self.owned(&(0..self.len));
        let flags = MRemapFlags::MREMAP_MAYMOVE;
        // SAFETY: the range is this value's, and nothing refers to its memory.
        let base = unsafe { mman::mremap(at, old, host_len(len), flags, None) }?;
        self.base = base.cast();
        self.len = len;
        self.pieces = std::iter::once(0..len).collect();
        Ok(())
    }

    /// Maps the same memory a second time by mremap with an old length of 0.
    pub fn mremap_again(&self) -> Result<Self, Errno> {
        let (at, len) = self.owned(&(0..self.len));
        let flags = MRemapFlags::MREMAP_MAYMOVE;
        // SAFETY: an old length of 0 leaves this mapping as it is.
        let base = unsafe { mman::mremap(at, 0, len, flags, None) }?;
        Ok(Self::owning(base, self.len))
    }

    /// The address of an offset.
    fn at(&self, offset: u64) -> NonNull<c_void> {
        assert!(offset < self.len, "offset {offset} of {} bytes", self.len);
        // SAFETY: the offset lies within what was mapped in one piece at `base`.
        unsafe { self.base.add(host_len(offset)) }.cast()
    }

    /// Where `range`, which must be mapped, starts and how long it is.
    fn owned(&self, range: &Range<u64>) -> (NonNull<c_void>, usize) {
        assert!(self.is_mapped(range.clone()), "{range:?} is not mapped");
        (self.at(range.start), host_len(range.end - range.start))
    }

    /// The pointer to `count` bytes, which must be mapped.
    pub(crate) fn pointer(&self, offset: u64, count: usize) -> *mut u8 {
        self.owned(&(offset..offset + count as u64))
            .0
            .as_ptr()
            .cast()
    }

    /// Gives up the mapped parts of `range` and returns them.
    fn forget(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for piece in self.pieces.drain(..) {
            let cut = piece.start.max(range.start)..piece.end.min(range.end);
            if cut.is_empty() {
                kept.push(piece);
                continue;
            }
            kept.extend(
                [piece.start..cut.start, cut.end..piece.end]
                    .into_iter()
                    .filter(|r| !r.is_empty()),
            );
            gone.push(cut);
        }
        self.pieces = kept;
        gone
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.unmap(0..self.len);
    }
}

fn length(len: u64) -> NonZeroUsize {
    NonZeroUsize::new(host_len(len)).expect("a mapping has a length")
}

/// A length as the host counts memory.
pub(crate) fn host_len(len: u64) -> usize {
    len.try_into().expect("a length fits the address space")
}

fn file_offset(offset: u64) -> i64 {
    offset.try_into().expect("an offset is below 2^63")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::READ_WRITE;

    #[test]
    fn what_is_unmapped_is_not_accessible() {
        let mut mapping = Mapping::anonymous(0x4000, READ_WRITE);
        mapping.fill(1);
        mapping.unmap(0x1000..0x2000);
        mapping.check_range(0..0x1000, 1, 0);
        mapping.check_range(0x2000..0x4000, 1, 0x2000);
        assert!(mapping.is_mapped(0..0x1000));
        assert!(!mapping.is_mapped(0xfff..0x1001));
        assert!(!mapping.is_mapped(0x1800..0x1900));
    }

    #[test]
    fn relocation_keeps_the_content() {
        let mut mapping = Mapping::anonymous(0x4000, READ_WRITE);
        mapping.fill(5);
        let before = mapping.addr();
        mapping.relocate().unwrap();
        assert_ne!(mapping.addr(), before);
        mapping.check(5);
    }
}
