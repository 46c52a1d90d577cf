// SPDX-License-Identifier: MIT OR Apache-2.0

//! What debugfs says of the pool, and what the driver does in the background.

use crate::sample::{least, measure, Sample};
use nix::time::{clock_gettime, ClockId};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEBUGFS: &str = "/sys/kernel/debug/fpgamem";
/// What the names of the driver's kernel threads begin with.
const THREADS: &str = "fpgamem";
/// How often it is looked whether the driver is idle.
const POLL: Duration = Duration::from_millis(20);
/// Looks until it is given up.
const MOST_POLLS: u32 = 3000;

/// The file of a pool's counts.
#[derive(Debug)]
pub(crate) struct Stats {
    path: PathBuf,
}

impl Stats {
    /// Those of the pool behind a node.
    pub(crate) fn of(device: &Path) -> Self {
        let name = device.file_name().unwrap_or_default();
        Self {
            path: Path::new(DEBUGFS).join(name).join("stats"),
        }
    }

    /// A count by its name; `None` where the kernel shows none.
    pub(crate) fn count(&self, name: &str) -> Option<u64> {
        find(&fs::read_to_string(&self.path).ok()?, name)
    }

    /// Sleeps until no free block waits to be cleared in the background.
    ///
    /// # Errors
    ///
    /// `NotFound` where the kernel shows no counts, `TimedOut` if that does not come.
    pub(crate) fn settle(&self) -> io::Result<()> {
        let mut dirty = 0;
        for _ in 0..MOST_POLLS {
            dirty = self.count("blocks_dirty").ok_or_else(|| {
                let why = format!("no blocks_dirty in {}", self.path.display());
                io::Error::new(io::ErrorKind::NotFound, why)
            })?;
            if dirty == 0 {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        let why = format!(
            "{dirty} free blocks are still dirty after {:?}",
            POLL * MOST_POLLS
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    }

    /// What `work` takes, and all that the driver's threads do until everything is as before it.
    pub(crate) fn all_work(
        &self,
        phase: &'static str,
        work: impl Fn() -> io::Result<()>,
    ) -> io::Result<Sample> {
        let [sample] = least(
            || self.settle(),
            || {
                let ((), mut sample) = measure(phase, &work)?;
                let meanwhile = background()?.unwrap_or(0);
                self.settle()?;
                // What they did meanwhile is in the sample already: there is one processor.
                let after = background()?.unwrap_or(0);
                sample.instructions += after.saturating_sub(meanwhile);
                Ok([sample])
            },
        )?;
        Ok(sample)
    }
}

/// The number behind a name, which is the first word of a line.
fn find(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// The time that the driver's kernel threads have been running for, in the units of the clock; `None`
/// where it has none.
pub(crate) fn background() -> io::Result<Option<u64>> {
    let mut sum = None;
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // A process may end meanwhile.
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let executable = fs::read_link(entry.path().join("exe"));
        if !name.starts_with(THREADS) || executable.is_ok() {
            continue;
        }
        let time = clock_gettime(ClockId::pid_cpu_clock_id(Pid::from_raw(pid))?)?;
        let nanos = Duration::from(time).as_nanos();
        *sum.get_or_insert(0) += u64::try_from(nanos).unwrap_or(u64::MAX);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_found_by_its_whole_name() {
        let text = "blocks 9\nblocks_free 3\nblocks_dirty 2\n";
        assert_eq!(find(text, "blocks_dirty"), Some(2));
        assert_eq!(find(text, "blocks_free"), Some(3));
        assert_eq!(find(text, "blocks"), Some(9));
        assert_eq!(find(text, "block"), None);
    }

    #[test]
    fn a_pool_without_counts_never_counts_as_settled() {
        let settled = Stats::of(Path::new("/dev/no-such-node")).settle();
        assert_eq!(settled.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
