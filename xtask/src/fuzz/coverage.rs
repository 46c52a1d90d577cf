// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a run of the fuzzer reached of the driver, and what it did not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{bail, Result};

use super::places::Place;

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
        let strange = offsets.difference(&known).count();
        if offsets.is_empty() || strange > 0 {
            bail!(
                "KCOV tells {} places, {strange} of which this driver lacks",
                offsets.len()
            );
        }
        let with = |place: Place| {
            let reached = offsets.contains(&place.offset);
            (place, reached)
        };
        let places = places.into_iter().map(with).collect();
        Ok(Self { driver, places })
    }

    /// The report: totals, commands, and the lines that were not reached. The second part is about
    /// the branches of other lines.
    pub(super) fn report(&self) -> (String, String) {
        let checks = self.places.iter().filter(|(place, _)| place.panics);
        let (checks, all) = (checks.count(), self.places.len());
        let reached = self.places.iter().filter(|(_, reached)| *reached).count();
        let mut text = format!(
            "KCOV: {reached} of {all} instrumented places of the driver reached, \
             beside {checks} that panic\n"
        );
        for (what, wanted) in [("reached", true), ("NOT reached", false)] {
            let commands = self.commands();
            let names = commands.iter().filter(|(_, reached)| *reached == wanted);
            let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
            text.push_str(&format!("commands {what}: {}\n", names.join(" ")));
        }
        text.push_str("\nplaces reached, and all, by file:\n");
        for (file, (reached, all)) in self.files() {
            text.push_str(&format!("{reached:6} {all:4}  {file}\n"));
        }
        text.push_str("\nlines of which nothing was reached:\n");
        let mut branches = String::new();
        for ((file, line), places) in self.lines() {
            let source = self.source(file, line);
            if !source.is_empty() && !source.contains(char::is_alphanumeric) {
                // The end of a scope, where values are dropped.
                continue;
            }
            let place = format!("  {file}:{line}: {source}\n");
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

    /// Places by line of the driver, each with its column and innermost function, and whether it was
    /// reached in any copy of the code. What panics is left out.
    fn lines(&self) -> BTreeMap<(&str, u64), BTreeMap<String, bool>> {
        let mut lines = BTreeMap::<_, BTreeMap<String, bool>>::new();
        for (place, reached) in self.places.iter().filter(|(place, _)| !place.panics) {
            // Line 0 is code of the compiler's own, column 0 the start of a function, which may be a
            // copy that nobody calls because all callers have their own.
            let frames = &mut place.frames.iter().filter(|frame| frame.line > 0);
            let Some(frame) = frames.next().filter(|frame| frame.column > 0) else {
                continue;
            };
            let line = lines.entry((frame.file.as_str(), frame.line)).or_default();
            let name = format!("column {}, {}", frame.column, place.innermost);
            *line.entry(name).or_insert(false) |= reached;
        }
        lines
    }

    /// Reached places and all places of each file.
    fn files(&self) -> BTreeMap<&str, (u32, u32)> {
        let mut files = BTreeMap::<_, (u32, u32)>::new();
        for (place, reached) in self.places.iter().filter(|(place, _)| !place.panics) {
            let first = place.frames.first();
            let file = first.map_or("(other crates)", |frame| &frame.file);
            let counts = files.entry(file).or_default();
            counts.0 += u32::from(*reached);
            counts.1 += 1;
        }
        files
    }

    /// The commands of ioctl, in the order of the sources, and whether each was reached; those that
    /// the compiler does not tell apart from others are in parentheses.
    fn commands(&self) -> Vec<(String, bool)> {
        let mut lines = BTreeMap::<(&str, u64), bool>::new();
        for (place, reached) in &self.places {
            for frame in &place.frames {
                let line = lines.entry((frame.file.as_str(), frame.line));
                *line.or_insert(false) |= reached;
            }
        }
        let files: BTreeSet<&str> = lines.keys().map(|(file, _)| *file).collect();
        let mut commands = Vec::new();
        for file in files {
            let source = fs::read_to_string(self.driver.join(file)).unwrap_or_default();
            for (line, text) in (1..).zip(source.lines()) {
                let pattern = text.split_once("=>").map_or("", |(pattern, _)| pattern);
                let reached = lines.get(&(file, line));
                for name in names_of_commands(pattern) {
                    let name = match reached {
                        Some(_) => name.to_owned(),
                        None => format!("({name})"),
                    };
                    commands.push((name, reached.is_some_and(|reached| *reached)));
                }
            }
        }
        commands
    }

    fn source(&self, file: &str, line: u64) -> String {
        let source = fs::read_to_string(self.driver.join(file)).unwrap_or_default();
        let index = usize::try_from(line).unwrap_or(0).saturating_sub(1);
        let text = source.lines().nth(index).unwrap_or_default();
        text.trim().to_owned()
    }
}

/// Names in a pattern that are commands of ioctl.
fn names_of_commands(pattern: &str) -> impl Iterator<Item = &str> {
    let words = pattern.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| {
        ["IOC_", "A_", "B_", "OLD_"]
            .iter()
            .any(|p| word.starts_with(p))
    })
}

#[cfg(test)]
mod tests {
    use super::super::places::Frame;
    use super::*;

    fn place(offset: u64, line: u64, panics: bool) -> Place {
        let frame = Frame {
            file: "file.rs".to_owned(),
            line,
            column: 1,
        };
        Place {
            offset,
            innermost: "g".to_owned(),
            frames: vec![frame],
            panics,
        }
    }

    #[test]
    fn a_line_that_was_not_reached_is_named() {
        let places = vec![place(4, 7, false), place(8, 9, false), place(12, 11, true)];
        let offsets = BTreeSet::from([4]);
        let coverage = Coverage::new(Path::new("/nowhere"), places, &offsets).unwrap();
        let (text, _) = coverage.report();
        assert!(text.contains("1 of 3") && text.contains("file.rs:9: "));
        assert!(!text.contains("file.rs:7") && !text.contains("file.rs:11"));
    }

    #[test]
    fn offsets_of_another_driver_are_an_error() {
        let places = || vec![place(4, 7, false)];
        assert!(Coverage::new(Path::new("/"), places(), &BTreeSet::from([8])).is_err());
        assert!(Coverage::new(Path::new("/"), places(), &BTreeSet::new()).is_err());
    }

    #[test]
    fn lines_of_the_fuzzer_are_told_from_others() {
        assert_eq!(offsets("reached: 10 2c"), Some(vec![0x10, 0x2c]));
        assert_eq!(offsets("reached: x"), None);
        assert_eq!(offsets("10 operations"), None);
    }

    #[test]
    fn commands_are_found_in_patterns() {
        let names: Vec<_> = names_of_commands("abi::A_FLUSH | abi::OLD_FLUSH ").collect();
        assert_eq!(names, ["A_FLUSH", "OLD_FLUSH"]);
        assert_eq!(names_of_commands("Err(error)").count(), 0);
    }
}
