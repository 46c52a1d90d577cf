// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which Debian mirror the system uses, read from apt's own configuration.

use std::fs;
use std::path::Path;

use anyhow::{bail, Context, Result};

/// One suite of one mirror, from either of apt's two formats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Where the archive is, without a slash at the end.
    pub(crate) uri: String,
    /// For example `bookworm` or `bookworm-security`.
    pub(crate) suite: String,
}

/// Reads `/etc/apt` for the suites of the running release that hold Debian's `main`.
///
/// The first one is the release itself.
///
/// # Errors
///
/// When no source of the release is configured.
pub(crate) fn of_release(codename: &str) -> Result<Vec<Source>> {
    let mut all = Vec::new();
    if let Ok(text) = fs::read_to_string("/etc/apt/sources.list") {
        all.extend(parse_lines(&text));
    }
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            match path.extension().and_then(|e| e.to_str()) {
                Some("sources") => all.extend(parse_stanzas(&text)),
                Some("list") => all.extend(parse_lines(&text)),
                _ => {}
            }
        }
    }
    select(all, codename)
}

/// Keeps the release and its updates, the release first.
fn select(all: Vec<Source>, codename: &str) -> Result<Vec<Source>> {
    let wanted = [
        codename.to_owned(),
        format!("{codename}-updates"),
        format!("{codename}-security"),
    ];
    let mut found: Vec<Source> = Vec::new();
    for suite in &wanted {
        found.extend(all.iter().find(|source| source.suite == *suite).cloned());
    }
    match found.first() {
        Some(first) if first.suite == codename => Ok(found),
        _ => bail!("apt has no source for {codename} main: see /etc/apt/sources.list.d"),
    }
}

/// The address under which files can be fetched: a `mirror+file:` list gives its first mirror.
pub(crate) fn resolve(uri: &str) -> Result<String> {
    let Some(list) = uri.strip_prefix("mirror+file:") else {
        return Ok(uri.to_owned());
    };
    let path = Path::new("/").join(list.trim_start_matches('/'));
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read the mirror list {}", path.display()))?;
    text.split_whitespace()
        .find(|word| word.contains("://"))
        .map(|word| word.trim_end_matches('/').to_owned())
        .with_context(|| format!("no mirror in {}", path.display()))
}

/// The one-line format: `deb [options] uri suite component…`.
fn parse_lines(text: &str) -> Vec<Source> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("").trim();
        let Some(rest) = line
            .strip_prefix("deb")
            .filter(|r| r.starts_with([' ', '\t']))
        else {
            continue;
        };
        let rest = match rest.trim_start().strip_prefix('[') {
            Some(options) => options.split_once(']').map_or("", |(_, rest)| rest),
            None => rest,
        };
        let mut words = rest.split_whitespace();
        if let (Some(uri), Some(suite)) = (words.next(), words.next()) {
            if words.any(|component| component == "main") {
                found.push(source(uri, suite));
            }
        }
    }
    found
}

/// The deb822 format: stanzas of `Field: values`, separated by empty lines.
fn parse_stanzas(text: &str) -> Vec<Source> {
    let mut found = Vec::new();
    for stanza in text.replace("\r\n", "\n").split("\n\n") {
        let words = |name: &str| field(stanza, name);
        let enabled = words("Enabled")
            .first()
            .is_none_or(|w| !w.eq_ignore_ascii_case("no"));
        let holds_main = words("Components").iter().any(|w| w == "main");
        if !enabled || !holds_main || !words("Types").iter().any(|w| w == "deb") {
            continue;
        }
        for uri in words("URIs") {
            found.extend(words("Suites").iter().map(|suite| source(&uri, suite)));
        }
    }
    found
}

/// The words of a stanza's field, continuation lines included.
fn field(stanza: &str, name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut inside = false;
    for line in stanza.lines().filter(|line| !line.starts_with('#')) {
        let rest = if line.starts_with([' ', '\t']) {
            line
        } else {
            let (key, rest) = line.split_once(':').unwrap_or((line, ""));
            inside = key.eq_ignore_ascii_case(name);
            rest
        };
        if inside {
            words.extend(rest.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn source(uri: &str, suite: &str) -> Source {
    Source {
        uri: uri.trim_end_matches('/').to_owned(),
        suite: suite.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_one_line_format_with_options_and_comments() {
        let text = "# deb http://old.example/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian/ bookworm main contrib # x\n\
                    deb-src http://a.example/debian bookworm main\n\
                    deb http://a.example/extra bookworm non-free\n";
        assert_eq!(
            parse_lines(text),
            [source("http://a.example/debian", "bookworm")]
        );
    }

    #[test]
    fn reads_the_stanza_format_with_comments_and_continuations() {
        let text = "Types: deb deb-src\n# note\nURIs: http://a.example/debian\n\
                    Suites: trixie\n trixie-updates\nComponents: main\n\n\
                    Types: deb\nURIs: http://b.example/x\nSuites: trixie\nComponents: main\nEnabled: no\n";
        assert_eq!(
            parse_stanzas(text),
            [
                source("http://a.example/debian", "trixie"),
                source("http://a.example/debian", "trixie-updates")
            ]
        );
    }

    #[test]
    fn puts_the_release_before_its_updates() {
        let all = vec![
            source("http://s", "bookworm-security"),
            source("http://m", "bookworm"),
        ];
        let chosen = select(all, "bookworm").unwrap();
        assert_eq!(chosen[0].uri, "http://m");
        assert_eq!(chosen[1].suite, "bookworm-security");
    }

    #[test]
    fn refuses_a_system_without_the_release() {
        assert!(select(vec![source("http://m", "sid")], "bookworm").is_err());
    }
}
