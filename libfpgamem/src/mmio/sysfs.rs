// SPDX-License-Identifier: MIT OR Apache-2.0

//! What sysfs says about UIO devices.

use super::{RegisterError, Result};
use nix::sys::stat::{major, minor};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How a program names a UIO device.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which<'a> {
    /// By the name that the device tree gives it.
    Name(&'a str),
    /// By its file, wherever that is.
    Node(&'a Path),
}

/// A window of registers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Name of the device.
    pub(super) name: String,
    /// Its file.
    pub(super) node: PathBuf,
    /// Bytes before the first register in the first page.
    pub(super) start: usize,
    /// Bytes of registers.
    pub(super) bytes: usize,
}

/// A device.
#[derive(Debug)]
struct Listed {
    name: String,
    node: PathBuf,
    /// What describes it.
    entry: PathBuf,
}

impl Listed {
    /// As a message has it.
    fn text(&self) -> String {
        format!("{} ({})", self.node.display(), self.name)
    }
}

/// Finds a window of a UIO device of the system below `root`.
pub(super) fn find(root: &Path, which: Which<'_>, index: usize) -> Result<Window> {
    let devices = devices(root);
    let device = match which {
        Which::Name(name) => by_name(devices, name)?,
        Which::Node(path) => by_node(devices, path)?,
    };
    let map = device.entry.join(format!("maps/map{index}"));
    let (start, bytes) = (number(&map.join("offset"))?, number(&map.join("size"))?);
    if !is_sane(start, bytes) {
        let text = format!("{bytes:#x} bytes of registers from {start:#x} on");
        let source = io::Error::new(io::ErrorKind::InvalidData, text);
        return Err(RegisterError::Open { path: map, source });
    }
    let Listed { name, node, .. } = device;
    Ok(Window {
        name,
        node,
        start,
        bytes,
    })
}

/// All devices, in the order of their files.
fn devices(root: &Path) -> Vec<Listed> {
    let entries = fs::read_dir(root.join("sys/class/uio"));
    let entries = entries.into_iter().flatten().flatten();
    let mut devices: Vec<_> = entries
        .map(|entry| {
            let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            Listed {
                name: name.trim().to_owned(),
                node: root.join("dev").join(entry.file_name()),
                entry: entry.path(),
            }
        })
        .collect();
    devices.sort_by(|a, b| a.node.cmp(&b.node));
    devices
}

fn by_name(devices: Vec<Listed>, name: &str) -> Result<Listed> {
    let (mut named, others): (Vec<_>, Vec<_>) =
        devices.into_iter().partition(|device| device.name == name);
    let name = name.to_owned();
    match (named.pop(), named.is_empty()) {
        (Some(device), true) => Ok(device),
        (Some(last), false) => {
            let nodes = named.into_iter().chain([last]).map(|device| device.node);
            let nodes = nodes.collect();
            Err(RegisterError::Ambiguous { name, nodes })
        }
        (None, _) => {
            let mut found: Vec<_> = others.into_iter().map(|device| device.name).collect();
            found.sort();
            Err(RegisterError::NotFound { name, found })
        }
    }
}

/// The device that has the number of the file.
fn by_node(devices: Vec<Listed>, path: &Path) -> Result<Listed> {
    let file = fs::metadata(path);
    let file = file.ok().filter(|file| file.file_type().is_char_device());
    let number = file.map(|file| format!("{}:{}", major(file.rdev()), minor(file.rdev())));
    let has_number = |device: &Listed| {
        let its = fs::read_to_string(device.entry.join("dev")).unwrap_or_default();
        number.as_deref() == Some(its.trim())
    };
    let found = devices.iter().map(Listed::text).collect();
    let device = devices.into_iter().find(has_number);
    let path = path.to_owned();
    match device {
        Some(device) => Ok(Listed {
            node: path,
            ..device
        }),
        None => Err(RegisterError::NotUio { path, found }),
    }
}

/// Whether a window can be mapped, and its registers be aligned.
fn is_sane(start: usize, bytes: usize) -> bool {
    let end = start.checked_add(bytes);
    let fits = end.is_some_and(|end| isize::try_from(end).is_ok());
    start % 8 == 0 && bytes != 0 && fits
}

/// The hexadecimal number in a file.
fn number(path: &Path) -> Result<usize> {
    let error = |source| RegisterError::Open {
        path: path.to_owned(),
        source,
    };
    let text = fs::read_to_string(path).map_err(error)?;
    let digits = text.trim().trim_start_matches("0x");
    usize::from_str_radix(digits, 16)
        .map_err(|source| error(io::Error::new(io::ErrorKind::InvalidData, source)))
}
