// SPDX-License-Identifier: GPL-2.0-or-later

//! Numbers for places, so that a cache line remembers one in four bytes.

use crate::memory::host;
use crate::report::Place;
use std::collections::HashMap;

/// Every place seen, numbered.
#[derive(Debug)]
pub(crate) struct Places {
    list: Vec<Place>,
    index: HashMap<Place, u32>,
    /// The last ones by address: loops store from the same few places again and again.
    recent: [(Place, u32); RECENT],
}

/// Places that are found without hashing.
const RECENT: usize = 64;

impl Default for Places {
    fn default() -> Self {
        let unknown = Place::default();
        Self {
            list: vec![unknown],
            index: HashMap::from([(unknown, 0)]),
            recent: [(unknown, 0); RECENT],
        }
    }
}

impl Places {
    /// The number of a place.
    pub(crate) fn index(&mut self, place: Place) -> u32 {
        let slot = host(place.pc / 4) % RECENT;
        if self.recent[slot].0 == place {
            return self.recent[slot].1;
        }
        let next = u32::try_from(self.list.len()).unwrap_or(0);
        let index = *self.index.entry(place).or_insert(next);
        if index == next {
            self.list.push(place);
        }
        self.recent[slot] = (place, index);
        index
    }

    /// The place with a number.
    pub(crate) fn get(&self, index: u32) -> Place {
        let index = usize::try_from(index).unwrap_or(0);
        self.list.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_one_number() {
        let mut places = Places::default();
        let place = |pc| Place {
            pc,
            ..Place::default()
        };
        let numbers = [5, 6, 5, 0].map(|pc| places.index(place(pc)));
        assert_eq!(numbers, [1, 2, 1, 0]);
        assert_eq!(places.get(2), place(6));
    }
}
