// SPDX-License-Identifier: GPL-2.0-or-later

//! Bus masters as the cache model sees them: they read and write the DDR and, unless their port is
//! coherent, know nothing of what the cache holds.

use crate::barriers::Barriers;
use crate::memory::{host, Memory};
use crate::model::Model;
use crate::page::{bytes_of, pieces, Page, Piece};
use crate::policy::Kind as Liberty;
use crate::report::{Kind, Place};
use crate::walk::Attribute;

/// How a bus master accesses memory.
#[derive(Clone, Copy, Debug)]
pub struct Master {
    /// The store that started it.
    pub start: Place,
    /// The barriers until then.
    pub barriers: Barriers,
    /// Whether its port snoops the caches.
    pub coherent: bool,
}

/// A line that leaves the cache after a bus master has written to it.
#[derive(Debug)]
pub struct LateEviction {
    piece: Piece,
    bytes: Vec<u8>,
}

impl<M: Memory> Model<M> {
    /// A bus master reads memory anywhere.
    pub fn master_read(&mut self, master: &Master, address: u64, bytes: &mut [u8]) {
        let len = bytes.len() as u64;
        self.counts.bytes_read_by_devices += len;
        self.memory.read(address, bytes);
        let inside = self.clip(address, len);
        for piece in pieces(inside.start, inside.end - inside.start) {
            let mistake = self.judge_read(master, &piece);
            self.mark_read(master, &piece);
            let index = self.index(piece.page);
            let Some(page) = &self.pages[index] else {
                continue;
            };
            let snooped = master.coherent && page.lines[piece.line].present;
            let at = host(piece.address() - address);
            // The worst that may come of a missing barrier is one of the policies.
            let late = mistake == Some(Kind::MissingBarrier)
                && self.policy.kind() == Liberty::Never
                && !snooped;
            let before = || {
                let line = page.addresses_of(piece.line).start;
                let start = host(piece.address() - line);
                self.unfinished
                    .before(line, start..start + piece.bytes.len())
            };
            let seen = if snooped {
                page.cached(&piece.bytes)
            } else if let Some(before) = late.then(before).flatten() {
                before
            } else {
                page.device(&piece.bytes)
            };
            bytes[at..at + seen.len()].copy_from_slice(seen);
        }
    }

    /// What a bus master that is not coherent would read, without consequences.
    pub fn peek(&self, address: u64, bytes: &mut [u8]) {
        self.memory.read(address, bytes);
        let inside = self.clip(address, bytes.len() as u64);
        for piece in pieces(inside.start, inside.end - inside.start) {
            if let Some(page) = &self.pages[self.index(piece.page)] {
                let at = host(piece.address() - address);
                let seen = page.device(&piece.bytes);
                bytes[at..at + seen.len()].copy_from_slice(seen);
            }
        }
    }

    /// What a bus master reads the CPU must leave alone until it is known to be done.
    fn mark_read(&mut self, master: &Master, piece: &Piece) {
        let reader = self.places.index(master.start);
        let index = self.index(piece.page);
        if let Some(page) = &mut self.pages[index] {
            let line = &mut page.lines[piece.line];
            let transfer = self.flights.current();
            if line.read_flight != transfer || line.reader != reader {
                line.reading = 0;
            }
            line.reading |= piece.mask;
            (line.reader, line.read_flight) = (reader, transfer);
        }
    }

    fn judge_read(&mut self, master: &Master, piece: &Piece) -> Option<Kind> {
        let index = self.index(piece.page);
        let page = self.pages[index].as_ref()?;
        let (line, lines) = (&page.lines[piece.line], page.addresses_of(piece.line));
        let clobbered = line.dirty != 0 && line.stale & piece.mask != 0;
        // Stores that no maintenance makes wait may still be on their way.
        let past_cache = line.accessed == Some(Attribute::NonCacheable);
        let unordered = master.barriers.lack_store(line.stored) && (master.coherent || past_cache);
        let mistake = if unordered {
            Some(Kind::MissingBarrier)
        } else if master.coherent {
            None
        } else if line.dirty & piece.mask != 0 {
            Some(Kind::MissingClean)
        } else if clobbered {
            Some(Kind::StaleWriteBack)
        } else if master.barriers.lack_maintenance(line.maintained) {
            Some(Kind::MissingBarrier)
        } else {
            None
        };
        if let Some(kind) = mistake {
            let cause = Some(self.places.get(line.writer));
            let address = lines.start;
            self.reports.add(kind, master.start, cause, lines);
            if clobbered && self.policy.kind() == Liberty::Evict {
                self.evict(address);
            }
        }
        mistake
    }

    /// A bus master may write memory from now on: the CPU must not have left stores in its lines.
    ///
    /// Returns lines that are in the cache all the same and, as the policy has it, leave it only after
    /// the write, whatever is done to them before.
    pub fn judge_write(&mut self, master: &Master, address: u64, len: u64) -> Vec<LateEviction> {
        let inside = self.clip(address, len);
        let mut late = Vec::new();
        for piece in pieces(inside.start, inside.end - inside.start) {
            let mistake = self.judge_write_piece(master, &piece);
            let index = self.index(piece.page);
            let Some(page) = &self.pages[index] else {
                continue;
            };
            let evicts = self.policy.kind() == Liberty::Evict;
            if mistake == Some(Kind::LostToEviction) && evicts && page.lines[piece.line].present {
                let bytes = page.cached(&bytes_of(piece.line)).to_vec();
                late.push(LateEviction { piece, bytes });
            }
        }
        late
    }

    /// A line leaves the cache over what a bus master wrote.
    pub fn evict_late(&mut self, eviction: &LateEviction) {
        let LateEviction { piece, bytes } = eviction;
        let index = self.index(piece.page);
        if let Some(page) = &mut self.pages[index] {
            self.counts.evictions += 1;
            page.device_mut(&bytes_of(piece.line))
                .copy_from_slice(bytes);
            page.show(&mut self.memory, piece.line);
        }
    }

    fn judge_write_piece(&mut self, master: &Master, piece: &Piece) -> Option<Kind> {
        let index = self.index(piece.page);
        let page = self.pages[index].as_ref()?;
        let (line, lines) = (&page.lines[piece.line], page.addresses_of(piece.line));
        let mistake = if line.dirty != 0 {
            Some(Kind::LostToEviction)
        } else if master.barriers.lack_maintenance(line.maintained) {
            Some(Kind::MissingBarrier)
        } else {
            None
        };
        if let Some(kind) = mistake {
            let cause = Some(self.places.get(line.writer));
            self.reports.add(kind, master.start, cause, lines);
        }
        mistake
    }

    /// A bus master may still be reading `bytes` at an address where the DDR held `before` at first:
    /// the CPU must not have changed it. Where it has, and lines leave the cache at any time, the bus
    /// master reads what is there now.
    pub fn judge_reread(&mut self, master: &Master, address: u64, before: &[u8], bytes: &mut [u8]) {
        let inside = self.clip(address, bytes.len() as u64);
        for piece in pieces(inside.start, inside.end - inside.start) {
            self.mark_read(master, &piece);
            let index = self.index(piece.page);
            let Some(page) = &self.pages[index] else {
                continue;
            };
            let line = &page.lines[piece.line];
            let at = host(piece.address() - address);
            let range = at..at + piece.bytes.len();
            let changed = page.device(&piece.bytes) != &before[range.clone()];
            if line.dirty & piece.mask == 0 && (!changed || line.stale & piece.mask != 0) {
                continue;
            }
            let (cause, lines) = (line.writer, page.addresses_of(piece.line));
            let address = lines.start;
            let cause = Some(self.places.get(cause));
            self.reports
                .add(Kind::MissingClean, master.start, cause, lines);
            if self.policy.kind() == Liberty::Evict {
                self.evict(address);
                if let Some(page) = &self.pages[index] {
                    bytes[range].copy_from_slice(page.device(&piece.bytes));
                }
            }
        }
    }

    /// A bus master writes memory anywhere. Whatever QEMU wrote to the region in its name before is
    /// put right.
    pub fn master_write(&mut self, master: &Master, address: u64, bytes: &[u8]) {
        let len = bytes.len() as u64;
        self.counts.bytes_written_by_devices += len;
        let inside = self.clip(address, len);
        let offset = |at: u64| host(at.clamp(address, address + len) - address);
        // Outside of the region the model has no cache.
        self.memory.write(address, &bytes[..offset(inside.start)]);
        if inside.end < address + len {
            let rest = inside.end.max(address);
            self.memory.write(rest, &bytes[offset(rest)..]);
        }
        for piece in pieces(inside.start, inside.end - inside.start) {
            let at = offset(piece.address());
            let new = &bytes[at..at + piece.bytes.len()];
            let index = self.index(piece.page);
            let memory = &mut self.memory;
            self.pages[index]
                .get_or_insert_with(|| Page::adopt(memory, piece.page, &piece.bytes, true));
            if master.coherent {
                self.write_snooped(&piece, new);
            } else {
                self.write_behind_cache(master, &piece, new);
            }
        }
    }

    /// A coherent port takes the line out of the caches before it writes.
    fn write_snooped(&mut self, piece: &Piece, new: &[u8]) {
        let index = self.index(piece.page);
        let Some(page) = &mut self.pages[index] else {
            return;
        };
        page.write_back(piece.line);
        page.drop_line(&mut self.memory, piece.line);
        let line = &mut page.lines[piece.line];
        (line.dirty, line.stale, line.accessed) = (0, 0, None);
        page.device_mut(&piece.bytes).copy_from_slice(new);
        page.show(&mut self.memory, piece.line);
    }

    fn write_behind_cache(&mut self, master: &Master, piece: &Piece, new: &[u8]) {
        let start = self.places.index(master.start);
        let index = self.index(piece.page);
        self.judge_write_piece(master, piece);
        let Some(page) = &mut self.pages[index] else {
            return;
        };
        let address = page.addresses_of(piece.line).start;
        let line = &mut page.lines[piece.line];
        // What becomes of the line from here on follows from this mistake, if it was one.
        line.dirty = 0;
        line.stale |= piece.mask;
        line.device = start;
        line.flight = self.flights.current();

        // The worst moments for a line to enter and to leave the cache.
        let unwritten = line.unwritten;
        if self.uncached.iter().any(|range| range.contains(&address)) {
            if !unwritten {
                page.drop_line(&mut self.memory, piece.line);
            }
        } else if self.policy.kind() == Liberty::Prefetch {
            self.prefetch(address);
        }
        let Some(page) = &mut self.pages[index] else {
            return;
        };
        page.device_mut(&piece.bytes).copy_from_slice(new);
        page.show(&mut self.memory, piece.line);
        if self.policy.kind() == Liberty::Evict && (unwritten || self.policy.coin()) {
            self.evict(address);
        }
        self.note(address);
    }

    /// Puts back what the CPU must see in a range that QEMU itself has just written to.
    pub fn undo_write(&mut self, address: u64, len: u64) {
        let inside = self.clip(address, len);
        for piece in pieces(inside.start, inside.end - inside.start) {
            let index = self.index(piece.page);
            if let Some(page) = &self.pages[index] {
                page.show(&mut self.memory, piece.line);
            }
        }
    }
}
