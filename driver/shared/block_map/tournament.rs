// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Tournaments: trees in which each node is the greatest of its children, so that the greatest leaf,
//! or one that is great enough, is found in one step a level.
//!
//! A node has four children. The levels follow each other, leaves first; each is filled up to
//! whole families, with 0.

use super::steps::step;

/// Children of a node.
const CHILDREN: u32 = 4;

const CHILD_SHIFT: u32 = CHILDREN.trailing_zeros();

/// Levels of a tournament with 2^31 leaves.
const NR_LEVELS: usize = 16;

/// Where the nodes of a tournament lie.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tournament {
    /// The first leaf.
    start: u32,
    /// Leaves, filled up.
    nr_leaves: u32,
}

impl Tournament {
    /// One with `nr_leaves` leaves, at least 1, whose nodes begin at `start`.
    pub(super) fn new(start: u32, nr_leaves: u32) -> Self {
        let nr_leaves = filled_up(nr_leaves);
        Self { start, nr_leaves }
    }

    /// Where its nodes end.
    pub(super) fn end(self) -> u32 {
        let last = self.levels().last();
        last.map_or(self.start, |(start, len)| start.saturating_add(len))
    }

    /// Start and number of nodes of each level, leaves first. The last one is one family.
    fn levels(self) -> impl Iterator<Item = (u32, u32)> {
        let mut next = Some((self.start, self.nr_leaves));
        core::iter::from_fn(move || {
            let (start, len) = next?;
            next = (len > CHILDREN)
                .then(|| (start.saturating_add(len), filled_up(len >> CHILD_SHIFT)));
            Some((start, len))
        })
    }

    /// Changes a leaf; the greatest one if that may be another one now.
    pub(super) fn set(self, nodes: &mut [u32], leaf: u32, value: u32) -> Option<u32> {
        let (mut start, mut len) = (self.start, self.nr_leaves);
        let (mut nth, mut value) = (leaf, value);
        loop {
            let family = family_mut(nodes, start, nth)?;
            if let Some(node) = family.get_mut((nth % CHILDREN) as usize) {
                if *node == value {
                    return None;
                }
                *node = value;
            }
            value = greatest(family);
            if len <= CHILDREN {
                return Some(value);
            }
            start = start.wrapping_add(len);
            len = filled_up(len >> CHILD_SHIFT);
            nth >>= CHILD_SHIFT;
        }
    }

    /// The greatest leaf.
    pub(super) fn winner(self, nodes: &[u32]) -> u32 {
        let top = self.levels().last();
        let family = top.and_then(|(start, _)| family(nodes, start, 0));
        family.map_or(0, greatest)
    }

    /// The first leaf that is `at_least`, which is not 0.
    pub(super) fn first(self, nodes: &[u32], at_least: u32) -> Option<u32> {
        self.descend(nodes, |family| {
            (0..)
                .zip(family)
                .find_map(|(child, &node)| (node >= at_least).then_some(child))
        })
    }

    /// A leaf, from the winner down, where each `choice` is one of a family.
    fn descend(self, nodes: &[u32], choice: impl Fn(&Family) -> Option<u32>) -> Option<u32> {
        let mut starts = [0; NR_LEVELS];
        let mut nr_levels = 0;
        for (entry, (start, _)) in starts.iter_mut().zip(self.levels()) {
            *entry = start;
            nr_levels += 1;
        }
        let mut nth = 0u32;
        for &start in starts.iter().take(nr_levels).rev() {
            let first = nth.wrapping_shl(CHILD_SHIFT);
            let child = choice(family(nodes, start, first)?)?;
            nth = first.wrapping_add(child);
        }
        Some(nth)
    }
}

/// The children of a node.
type Family = [u32; CHILDREN as usize];

/// The family of the `nth` node of a level that begins at `start`.
fn family(nodes: &[u32], start: u32, nth: u32) -> Option<&Family> {
    step();
    let first = start.wrapping_add(nth & !(CHILDREN - 1)) as usize;
    let family = nodes.get(first..first.wrapping_add(CHILDREN as usize))?;
    family.try_into().ok()
}

fn family_mut(nodes: &mut [u32], start: u32, nth: u32) -> Option<&mut Family> {
    step();
    let first = start.wrapping_add(nth & !(CHILDREN - 1)) as usize;
    let family = nodes.get_mut(first..first.wrapping_add(CHILDREN as usize))?;
    family.try_into().ok()
}

fn greatest(family: &Family) -> u32 {
    let [a, b, c, d] = *family;
    a.max(b).max(c.max(d))
}

fn filled_up(len: u32) -> u32 {
    len.wrapping_add(CHILDREN - 1) & !(CHILDREN - 1)
}
