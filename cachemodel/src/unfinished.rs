// SPDX-License-Identifier: GPL-2.0-or-later

//! What the DDR held before writes that no barrier has waited for yet: the worst that a device started
//! without one may still see.

use crate::memory::host;
use crate::page::LINE;
use std::ops::Range;

/// Bytes of a line.
const BYTES: usize = host(LINE);

/// Lines beyond which no further ones are remembered. Between two barriers there are few.
const MOST: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Unfinished {
    /// Physical address.
    line: u64,
    before: [u8; BYTES],
    /// Whether a store past the cache wrote it, for which an ordering barrier is enough.
    by_store: bool,
}

/// Lines whose way to the DDR may not be over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes(Vec<Unfinished>);

impl Writes {
    /// A line that holds `before` is about to be written.
    pub(crate) fn add(&mut self, line: u64, before: &[u8], by_store: bool) {
        let again = self.0.last().is_some_and(|last| last.line == line);
        if again || self.0.len() == MOST {
            return;
        }
        if let Ok(before) = before.try_into() {
            self.0.push(Unfinished {
                line,
                before,
                by_store,
            });
        }
    }

    /// A barrier waits for all of them.
    pub(crate) fn finish(&mut self) {
        self.0.clear();
    }

    /// What was unfinished when a process was interrupted is so again.
    pub(crate) fn resume(&mut self, mut interrupted: Self) {
        interrupted.0.append(&mut self.0);
        interrupted.0.truncate(MOST);
        *self = interrupted;
    }

    /// A barrier orders stores.
    pub(crate) fn finish_stores(&mut self) {
        self.0.retain(|write| !write.by_store);
    }

    /// What bytes of a line were before the first unfinished write.
    pub(crate) fn before(&self, line: u64, bytes: Range<usize>) -> Option<&[u8]> {
        let first = self.0.iter().find(|write| write.line == line)?;
        first.before.get(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_content_is_what_may_be_seen() {
        let mut writes = Writes::default();
        writes.add(0x40, &[1; 64], false);
        writes.add(0x80, &[2; 64], false);
        writes.add(0x40, &[3; 64], false);
        assert_eq!(writes.before(0x40, 8..10), Some(&[1; 2][..]));
        assert_eq!(writes.before(0xc0, 0..64), None);
        writes.finish();
        assert_eq!(writes.before(0x40, 0..64), None);
    }

    #[test]
    fn what_was_unfinished_before_an_interrupt_is_so_after_it() {
        let mut writes = Writes::default();
        writes.add(0x40, &[1; 64], false);
        let interrupted = writes.clone();
        writes.finish();
        writes.add(0x40, &[2; 64], false);
        writes.resume(interrupted);
        assert_eq!(writes.before(0x40, 0..2), Some(&[1; 2][..]));
    }

    #[test]
    fn ordering_is_enough_for_stores_and_not_for_maintenance() {
        let mut writes = Writes::default();
        writes.add(0x40, &[1; 64], true);
        writes.add(0x80, &[2; 64], false);
        writes.finish_stores();
        assert_eq!(writes.before(0x40, 0..64), None);
        assert!(writes.before(0x80, 0..64).is_some());
    }
}
