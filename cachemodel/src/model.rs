// SPDX-License-Identifier: GPL-2.0-or-later

//! The data cache over the pool's region: follows accesses of CPU and devices, gives each the bytes
//! it would see on hardware, and reports what hardware would get wrong.
//!
//! Accesses of the CPU arrive after the fact, because QEMU calls back after a load or store; cache
//! maintenance arrives before. `page` tells who sees which bytes; bus masters are in `master`.

use crate::barriers::Barriers;
use crate::counts::Counts;
use crate::flights::Flights;
use crate::memory::{host, Memory};
use crate::page::{bytes_of, pieces, Page, Piece, LINE, LINES, PAGE};
use crate::places::Places;
use crate::policy::{Kind as Liberty, Policy};
use crate::report::{Kind, Place, Reports};
use crate::unfinished::Writes;
use crate::walk::Attribute;
use std::ops::Range;

/// Who accesses memory, and how.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// The instruction and its process.
    pub place: Place,
    /// Whether the address is one of the kernel's, not one of a process.
    pub kernel: bool,
    /// What the page tables say of the address.
    pub attribute: Attribute,
}

/// Maintenance of one line, to the point of coherency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// DC CVAC: write back.
    Clean,
    /// DC CIVAC: write back and drop.
    CleanInvalidate,
    /// DC IVAC: drop.
    Invalidate,
}

/// What no barrier had waited for when a process was interrupted.
#[derive(Debug)]
pub(crate) struct Interrupted {
    barriers: Barriers,
    unfinished: Writes,
}

/// Lines that a surprise of the policy may hit: the last ones that something happened to.
const RECENT_LINES: usize = 256;

/// The cache and the memory behind it.
pub struct Model<M> {
    region: Range<u64>,
    pub(crate) pages: Vec<Option<Box<Page>>>,
    /// The DDR file: what the CPU sees.
    pub memory: M,
    pub(crate) policy: Policy,
    recent: Vec<u64>,
    /// Ranges that the running process reaches past the cache: not to be fetched in its sight.
    pub(crate) uncached: Vec<Range<u64>>,
    pub(crate) barriers: Barriers,
    pub(crate) flights: Flights,
    pub(crate) unfinished: Writes,
    pub(crate) places: Places,
    /// What was found.
    pub reports: Reports,
    /// What happened.
    pub counts: Counts,
}

impl<M> std::fmt::Debug for Model<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("region", &self.region)
            .field("policy", &self.policy)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl<M: Memory> Model<M> {
    /// A cache over `region`, which starts and ends at page boundaries.
    pub fn new(memory: M, region: Range<u64>, policy: Policy) -> Self {
        let nr_pages = host((region.end - region.start) / PAGE);
        Self {
            pages: (0..nr_pages).map(|_| None).collect(),
            region,
            memory,
            policy,
            recent: Vec::new(),
            uncached: Vec::new(),
            barriers: Barriers::default(),
            flights: Flights::default(),
            unfinished: Writes::default(),
            places: Places::default(),
            reports: Reports::default(),
            counts: Counts::default(),
        }
    }

    /// Whether an address is in the region.
    pub fn covers(&self, address: u64) -> bool {
        self.region.contains(&address)
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The region.
    pub fn region(&self) -> &Range<u64> {
        &self.region
    }

    /// Tells which physical ranges the running process reaches past the cache. The cache may hold
    /// lines of them, fetched through the kernel's mapping, but the process does not see those.
    pub fn set_uncached(&mut self, ranges: Vec<Range<u64>>) {
        self.uncached = ranges;
    }

    /// The barriers until now.
    pub fn barriers(&self) -> Barriers {
        self.barriers
    }

    /// A bus master starts a transfer.
    pub fn start_transfer(&mut self) {
        self.counts.transfers += 1;
        self.flights.start();
    }

    /// A program looks whether a bus master is done.
    pub fn look_at(&mut self, master: u32) {
        self.flights.observe(master, self.flights.current());
    }

    /// The CPU sleeps: every bus master is done when it wakes up.
    pub fn sleep(&mut self) {
        self.flights.end_all();
    }

    /// The part of a range that is in the region.
    pub(crate) fn clip(&self, address: u64, len: u64) -> Range<u64> {
        let Range { start, end } = self.region;
        address.clamp(start, end)..address.saturating_add(len).clamp(start, end)
    }

    pub(crate) fn index(&self, page: u64) -> usize {
        host((page - self.region.start) / PAGE)
    }

    /// The CPU loaded `len` bytes of the region.
    pub fn load(&mut self, access: &Access, address: u64, len: u64) {
        self.counts.cpu_loads += 1;
        for piece in pieces(address, len) {
            self.load_piece(access, &piece);
        }
        self.surprise();
    }

    fn load_piece(&mut self, access: &Access, piece: &Piece) {
        let index = self.index(piece.page);
        let memory = &mut self.memory;
        let page = self.pages[index]
            .get_or_insert_with(|| Page::adopt(memory, piece.page, &piece.bytes, false));
        let line = &page.lines[piece.line];
        let dropped = line.accessed.is_none();
        let as_before = line.accessed == Some(access.attribute);
        if line.present && as_before && line.stale & piece.mask == 0 && page.cleared == 0 {
            return;
        }
        self.touch(access, piece, false);
        if access.attribute == Attribute::NonCacheable {
            return;
        }
        let Some(page) = &mut self.pages[index] else {
            return;
        };
        let lines = page.addresses_of(piece.line);
        let line = &mut page.lines[piece.line];
        if line.stale & piece.mask != 0 {
            line.stale = 0;
            let cause = self.places.get(line.device);
            if dropped && self.flights.is_in_flight(cause.master, line.flight) {
                // Nobody can know yet what is there: this looks whether the device is done.
                self.flights.observe(cause.master, line.flight);
            } else {
                self.reports
                    .add(Kind::MissingInvalidate, access.place, Some(cause), lines);
            }
        }
        if !line.present {
            page.fetch(&self.memory, piece.line);
        }
    }

    /// The CPU stored `len` bytes of the region.
    pub fn store(&mut self, access: &Access, address: u64, len: u64) {
        self.counts.cpu_stores += 1;
        for piece in pieces(address, len) {
            let index = self.index(piece.page);
            let memory = &mut self.memory;
            self.pages[index]
                .get_or_insert_with(|| Page::adopt(memory, piece.page, &piece.bytes, true));
            self.store_piece(access, &piece, false);
        }
        self.surprise();
    }

    /// The CPU is about to clear the line at `address` by DC ZVA.
    pub fn zero_line(&mut self, access: &Access, address: u64) {
        self.counts.cpu_stores += 1;
        for piece in pieces(address / LINE * LINE, LINE) {
            let index = self.index(piece.page);
            let memory = &mut self.memory;
            self.pages[index]
                .get_or_insert_with(|| Page::adopt(memory, piece.page, &(0..0), false));
            self.store_piece(access, &piece, true);
        }
        self.surprise();
    }

    /// The DDR file shows what the CPU stored or, for `zeroes`, will do so at once.
    fn store_piece(&mut self, access: &Access, piece: &Piece, zeroes: bool) {
        self.judge_store(access, piece);
        self.touch(access, piece, true);
        let writer = self.places.index(access.place);
        let index = self.index(piece.page);
        let Some(page) = &mut self.pages[index] else {
            return;
        };
        page.lines[piece.line].writer = writer;
        page.lines[piece.line].stored = self.barriers.of_store();
        if access.attribute == Attribute::NonCacheable {
            let line = page.addresses_of(piece.line).start;
            let before = page.device(&bytes_of(piece.line));
            self.unfinished.add(line, before, true);
            if zeroes {
                page.device_mut(&piece.bytes).fill(0);
            } else {
                page.take_uncached_store(&self.memory, &piece.bytes);
            }
            return;
        }
        if zeroes {
            page.clear(piece.line);
        } else if page.lines[piece.line].present {
            page.take_store(&self.memory, &piece.bytes);
        } else {
            page.fetch(&self.memory, piece.line);
        }
        let line = &mut page.lines[piece.line];
        line.unwritten = true;
        line.dirty |= piece.mask;
        line.stale &= !piece.mask;
        line.by_kernel = access.kernel;
        let whole = line.dirty == u64::MAX;
        if access.kernel {
            let cleared = zeroes || page.is_zero(piece.line);
            let bit = 1 << piece.line;
            if !cleared {
                page.cleared &= !bit;
            } else if whole {
                page.cleared |= bit;
            }
        }
        self.note(piece.page + piece.line as u64 * LINE);
    }

    /// A store of a process to what a device is reading, or to a line that one is writing, as far as
    /// anybody knows.
    fn judge_store(&mut self, access: &Access, piece: &Piece) {
        let index = self.index(piece.page);
        let Some(page) = &mut self.pages[index] else {
            return;
        };
        if access.kernel || access.attribute == Attribute::NonCacheable {
            return;
        }
        let lines = page.addresses_of(piece.line);
        let line = &mut page.lines[piece.line];
        // What becomes of the line from here on follows from this mistake.
        if line.reading & piece.mask != 0 {
            line.reading &= !piece.mask;
            let cause = self.places.get(line.reader);
            if self.flights.is_in_flight(cause.master, line.read_flight) {
                self.reports
                    .add(Kind::MissingClean, access.place, Some(cause), lines.clone());
            }
        }
        if line.stale != 0 {
            let cause = self.places.get(line.device);
            if self.flights.is_in_flight(cause.master, line.flight) {
                line.stale = 0;
                self.reports
                    .add(Kind::LostToEviction, access.place, Some(cause), lines);
            }
        }
    }

    /// What an access of the CPU means for the attribute of the line, and what that of a process
    /// means for memory that the kernel cleared for it.
    fn touch(&mut self, access: &Access, piece: &Piece, stored: bool) {
        if !access.kernel {
            self.reached_by_process(access, piece.page);
        }
        let index = self.index(piece.page);
        let Some(page) = &mut self.pages[index] else {
            return;
        };
        let line = &mut page.lines[piece.line];
        let before = line.accessed.replace(access.attribute);
        if before == line.accessed {
            return;
        }
        let toucher = self.places.index(access.place);
        let other = std::mem::replace(&mut line.toucher, toucher);
        if before.is_none() {
            return;
        }
        // From now on the CPU is shown the line of the other kind, with what it has just stored.
        let mut new = vec![0; piece.bytes.len()];
        let address = piece.page + piece.bytes.start as u64;
        self.memory.read(address, &mut new);
        page.show(&mut self.memory, piece.line);
        if stored {
            self.memory.write(address, &new);
        }
        let cause = Some(self.places.get(other));
        let lines = page.addresses_of(piece.line);
        self.reports
            .add(Kind::MixedAttributes, access.place, cause, lines);
    }

    /// A process accesses a page: if the kernel cleared it for that, the zeroes must be in the DDR.
    fn reached_by_process(&mut self, access: &Access, page: u64) {
        let index = self.index(page);
        let Some(page) = &mut self.pages[index] else {
            return;
        };
        if std::mem::take(&mut page.cleared) != u64::MAX {
            return;
        }
        for number in 0..LINES {
            let line = &page.lines[number];
            if line.dirty != 0 && line.by_kernel {
                let cause = Some(self.places.get(line.writer));
                let lines = page.addresses_of(number);
                self.reports
                    .add(Kind::UncleanZeroes, access.place, cause, lines);
            }
        }
    }

    /// The CPU is about to maintain the line at `address`, which is in the region.
    pub fn maintain(&mut self, operation: Maintenance, access: &Access, address: u64) {
        self.counts.maintained(operation);
        let (page, number) = (address / PAGE * PAGE, host(address % PAGE / LINE));
        if !access.kernel {
            self.reached_by_process(access, page);
        }
        let index = self.index(page);
        let Some(page) = &mut self.pages[index] else {
            self.counts.redundant(operation);
            return;
        };
        let lines = page.addresses_of(number);
        let line = &mut page.lines[number];
        let (dirty, stale) = (line.dirty != 0, line.stale != 0);
        let drops = operation != Maintenance::Clean;
        if !dirty && !(drops && (stale || line.accessed.is_some())) {
            self.counts.redundant(operation);
        }
        let cleans = operation != Maintenance::Invalidate;
        let mistake = match (dirty, stale, cleans) {
            (true, _, false) => Some(Kind::DiscardedStores),
            (true, true, true) => Some(Kind::StaleWriteBack),
            _ => None,
        };
        if let Some(kind) = mistake {
            let cause = Some(self.places.get(line.writer));
            self.reports.add(kind, access.place, cause, lines);
        }
        if dirty {
            (line.dirty, line.stale) = (0, 0);
            line.maintained = self.barriers.of_maintenance();
        }
        if cleans && page.lines[number].unwritten {
            let before = page.device(&bytes_of(number));
            self.unfinished.add(address / LINE * LINE, before, false);
            page.write_back(number);
            self.counts.lines_written_back += 1;
        }
        let line = &mut page.lines[number];
        let device = self.places.get(line.device).master;
        if drops && line.stale != 0 && self.flights.is_in_flight(device, line.flight) {
            // Too early: the device may write after this, and the line be fetched before that.
            line.accessed = None;
            if self.policy.kind() != Liberty::Prefetch {
                page.drop_line(&mut self.memory, number);
            }
        } else if drops {
            page.drop_line(&mut self.memory, number);
            let line = &mut page.lines[number];
            (line.stale, line.accessed) = (0, None);
        }
        self.note(address / LINE * LINE);
        self.surprise();
    }

    /// The CPU waited until its maintenance was complete.
    pub fn barrier(&mut self) {
        self.barriers.wait();
        self.unfinished.finish();
    }

    /// The CPU ordered its stores before all that follows.
    pub fn ordering_barrier(&mut self) {
        self.barriers.order();
        self.unfinished.finish_stores();
    }

    /// What no barrier has waited for: to be kept while a process is interrupted.
    pub(crate) fn interrupt(&self) -> Interrupted {
        Interrupted {
            barriers: self.barriers,
            unfinished: self.unfinished.clone(),
        }
    }

    /// A process goes on that was interrupted.
    pub(crate) fn resume(&mut self, interrupted: Interrupted) {
        self.barriers.resume(interrupted.barriers);
        self.unfinished.resume(interrupted.unfinished);
    }

    /// Remembers a line that something happened to.
    pub(crate) fn note(&mut self, line: u64) {
        if self.policy.kind() == Liberty::Never {
            return;
        }
        if self.recent.len() < RECENT_LINES {
            self.recent.push(line);
        } else {
            let slot = self.policy.pick(RECENT_LINES);
            self.recent[slot] = line;
        }
    }

    /// Lets the policy do something to some line.
    fn surprise(&mut self) {
        if self.recent.is_empty() || !self.policy.surprises() {
            return;
        }
        let line = self.recent[self.policy.pick(self.recent.len())];
        match self.policy.kind() {
            Liberty::Never => {}
            Liberty::Evict => self.evict(line),
            Liberty::Prefetch => self.prefetch(line),
        }
    }

    /// A line leaves the cache, after it is written back.
    pub(crate) fn evict(&mut self, line: u64) {
        let (index, number) = (self.index(line), host(line % PAGE / LINE));
        if let Some(page) = &mut self.pages[index] {
            if page.lines[number].present {
                self.counts.evictions += 1;
                page.write_back(number);
                page.drop_line(&mut self.memory, number);
            }
        }
    }

    /// A line enters the cache.
    pub(crate) fn prefetch(&mut self, line: u64) {
        let (index, number) = (self.index(line), host(line % PAGE / LINE));
        if let Some(page) = &mut self.pages[index] {
            let uncached = page.lines[number].accessed == Some(Attribute::NonCacheable);
            if !page.lines[number].present && !uncached {
                self.counts.prefetches += 1;
                page.prefetch(number);
            }
        }
    }

    /// The physical address of the first line of which the DDR file does not hold what the CPU must
    /// see: an access that the model was not told of.
    pub fn first_wrong_line(&self) -> Option<u64> {
        self.pages.iter().flatten().find_map(|page| {
            let line = page.first_wrong(&self.memory)?;
            Some(page.addresses_of(line).start)
        })
    }
}
