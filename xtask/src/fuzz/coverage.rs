// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a run of the fuzzer reached of the driver, and what it did not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{bail, Result};

use super::calls::Never;
use super::places::{Frame, Place};
use super::unseen::{Unseen, UNSEEN};

/// How the fuzzer's lines with offsets of reached instructions begin.
const PREFIX: &str = "reached: ";

/// The offsets that a line of the fuzzer's output names; `None` if it is another line.
pub(super) fn offsets(line: &str) -> Option<Vec<u64>> {
    let words = line.strip_prefix(PREFIX)?.split_whitespace();
    words
        .map(|word| u64::from_str_radix(word, 16).ok())
        .collect()
}

/// The places of a driver, and which of them were reached.
pub(super) struct Coverage<'a> {
    driver: &'a Path,
    places: Vec<(Place, bool)>,
}

impl<'a> Coverage<'a> {
    /// Finds the reached offsets among the places of the driver, whose sources are in `driver`.
    pub(super) fn new(
        driver: &'a Path,
        places: Vec<Place>,
        offsets: &BTreeSet<u64>,
    ) -> Result<Self> {
        let known: BTreeSet<u64> = places.iter().map(|place| place.offset).collect();
        // What lies behind the driver's code is another module's.
        let last = known.last().copied().unwrap_or(0);
        let strange: Vec<_> = offsets.difference(&known).filter(|o| **o <= last).collect();
        if offsets.is_empty() || !strange.is_empty() {
            bail!(
                "KCOV tells {} places, of which this driver lacks {strange:x?}",
                offsets.len()
            );
        }
        let never = |place: &&Place| place.never.is_some() && offsets.contains(&place.offset);
        if let Some(place) = places.iter().find(never) {
            bail!("{place:?} cannot be reached, but was");
        }
        let with = |place: Place| {
            let reached = offsets.contains(&place.offset);
            (place, reached)
        };
        let places = places.into_iter().map(with).collect();
        Ok(Self { driver, places })
    }

    /// The report: totals, files, and the lines that were not reached. The second part is about the
    /// branches of other lines.
    pub(super) fn report(&self) -> (String, String) {
        let never = |why| {
            let such = |(place, _): &&(Place, bool)| place.never == Some(why);
            self.places.iter().filter(such).count()
        };
        let (panics, unused) = (never(Never::Panics), never(Never::Unused));
        let all = self.places.len() - panics - unused;
        let reached = self.places.iter().filter(|(_, reached)| *reached).count();
        let unseen = self.unreached().filter(|place| is_unseen(place)).count();
        let mut text = format!(
            "KCOV: {reached} of {all} instrumented places of the driver reached, {unseen} are where KCOV \
             does not see; {panics} more panic, {unused} are in functions that nothing calls\n"
        );
        text.push_str("\nplaces reached, not seen, and all, by file:\n");
        for (file, counts) in self.files() {
            let Counts {
                reached,
                unseen,
                all,
            } = counts;
            text.push_str(&format!("{reached:6} {unseen:4} {all:4}  {file}\n"));
        }
        text.push_str("\nfunctions that KCOV does not see, or not wholly:\n");
        for Unseen {
            file,
            function,
            why,
        } in UNSEEN
        {
            text.push_str(&format!("  {file} {function}: {why}\n"));
        }
        text.push_str("\nother lines of which nothing was reached:\n");
        let mut branches = String::new();
        for ((file, line, function), places) in self.lines() {
            let source = self.source(file, line);
            if !source.is_empty() && !source.contains(char::is_alphanumeric) {
                // The end of a scope, where values are dropped.
                continue;
            }
            let place = format!("  {file}:{line} {function}: {source}\n");
            if !places.values().any(|reached| *reached) {
                text.push_str(&place);
                continue;
            }
            for (name, _) in places.iter().filter(|(_, reached)| !**reached) {
                branches.push_str(&format!("{place}      {name}\n"));
            }
        }
        (text, branches)
    }

    /// Says what is wrong: a file of which nothing was reached that KCOV sees, or a function of which
    /// everything was reached that it is said not to see.
    pub(super) fn judge(&self) -> Result<()> {
        for (file, counts) in self.files() {
            if counts.reached == 0 && counts.unseen < counts.all {
                bail!("nothing of {file} was reached");
            }
        }
        for unseen in UNSEEN {
            let Unseen { file, function, .. } = unseen;
            let is_it = |frame: &Frame| unseen.is(frame);
            if !self.unreached().any(|place| place.frames.iter().any(is_it)) {
                bail!(
                    "all of {function} in {file} was reached, or it is gone: take it off the list"
                );
            }
        }
        Ok(())
    }

    /// Places that can be reached and were not.
    fn unreached(&self) -> impl Iterator<Item = &Place> {
        let places = self.places.iter();
        let unreached = places.filter(|(place, reached)| !reached && place.never.is_none());
        unreached.map(|(place, _)| place)
    }

    /// Places by line of the driver, each with its column and innermost function, and whether it was
    /// reached in any copy of the code. What cannot be reached or seen is left out.
    fn lines(&self) -> BTreeMap<Line<'_>, BTreeMap<String, bool>> {
        let mut lines = BTreeMap::<_, BTreeMap<String, bool>>::new();
        let places = self.places.iter();
        for (place, reached) in places.filter(|(place, _)| place.never.is_none()) {
            // Line 0 is code of the compiler's own, column 0 the start of a function.
            let frames = &mut place.frames.iter().filter(|frame| frame.line > 0);
            let Some(frame) = frames.next().filter(|frame| frame.column > 0) else {
                continue;
            };
            if !reached && is_unseen(place) {
                continue;
            }
            let line = (frame.file.as_str(), frame.line, frame.function.as_str());
            let line = lines.entry(line).or_default();
            let name = format!("column {}, {}", frame.column, place.innermost);
            *line.entry(name).or_insert(false) |= reached;
        }
        lines
    }

    /// The places of each file.
    fn files(&self) -> BTreeMap<&str, Counts> {
        let mut files = BTreeMap::<_, Counts>::new();
        let places = self.places.iter();
        for (place, reached) in places.filter(|(place, _)| place.never.is_none()) {
            let first = place.frames.first();
            let file = first.map_or("(other crates)", |frame| &frame.file);
            let counts = files.entry(file).or_default();
            counts.reached += u32::from(*reached);
            counts.unseen += u32::from(!reached && is_unseen(place));
            counts.all += 1;
        }
        files
    }

    fn source(&self, file: &str, line: u64) -> String {
        let source = fs::read_to_string(self.driver.join(file)).unwrap_or_default();
        let index = usize::try_from(line).unwrap_or(0).saturating_sub(1);
        let text = source.lines().nth(index).unwrap_or_default();
        text.trim().to_owned()
    }
}

/// A line: file, number and function.
type Line<'a> = (&'a str, u64, &'a str);

/// Places of a file.
#[derive(Default)]
struct Counts {
    reached: u32,
    unseen: u32,
    all: u32,
}

/// Whether a place is part of a function that KCOV does not see.
fn is_unseen(place: &Place) -> bool {
    let listed = |frame: &Frame| UNSEEN.iter().any(|unseen| unseen.is(frame));
    place.frames.iter().any(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64, line: u64, never: Option<Never>) -> Place {
        let frame = Frame {
            file: "file.rs".to_owned(),
            line,
            column: 1,
            function: "f".to_owned(),
        };
        Place {
            offset,
            innermost: "g".to_owned(),
            frames: vec![frame],
            never,
        }
    }

    #[test]
    fn a_line_that_was_not_reached_is_named() {
        let places = vec![
            place(4, 7, None),
            place(8, 9, None),
            place(12, 11, Some(Never::Panics)),
        ];
        let offsets = BTreeSet::from([4]);
        let coverage = Coverage::new(Path::new("/nowhere"), places, &offsets).unwrap();
        let (text, _) = coverage.report();
        assert!(text.contains("1 of 2") && text.contains("file.rs:9 f: "));
        assert!(!text.contains("file.rs:7") && !text.contains("file.rs:11"));
    }

    #[test]
    fn offsets_of_another_driver_are_an_error() {
        let places = || vec![place(4, 7, None)];
        assert!(Coverage::new(Path::new("/"), places(), &BTreeSet::from([2])).is_err());
        assert!(Coverage::new(Path::new("/"), places(), &BTreeSet::new()).is_err());
    }

    #[test]
    fn offsets_of_what_comes_after_the_driver_are_left_out() {
        let offsets = BTreeSet::from([4, 8]);
        let coverage = Coverage::new(Path::new("/"), vec![place(4, 7, None)], &offsets);
        assert!(coverage.unwrap().report().0.contains("1 of 1"));
    }

    #[test]
    fn a_file_without_a_reached_place_is_an_error() {
        let judged = |offset: u64| {
            let mut other = place(8, 9, None);
            other.frames[0].file = "other.rs".to_owned();
            let places = vec![place(4, 7, None), other];
            let coverage = Coverage::new(Path::new("/"), places, &BTreeSet::from([offset]));
            coverage.unwrap().judge().unwrap_err().to_string()
        };
        assert_eq!(judged(4), "nothing of other.rs was reached");
        assert_eq!(judged(8), "nothing of file.rs was reached");
    }

    #[test]
    fn a_function_that_is_gone_is_taken_off_the_list() {
        let places = vec![place(4, 7, None)];
        let coverage = Coverage::new(Path::new("/"), places, &BTreeSet::from([4])).unwrap();
        let why = coverage.judge().unwrap_err().to_string();
        assert!(why.contains(UNSEEN[0].function), "{why}");
    }

    #[test]
    fn lines_of_the_fuzzer_are_told_from_others() {
        assert_eq!(offsets("reached: 10 2c"), Some(vec![0x10, 0x2c]));
        assert_eq!(offsets("reached: x"), None);
        assert_eq!(offsets("10 operations"), None);
    }
}
