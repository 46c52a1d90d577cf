// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device tree that the boot loader has passed to the kernel.

use crate::system::System;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// Where the kernel shows it.
const ROOT: &str = "/proc/device-tree";

/// A node with everything below it.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    properties: BTreeMap<String, Vec<u8>>,
    pub(super) children: Vec<Node>,
}

impl Node {
    /// The whole tree; `None` where the system has none.
    pub(super) fn root(system: &System) -> Option<Self> {
        let path = system.path(ROOT);
        path.is_dir().then(|| Self::read(&path, ""))
    }

    fn read(path: &Path, name: &str) -> Self {
        let mut node = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                node.children.push(Self::read(&entry.path(), &name));
            } else if let Ok(bytes) = fs::read(entry.path()) {
                node.properties.insert(name, bytes);
            }
        }
        node.children.sort_by(|a, b| a.name.cmp(&b.name));
        node
    }

    /// Whether it has a property.
    pub(super) fn has(&self, property: &str) -> bool {
        self.properties.contains_key(property)
    }

    /// The bytes of a property.
    pub(super) fn bytes(&self, property: &str) -> Option<&[u8]> {
        self.properties.get(property).map(Vec::as_slice)
    }

    /// The first string of a property.
    pub(super) fn string(&self, property: &str) -> Option<&str> {
        strings(self.bytes(property)?).next()
    }

    /// A property of one cell.
    pub(super) fn cell(&self, property: &str) -> Option<u32> {
        let bytes = self.bytes(property)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    /// A property of one number, of one cell or two.
    pub(super) fn number(&self, property: &str) -> Option<u64> {
        number(self.bytes(property)?)
    }

    /// Whether it is compatible to something.
    pub(super) fn is_compatible(&self, to: &str) -> bool {
        let compatible = self.bytes("compatible").unwrap_or_default();
        strings(compatible).any(|word| word == to)
    }

    /// Whether it is in use.
    pub(super) fn is_enabled(&self) -> bool {
        matches!(self.string("status"), None | Some("okay" | "ok"))
    }

    /// A child by its name, with or without an address.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.base_name() == name)
    }

    fn base_name(&self) -> &str {
        self.name.split('@').next().unwrap_or_default()
    }

    /// The node itself and all below it that a condition picks.
    pub(super) fn all(&self, picks: &dyn Fn(&Self) -> bool) -> Vec<&Self> {
        let mut found: Vec<_> = picks(self).then_some(self).into_iter().collect();
        for child in &self.children {
            found.extend(child.all(picks));
        }
        found
    }

    /// The ranges of a child's property `reg`.
    pub(super) fn ranges_of(&self, child: &Self) -> Vec<Range<u64>> {
        let cells = |name, default| self.cell(name).unwrap_or(default) as usize * 4;
        let (address, size) = (cells("#address-cells", 2), cells("#size-cells", 1));
        if address == 0 || size == 0 {
            return Vec::new();
        }
        let reg = child.bytes("reg").unwrap_or_default();
        let ranges = reg.chunks_exact(address + size).map(|entry| {
            let (start, bytes) = entry.split_at(address);
            let (start, bytes) = (number(start)?, number(bytes)?);
            Some(start..start.checked_add(bytes)?)
        });
        ranges.flatten().collect()
    }

    /// All DDR that the boot loader has found.
    pub(super) fn memory(&self) -> Vec<Range<u64>> {
        let is_memory = |node: &&Self| node.string("device_type") == Some("memory");
        let nodes = self.children.iter().filter(is_memory);
        let mut ranges: Vec<_> = nodes.flat_map(|node| self.ranges_of(node)).collect();
        ranges.sort_by_key(|range| range.start);
        // Banks that touch are one range.
        let mut joined: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        joined
    }
}

/// The strings of a property.
pub(super) fn strings(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let words = bytes
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty());
    words.filter_map(|word| std::str::from_utf8(word).ok())
}

/// Cells as a number; the upper ones of more than two must be 0.
fn number(cells: &[u8]) -> Option<u64> {
    if cells.is_empty() || cells.len() % 4 != 0 {
        return None;
    }
    let (upper, lower) = cells.split_at(cells.len().saturating_sub(8));
    let fits = upper.iter().all(|byte| *byte == 0);
    fits.then(|| {
        lower
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    })
}
