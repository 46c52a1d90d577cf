// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads recipes of the Yocto layer as far as this project writes them: assignments, `require`,
//! `inherit` and shell functions. Inline Python is not evaluated.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};

/// Values that BitBake would know and a recipe does not set.
pub(crate) type Known = BTreeMap<&'static str, String>;

/// The operators of an assignment, longest first.
const OPERATORS: [&str; 7] = ["??=", "?=", ":=", "+=", "=+", ".=", "="];

/// How deep variables may refer to each other.
const DEPTH: u32 = 16;

/// A recipe with what it requires.
#[derive(Debug, Default)]
pub(crate) struct Recipe {
    pub(crate) path: PathBuf,
    variables: BTreeMap<String, String>,
    functions: BTreeMap<String, String>,
    inherits: Vec<String>,
}

impl Recipe {
    /// Reads a recipe, an append or an include file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut recipe = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        recipe.include(path)?;
        Ok(recipe)
    }

    fn include(&mut self, path: &Path) -> Result<()> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let required = self
            .parse(&text)
            .with_context(|| path.display().to_string())?;
        for name in required {
            self.include(&path.with_file_name(name))?;
        }
        Ok(())
    }

    /// Takes the statements in; the names of the files that they require.
    fn parse(&mut self, text: &str) -> Result<Vec<String>> {
        let mut required = Vec::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            if let Some(name) = line.strip_suffix("() {") {
                let body = lines.by_ref().take_while(|line| *line != "}");
                let body = body.collect::<Vec<_>>().join("\n");
                self.functions.insert(name.trim().to_owned(), body);
                continue;
            }
            let mut statement = line.to_owned();
            while statement.ends_with('\\') {
                statement.pop();
                statement.push_str(lines.next().context("the last line ends in a backslash")?);
            }
            let inherit = |word| statement.strip_prefix(word);
            if let Some(names) = inherit("inherit ").or_else(|| inherit("inherit_defer ")) {
                self.inherits
                    .extend(names.split_whitespace().map(str::to_owned));
            } else if let Some(name) = statement.strip_prefix("require ") {
                required.push(name.trim().to_owned());
            } else {
                self.assign(&statement)?;
            }
        }
        Ok(required)
    }

    fn assign(&mut self, statement: &str) -> Result<()> {
        let (left, value) = statement
            .split_once('"')
            .and_then(|(left, rest)| Some((left.trim_end(), rest.trim_end().strip_suffix('"')?)))
            .with_context(|| format!("not understood: {statement}"))?;
        let operator = OPERATORS
            .iter()
            .find(|operator| left.ends_with(**operator))
            .with_context(|| format!("no assignment: {statement}"))?;
        let name = left.trim_end_matches(operator).trim_end();
        let old = self.variables.get(name).cloned();
        let new = match (*operator, old) {
            ("??=" | "?=", Some(old)) => old,
            ("+=", Some(old)) => format!("{old} {value}"),
            ("=+", Some(old)) => format!("{value} {old}"),
            (".=", Some(old)) => format!("{old}{value}"),
            _ => value.to_owned(),
        };
        self.variables.insert(name.to_owned(), new);
        Ok(())
    }

    /// The recipe's name and version, from the name of its file.
    pub(crate) fn name_and_version(&self) -> (String, Option<String>) {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        match stem.split_once('_') {
            Some((name, version)) => (name.to_owned(), Some(version.to_owned())),
            None => (stem.into_owned(), None),
        }
    }

    pub(crate) fn inherits(&self, class: &str) -> bool {
        self.inherits.iter().any(|name| name == class)
    }

    /// The value of a variable as it is written.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The value of a variable with all others put in.
    pub(crate) fn get(&self, name: &str, known: &Known) -> Result<String> {
        let value = self.variables.get(name).map_or("", String::as_str);
        let (text, unknown) = self.expand(value, known, 0)?;
        if let Some(other) = unknown.first() {
            bail!(
                "{}: {name} needs {other}, which is not known here",
                self.path.display()
            );
        }
        Ok(text)
    }

    /// The words of a variable.
    pub(crate) fn words(&self, name: &str, known: &Known) -> Result<Vec<String>> {
        let text = self.get(name, known)?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }

    /// The body of a shell function. What is not known stays for the shell, as BitBake has it.
    pub(crate) fn function(&self, name: &str, known: &Known) -> Result<String> {
        let body = self
            .functions
            .get(name)
            .with_context(|| format!("{} has no {name}", self.path.display()))?;
        Ok(self.expand(body, known, 0)?.0)
    }

    /// The text, and the names in it that have no value.
    fn expand(&self, text: &str, known: &Known, depth: u32) -> Result<(String, Vec<String>)> {
        if depth > DEPTH {
            bail!(
                "{}: variables refer to each other in a circle",
                self.path.display()
            );
        }
        let mut out = String::new();
        let mut unknown = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            let after = &rest[at + 2..];
            let end = after.find('}').context("${ without }")?;
            let name = &after[..end];
            let value = known
                .get(name)
                .map(String::as_str)
                .or_else(|| self.raw(name));
            if let Some(value) = value {
                let (value, lacking) = self.expand(value, known, depth + 1)?;
                out.push_str(&value);
                unknown.extend(lacking);
            } else {
                unknown.push(name.to_owned());
                out.push_str(&rest[at..at + 3 + end]);
            }
            rest = &after[end + 1..];
        }
        out.push_str(rest);
        Ok((out, unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str) -> Recipe {
        let mut recipe = Recipe {
            path: "x/lib-thing_1.2.bb".into(),
            ..Recipe::default()
        };
        recipe.parse(text).unwrap();
        recipe
    }

    #[test]
    fn joins_lines_and_lists() {
        let recipe = recipe("A = \"\\\n    one \\\n    two \\\n\"\nA += \"three\"\n");
        let words = recipe.words("A", &Known::new()).unwrap();
        assert_eq!(words, ["one", "two", "three"]);
    }

    #[test]
    fn puts_variables_in_and_leaves_the_shells_own() {
        let recipe = recipe("B = \"${D}/lib\"\ndo_install() {\n    cp $file ${B} ${other}\n}\n");
        let known = Known::from([("D", "/image".to_owned())]);
        let body = recipe.function("do_install", &known).unwrap();
        assert_eq!(body, "    cp $file /image/lib ${other}");
        assert!(recipe.get("B", &Known::new()).is_err());
    }

    #[test]
    fn notices_variables_that_need_each_other() {
        let recipe = recipe("A = \"${B}\"\nB = \"${A}\"\n");
        assert!(recipe.get("A", &Known::new()).is_err());
    }

    #[test]
    fn a_default_does_not_replace_a_value() {
        let recipe = recipe("A = \"1\"\nA ?= \"2\"\ninherit cargo useradd\n");
        assert_eq!(recipe.raw("A"), Some("1"));
        assert!(recipe.inherits("useradd") && !recipe.inherits("use"));
        assert_eq!(
            recipe.name_and_version(),
            ("lib-thing".to_owned(), Some("1.2".to_owned()))
        );
    }
}
