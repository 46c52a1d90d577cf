// SPDX-License-Identifier: MIT OR Apache-2.0

//! The folder outside the checkout that keeps what was downloaded and built.
//!
//! An entry is named by a hash of everything it was made from. It counts only once its marker
//! file is there, and the marker is written last, under the entry's lock: an interrupted run
//! leaves an entry without a marker, which the next run makes anew, and of two runs at once the
//! second waits for the first.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use crate::files::{files_below, hex, sha256_file};
use crate::ui;

/// The marker file of a complete entry; it lists what the entry was made from.
const MARKER: &str = ".complete";

/// What an entry is made from.
#[derive(Debug, Default, Clone)]
pub(crate) struct Key {
    parts: String,
}

impl Key {
    /// Adds a named part.
    pub(crate) fn part(mut self, name: &str, value: &str) -> Self {
        // The length keeps two lists of parts from reading the same.
        self.parts
            .push_str(&format!("{name} {}\n{value}\n", value.len()));
        self
    }

    /// Adds the content of all files below `dir`, with their paths.
    pub(crate) fn tree(mut self, name: &str, dir: &Path) -> Result<Self> {
        for path in files_below(dir)? {
            let label = path.strip_prefix(dir).unwrap_or(&path);
            let sum = sha256_file(&path)?;
            self = self.part(&format!("{name}/{}", label.display()), &sum);
        }
        Ok(self)
    }

    /// The hash that names the entry.
    pub(crate) fn hash(&self) -> String {
        let mut sum = hex(&Sha256::digest(self.parts.as_bytes()));
        sum.truncate(16);
        sum
    }
}

/// The cache folder.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens the folder: `$FPGAMEM_CACHE`, `$XDG_CACHE_HOME/fpgamem` or `~/.cache/fpgamem`.
    pub(crate) fn open() -> Result<Self> {
        let set = |name: &str| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let root = set("FPGAMEM_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("fpgamem")))
            .or_else(|| set("HOME").map(|dir| dir.join(".cache/fpgamem")))
            .context("no cache folder: set FPGAMEM_CACHE or HOME")?;
        Self::at(&std::path::absolute(root)?)
    }

    fn at(root: &Path) -> Result<Self> {
        fs::create_dir_all(root.join("locks"))
            .with_context(|| format!("cannot create the cache folder {}", root.display()))?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// A folder of the cache that is not an entry.
    pub(crate) fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.root.join(name);
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Takes the lock of that name, waiting for whoever holds it.
    pub(crate) fn lock(&self, name: &str) -> Result<Lock> {
        lock(&self.root.join("locks").join(name.replace('/', "-")))
    }

    /// The folder of an entry, if it is complete.
    pub(crate) fn complete(&self, kind: &str, key: &Key) -> Option<PathBuf> {
        let dir = self.root.join(kind).join(key.hash());
        dir.join(MARKER).is_file().then_some(dir)
    }

    /// Returns the folder of a complete entry, calling `make` to fill it when there is none.
    ///
    /// `make` gets the folder and the entry's lock.
    pub(crate) fn entry(
        &self,
        kind: &str,
        key: &Key,
        make: impl FnOnce(&Path, &File) -> Result<()>,
    ) -> Result<PathBuf> {
        let name = format!("{kind}/{}", key.hash());
        let dir = self.root.join(&name);
        let marker = dir.join(MARKER);
        if marker.is_file() {
            return Ok(dir);
        }
        let lock = self.lock(&name)?;
        if marker.is_file() {
            return Ok(dir);
        }
        if dir.exists() {
            fs::remove_dir_all(&dir)
                .with_context(|| format!("cannot remove the unfinished {}", dir.display()))?;
        }
        fs::create_dir_all(&dir)?;
        make(&dir, &lock)?;
        // Renamed into place, so that a marker is there whole or not at all.
        let unfinished = dir.join(".marker");
        fs::write(&unfinished, &key.parts)?;
        fs::rename(&unfinished, &marker)?;
        Ok(dir)
    }
}

/// An exclusive lock on a file, for as long as the value lives.
pub(crate) type Lock = Flock<File>;

/// Takes an exclusive lock on the file `path`, waiting for whoever holds it.
pub(crate) fn lock(path: &Path) -> Result<Lock> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((file, _)) => {
            ui::note(format!(
                "waiting for another xtask that holds {}",
                path.display()
            ));
            Flock::lock(file, FlockArg::LockExclusive)
                .map_err(|(_, error)| error)
                .with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn keys_differ_when_a_part_moves_into_the_next() {
        let one = Key::default().part("a", "x\nb 1\ny").part("c", "");
        let two = Key::default().part("a", "x").part("b", "y").part("c", "");
        assert_ne!(one.hash(), two.hash());
    }

    #[test]
    fn the_same_parts_name_the_same_entry() {
        let key = || {
            Key::default()
                .part("config", "CONFIG_SMP=y")
                .part("rustc", "1.95.0")
        };
        assert_eq!(key().hash(), key().hash());
        assert_ne!(key().hash(), key().part("more", "").hash());
    }

    #[test]
    fn an_interrupted_entry_is_made_anew_and_a_complete_one_is_not() {
        let root = scratch("entry");
        let cache = Cache::at(&root).unwrap();
        let key = Key::default().part("k", "1");
        let failed = cache.entry("kind", &key, |dir, _| {
            fs::write(dir.join("half"), "")?;
            anyhow::bail!("interrupted")
        });
        assert!(failed.is_err());
        let dir = cache
            .entry("kind", &key, |dir, _| {
                assert!(!dir.join("half").exists());
                Ok(fs::write(dir.join("whole"), "")?)
            })
            .unwrap();
        let again = cache.entry("kind", &key, |_, _| unreachable!()).unwrap();
        assert_eq!(again, dir);
        assert!(dir.join("whole").exists());
        fs::remove_dir_all(root).unwrap();
    }
}
