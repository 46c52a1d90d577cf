// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files in which a system tells about itself, or a copy of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A system: this one, or what a folder has of another.
#[derive(Debug)]
pub(crate) struct System {
    root: PathBuf,
}

impl System {
    /// The system whose files are below `root`.
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Whether it is the one that this program runs on.
    pub(crate) fn is_this(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a file is.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.root.join(file.trim_start_matches('/'))
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, file: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(file))
    }

    /// The text of a file without white space at its end; `None` where it cannot be read.
    pub(crate) fn text(&self, file: &str) -> Option<String> {
        let bytes = self.bytes(file).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// Whether there is such a file or folder.
    pub(crate) fn exists(&self, file: &str) -> bool {
        self.path(file).exists()
    }

    /// The names in a folder, sorted; none where it cannot be read.
    pub(crate) fn list(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder))
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<_> = entries
            .filter_map(|e| e.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }
}
