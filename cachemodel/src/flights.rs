// SPDX-License-Identifier: GPL-2.0-or-later

//! Which transfers a program can know to be over.
//!
//! QEMU's devices finish in an instant; real ones take their time. Until the program has looked, or
//! slept, a device may still be at work: what the CPU invalidates before that, it invalidates too
//! early.

use std::collections::HashMap;

/// Transfers, numbered in the order in which they were started.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    current: u32,
    /// The last transfer of each bus master that is known to be over.
    over: HashMap<u32, u32>,
    /// As above, of all bus masters.
    all_over: u32,
}

impl Flights {
    /// A bus master starts a transfer.
    pub(crate) fn start(&mut self) {
        self.current += 1;
    }

    /// The number of the transfer that is being executed.
    pub(crate) fn current(&self) -> u32 {
        self.current
    }

    /// Whether a bus master may still be at work on a transfer.
    pub(crate) fn is_in_flight(&self, master: u32, transfer: u32) -> bool {
        let over = || self.over.get(&master).copied().unwrap_or(0);
        transfer > self.all_over && transfer > over()
    }

    /// A program looked at what tells of a transfer, and of those before it.
    pub(crate) fn observe(&mut self, master: u32, transfer: u32) {
        let over = self.over.entry(master).or_default();
        *over = transfer.max(*over);
    }

    /// Time passed: all transfers are over.
    pub(crate) fn end_all(&mut self) {
        self.all_over = self.current;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_in_flight_until_somebody_looks_at_its_master() {
        let mut flights = Flights::default();
        flights.start();
        assert!(flights.is_in_flight(1, 1));
        flights.observe(2, 1);
        assert!(flights.is_in_flight(1, 1));
        flights.observe(1, 1);
        assert!(!flights.is_in_flight(1, 1));
        flights.start();
        assert!(flights.is_in_flight(1, 2));
    }

    #[test]
    fn time_ends_every_transfer() {
        let mut flights = Flights::default();
        flights.start();
        flights.end_all();
        assert!(!flights.is_in_flight(1, 1) && !flights.is_in_flight(2, 1));
    }

    #[test]
    fn a_late_look_at_an_old_transfer_does_not_make_a_new_one_unknown() {
        let mut flights = Flights::default();
        flights.start();
        flights.start();
        flights.observe(1, 2);
        flights.observe(1, 1);
        assert!(!flights.is_in_flight(1, 2));
    }
}
