// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is committed of each program.

use toml::{Table, Value};

const TEXT: &str = include_str!("../mistakes.toml");

/// A program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) name: String,
    /// What its mistake is.
    pub(crate) wrong: String,
}

/// All programs.
///
/// # Panics
///
/// Where the committed table is not one.
pub(crate) fn read() -> Vec<Mistake> {
    let table: Table = TEXT.parse().expect("the table is TOML");
    let entries = table.get("mistake").and_then(Value::as_array);
    let entry = |entry: &Value| {
        let text = |key| entry.get(key).and_then(Value::as_str).map(str::to_owned);
        Mistake {
            name: text("name").expect("each entry has a name"),
            wrong: text("wrong").expect("each entry says what is wrong"),
        }
    };
    entries.into_iter().flatten().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_said_once() {
        let mistakes = read();
        assert!(mistakes.len() >= 24);
        let mut names: Vec<_> = mistakes.iter().map(|mistake| &mistake.name).collect();
        names.sort();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
