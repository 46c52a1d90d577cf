// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line, its completions and its man pages.

use crate::bringup::{alloc, contents, sync, translate};
use crate::failure::Failure;
use crate::{doctor, info, map, output, selftest, stress, top, trace, Verdict};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use fpgamem::Device;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What a pool of fpgamem holds, what is wrong with a board, and first steps on one.
///
/// Exits with 0 if all was well, 1 if something is wrong with what was looked at, 2 if the command could not do its work.
#[derive(Debug, Parser)]
#[command(name = "fpgamem", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command has.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The node of the pool [default: what FPGAMEM_DEVICE names, or /dev/fpgamem0]
    #[arg(long, global = true, value_name = "PATH")]
    device: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Colours: "auto" uses them on a terminal if NO_COLOR is not set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

impl Global {
    /// The path of the pool's node.
    pub(crate) fn path(&self) -> PathBuf {
        let named = std::env::var_os(fpgamem::DEVICE_VARIABLE).filter(|path| !path.is_empty());
        let default = || named.unwrap_or_else(|| OsString::from("/dev/fpgamem0"));
        self.device.clone().unwrap_or_else(|| default().into())
    }

    /// Opens the pool's node.
    pub(crate) fn open(&self) -> Result<Device, Failure> {
        Ok(Device::open_path(self.path())?)
    }
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Into files and pipes too.
    Always,
    /// Not at all.
    Never,
}

impl Color {
    /// Decides for the whole program.
    pub(crate) fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what the pool is and how much of it is free
    Info(info::Options),
    /// Draw the region: who has which part of it
    Map(map::Options),
    /// Find out what is wrong with this board, and how to mend it
    Doctor(doctor::Options),
    /// Show who has how much and what happens, again and again
    Top(top::Options),
    /// Replay a recorded run of a program, or compute what it needs
    Trace(trace::Options),
    /// Let buffers come and go at random, and check every byte
    Stress(stress::Options),
    /// Measure syncs, and find out whether a DMA channel sees the caches
    Selftest(selftest::Options),
    /// Hold a buffer, so that an accelerator can be tried by hand
    Alloc(alloc::Options),
    /// Fill a running process's buffer
    Fill(contents::FillOptions),
    /// Show or check a running process's buffer
    Dump(contents::DumpOptions),
    /// Maintain the caches of a buffer that alloc holds
    Sync(sync::Options),
    /// Say where a running process's buffers are, for the CPU and for the FPGA
    Translate(translate::Options),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the man page, or write those of all commands
    Man {
        /// Write the pages here instead of printing the first
        directory: Option<PathBuf>,
    },
}

/// Prints completions.
pub(crate) fn completions(shell: Shell) -> Result<Verdict, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "fpgamem", &mut text);
    output::text_line(String::from_utf8_lossy(&text).trim_end())?;
    Ok(Verdict::Good)
}

/// Prints or writes man pages.
pub(crate) fn man(directory: Option<&Path>) -> Result<Verdict, Failure> {
    // The global options belong to each command's page too; help needs no pages of its own.
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    if let Some(directory) = directory {
        let written = clap_mangen::generate_to(command, directory);
        written.map_err(|error| {
            let what = format!("cannot write man pages to {}", directory.display());
            Failure::new(what, "give a folder that exists and may be written to").because(error)
        })?;
        return Ok(Verdict::Good);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    output::text_line(String::from_utf8_lossy(&page).trim_end())?;
    Ok(Verdict::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_has_help() {
        for command in Arguments::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
        }
    }
}
