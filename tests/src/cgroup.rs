// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cgroups with a limit on the memory of the pool under test: the controller `dmem`.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// A cgroup; the process leaves it and removes it on drop.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    region: String,
}

impl Cgroup {
    /// Makes a cgroup without a limit, for the region that begins at `phys_addr`.
    ///
    /// # Panics
    ///
    /// Where the kernel lacks the controller.
    pub fn new(name: &str, phys_addr: u64) -> Self {
        write(&Path::new(ROOT).join("cgroup.subtree_control"), "+dmem");
        let path = Path::new(ROOT).join(name);
        fs::create_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self {
            path,
            region: format!("fpgamem/{phys_addr:x}"),
        }
    }

    /// Moves this process, and what it forks from now on, into the cgroup.
    pub fn enter(&self) {
        write(&self.path.join("cgroup.procs"), "0");
    }

    /// Moves this process back to where all are.
    pub fn leave(&self) {
        write(&Path::new(ROOT).join("cgroup.procs"), "0");
    }

    /// Limits what the cgroup may have to `bytes`.
    pub fn limit(&self, bytes: u64) {
        write(
            &self.path.join("dmem.max"),
            &format!("{} {bytes}", self.region),
        );
    }

    /// Bytes that the cgroup is charged with.
    ///
    /// # Panics
    ///
    /// Where the kernel does not say.
    pub fn current(&self) -> u64 {
        let text = fs::read_to_string(self.path.join("dmem.current")).expect("it is readable");
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let (_, value) = lines
            .find(|(region, _)| *region == self.region)
            .unwrap_or_else(|| panic!("no {} in {text:?}", self.region));
        value.parse().expect("it is a number")
    }

    /// Bytes of the region, as the controller knows it.
    ///
    /// # Panics
    ///
    /// Where it does not.
    pub fn capacity(&self) -> u64 {
        let text = fs::read_to_string(Path::new(ROOT).join("dmem.capacity"));
        let text = text.expect("it is readable");
        let regions: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(region, _)| *region == self.region)
            .collect();
        let [(_, bytes)] = regions[..] else {
            panic!("{} is not there once: {text:?}", self.region);
        };
        bytes.parse().expect("it is a number")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.leave();
        let removed = fs::remove_dir(&self.path);
        assert!(
            std::thread::panicking() || removed.is_ok(),
            "{}: {removed:?}",
            self.path.display()
        );
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|e| panic!("{text:?} to {}: {e}", path.display()));
}
