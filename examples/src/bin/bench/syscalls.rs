// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counts system calls: a child does something once and many times, and its parent traces it.

use crate::drivers::{open, Driver};
use crate::lives;
use crate::raw::{self, Mapping};
use clap::ValueEnum;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{raise, Signal};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::Pid;
use std::error::Error;
use std::io;
use std::path::Path;
use std::process::Command;

/// How much more often the second child does it.
const TURNS: u32 = 16;

/// What is traced.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Traced {
    /// The life of a buffer of the driver.
    Life,
    /// Maintenance by the driver.
    Flush,
    /// Translation by the driver.
    ToPhys,
    /// The life of a buffer of the library.
    LibraryLife,
    /// The same, from an arena.
    ArenaLife,
    /// The same, from an arena that reuses it.
    ReusingLife,
    /// Maintenance by the library.
    LibraryFlush,
    /// Translation by the library of a mere address.
    LibraryToPhys,
}

/// The system calls that it takes with a buffer of `bytes` when it is done again.
pub(crate) fn of(traced: Traced, device: &Path, bytes: usize) -> Result<u64, Box<dyn Error>> {
    let count = |turns| count(traced, device, bytes, turns);
    let (once, often) = (count(1)?, count(1 + TURNS)?);
    Ok(often.saturating_sub(once) / u64::from(TURNS))
}

/// All system calls of a child that does it `turns` times.
fn count(traced: Traced, device: &Path, bytes: usize, turns: u32) -> Result<u64, Box<dyn Error>> {
    let name = traced.to_possible_value().ok_or("it has no name")?;
    let mut command = Command::new("/proc/self/exe");
    command.arg("--device").arg(device);
    command.args(["traced", name.get_name()]);
    command.args([bytes.to_string(), turns.to_string()]);
    let pid = Pid::from_raw(i32::try_from(command.spawn()?.id())?);
    let mut stops: u64 = 0;
    let mut status = waitpid(pid, None)?;
    ptrace::setoptions(
        pid,
        Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL,
    )?;
    loop {
        let signal = match status {
            WaitStatus::PtraceSyscall(_) => {
                stops += 1;
                None
            }
            WaitStatus::Stopped(_, Signal::SIGSTOP) => None,
            WaitStatus::Stopped(_, signal) => Some(signal),
            // Each call stops twice; the last one does not return.
            WaitStatus::Exited(_, 0) => return Ok(stops / 2),
            other => return Err(format!("tracing {}: {other:?}", name.get_name()).into()),
        };
        ptrace::syscall(pid, signal)?;
        status = waitpid(pid, None)?;
    }
}

/// The child: `turns` times what is traced.
pub(crate) fn child(
    traced: Traced,
    path: &Path,
    bytes: usize,
    turns: u32,
) -> Result<(), Box<dyn Error>> {
    ptrace::traceme()?;
    raise(Signal::SIGSTOP)?;
    let repeat = |work: &mut dyn FnMut() -> io::Result<()>| (0..turns).try_for_each(|_| work());
    match traced {
        Traced::Life => {
            let driver = Driver::Fpgamem(open(path)?);
            repeat(&mut || driver.life(bytes))?;
        }
        Traced::Flush | Traced::ToPhys => {
            let device = open(path)?;
            let mapping = Mapping::new(&device, bytes, 0)?;
            repeat(&mut || match traced {
                Traced::Flush => raw::flush(&device, &mapping),
                _ => raw::user_to_phys(&device, mapping.middle()).map(drop),
            })?;
        }
        Traced::LibraryLife => {
            let device = fpgamem::Device::open_path(path)?;
            repeat(&mut || {
                drop(device.alloc(bytes)?);
                Ok(())
            })?;
        }
        Traced::ArenaLife => {
            let arena = fpgamem::Arena::new(&fpgamem::Device::open_path(path)?);
            let _first = arena.alloc(1)?;
            repeat(&mut || {
                drop(arena.alloc(bytes)?);
                Ok(())
            })?;
        }
        Traced::ReusingLife => {
            let arena = lives::reusing(&fpgamem::Device::open_path(path)?, bytes)?;
            repeat(&mut || {
                drop(arena.alloc(bytes)?);
                Ok(())
            })?;
        }
        Traced::LibraryFlush => {
            let buffer = fpgamem::Device::open_path(path)?.alloc(bytes)?;
            repeat(&mut || Ok(buffer.sync_for_device(..)?))?;
        }
        Traced::LibraryToPhys => {
            let device = fpgamem::Device::open_path(path)?;
            let buffer = device.alloc(bytes)?;
            repeat(&mut || match device.phys_of(&buffer[bytes / 2]) {
                Some(_) => Ok(()),
                None => Err(io::ErrorKind::NotFound.into()),
            })?;
        }
    }
    Ok(())
}
