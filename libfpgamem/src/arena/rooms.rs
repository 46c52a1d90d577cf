// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which chunk has room for a piece, found without looking at all of them.

/// Classes of room: class `c` has chunks whose longest free run has 2^c to 2^(c+1) - 1 lines.
const NR_CLASSES: usize = 32;
/// How many chunks are looked at in the class in which some may be too full.
const TRIES: usize = 8;

/// Chunks by the longest run that can be had of each.
#[derive(Debug)]
pub(super) struct Rooms {
    classes: [Vec<usize>; NR_CLASSES],
    /// Bit `c`: class `c` has chunks.
    filled: u32,
    /// Of each chunk: its room, and where it is in its class. A chunk without room is in none.
    chunks: Vec<(u32, usize)>,
}

impl Rooms {
    pub(super) fn new() -> Self {
        Self {
            classes: std::array::from_fn(|_| Vec::new()),
            filled: 0,
            chunks: Vec::new(),
        }
    }

    /// Says how long a run can be had of a chunk; 0 takes it out.
    pub(super) fn set(&mut self, chunk: usize, lines: u32) {
        if self.chunks.len() <= chunk {
            self.chunks.resize(chunk + 1, (0, 0));
        }
        let (before, position) = self.chunks[chunk];
        if before == lines {
            return;
        }
        if let Some(class) = class_of(before) {
            let members = &mut self.classes[class];
            members.swap_remove(position);
            if let Some(moved) = members.get(position) {
                self.chunks[*moved].1 = position;
            }
            if members.is_empty() {
                self.filled &= !(1 << class);
            }
        }
        self.chunks[chunk] = (lines, 0);
        if let Some(class) = class_of(lines) {
            let members = &mut self.classes[class];
            self.chunks[chunk].1 = members.len();
            members.push(chunk);
            self.filled |= 1 << class;
        }
    }

    /// A chunk that has a run of so many lines, at least 1: one with little more room, if there is one.
    pub(super) fn find(&self, lines: u32) -> Option<usize> {
        let class = class_of(lines)?;
        let newest = self.classes[class].iter().rev().take(TRIES);
        let fits = |chunk: &&usize| self.chunks[**chunk].0 >= lines;
        if let Some(chunk) = newest.copied().find(|chunk| fits(&chunk)) {
            return Some(chunk);
        }
        let above = self.filled & !(u32::MAX >> (31 - class));
        let class = (above != 0).then(|| above.trailing_zeros() as usize)?;
        self.classes[class].last().copied()
    }
}

/// The class of a room; `None` of none.
fn class_of(lines: u32) -> Option<usize> {
    lines.checked_ilog2().map(|class| class as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_class_that_fits_is_taken() {
        let mut rooms = Rooms::new();
        for (chunk, lines) in [4096, 100, 7, 2000].into_iter().enumerate() {
            rooms.set(chunk, lines);
        }
        assert_eq!(rooms.find(7), Some(2));
        assert_eq!(rooms.find(8), Some(1));
        assert_eq!(rooms.find(100), Some(1));
        assert_eq!(rooms.find(101), Some(3));
        assert_eq!(rooms.find(2001), Some(0));
        assert_eq!(rooms.find(4097), None);
    }

    #[test]
    fn a_chunk_moves_with_its_room() {
        let mut rooms = Rooms::new();
        for chunk in 0..5 {
            rooms.set(chunk, 64);
        }
        rooms.set(1, 0);
        rooms.set(4, 1024);
        rooms.set(0, 3);
        let mut left: Vec<_> = rooms.classes[6].clone();
        left.sort_unstable();
        assert_eq!(left, [2, 3]);
        assert_eq!(rooms.find(65), Some(4));
        assert_eq!(rooms.find(3), Some(0));
        for chunk in [2, 3, 4] {
            rooms.set(chunk, 0);
        }
        assert_eq!((rooms.find(4), rooms.find(3)), (None, Some(0)));
    }

    #[test]
    fn every_class_up_to_the_last_can_be_found() {
        let mut rooms = Rooms::new();
        rooms.set(0, u32::MAX);
        assert_eq!(rooms.find(1), Some(0));
        assert_eq!(rooms.find(1 << 31), Some(0));
        assert_eq!(rooms.find(u32::MAX), Some(0));
    }
}
