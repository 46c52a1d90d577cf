// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `fpgamem`: what a pool holds, what is wrong with a board, and first steps on one.

#![deny(unsafe_code)]

mod bringup;
mod cli;
mod debugfs;
mod doctor;
mod failure;
mod info;
mod map;
mod output;
mod progress;
mod selftest;
mod stress;
mod system;
mod top;
mod trace;
mod units;

use clap::Parser;
use cli::{Arguments, Command};
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.global.color.apply();
    match run(&arguments) {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        // Who reads through a pipe may have read enough.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            anstream::eprintln!("{failure}");
            ExitCode::from(2)
        }
    }
}

/// What a command found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is well: exit status 0.
    Good,
    /// Something is wrong with what was looked at: exit status 1.
    Bad,
}

fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Info(options) => info::run(global, options),
        Command::Map(options) => map::run(global, options),
        Command::Doctor(options) => doctor::run(global, options),
        Command::Top(options) => top::run(global, options),
        Command::Trace(options) => trace::run(global, options),
        Command::Stress(options) => stress::run(global, options),
        Command::Selftest(options) => selftest::run(global, options),
        Command::Alloc(options) => bringup::alloc::run(global, options),
        Command::Fill(options) => bringup::contents::fill(global, options),
        Command::Dump(options) => bringup::contents::dump(global, options),
        Command::Sync(options) => bringup::sync::run(global, options),
        Command::Translate(options) => bringup::translate::run(global, options),
        Command::Completions { shell } => cli::completions(*shell),
        Command::Man { directory } => cli::man(directory.as_deref()),
    }
}
