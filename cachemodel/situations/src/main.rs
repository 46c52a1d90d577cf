// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs that share buffers with a device wrongly, each with a twin that does it right.
//!
//! `situations` runs all of them, each in a process of its own whose name is `m` or `t`, for mistake
//! and twin, with its number, and prints a line for each:
//!
//! ```text
//! m03 cleaned-before-the-store expects missing-clean: wrong
//! t03 cleaned-before-the-store expects nothing: right
//! ```
//!
//! The last word says whether the data came out right. Under QEMU alone it always does. `situations
//! m03` runs one. The exit status says whether everything ran, not how it came out.

#![deny(unsafe_code)]

mod accelerator;
#[cfg_attr(
    target_arch = "aarch64",
    expect(unsafe_code, reason = "cache instructions")
)]
mod cache;
mod from_device;
mod library;
mod other;
mod stage;
mod to_device;

use nix::sys::prctl;
use std::ffi::CString;
use std::process::{Command, ExitCode};

/// A mistake and what corrects it.
struct Situation {
    name: &'static str,
    /// The kinds of report that the mistake must get, with commas between.
    expects: &'static str,
    /// Runs it, with the mistake or without, and says whether the data came out right.
    run: fn(mistake: bool) -> bool,
}

fn situations() -> Vec<Situation> {
    let parts = [
        to_device::SITUATIONS,
        from_device::SITUATIONS,
        other::SITUATIONS,
        library::SITUATIONS,
        accelerator::SITUATIONS,
    ];
    let all = parts.into_iter().flatten();
    all.map(|(name, expects, run)| Situation {
        name,
        expects,
        run: *run,
    })
    .collect()
}

/// Name, kind of report, and program of each situation.
type Table = &'static [(&'static str, &'static str, fn(bool) -> bool)];

fn main() -> ExitCode {
    let situations = situations();
    if let Some(id) = std::env::args().nth(1) {
        return run(&situations, &id);
    }
    let mut status = ExitCode::SUCCESS;
    for number in 1..=situations.len() {
        for letter in ["m", "t"] {
            let id = format!("{letter}{number:02}");
            let ended = Command::new("/proc/self/exe").arg(&id).status();
            if !ended.is_ok_and(|ended| ended.success()) {
                println!("{id} did not run to its end");
                status = ExitCode::FAILURE;
            }
        }
    }
    status
}

fn run(situations: &[Situation], id: &str) -> ExitCode {
    let parsed = id.split_at_checked(1).and_then(|(letter, number)| {
        let index = number.parse::<usize>().ok()?.checked_sub(1)?;
        Some((letter == "m", situations.get(index)?))
    });
    let Some((mistake, situation)) = parsed else {
        eprintln!(
            "{id:?} is no situation; they are m01 to m{:02} and t01 on",
            situations.len()
        );
        return ExitCode::FAILURE;
    };
    let name = CString::new(id).unwrap_or_default();
    if let Err(error) = prctl::set_name(&name) {
        eprintln!("cannot name the process: {error}");
        return ExitCode::FAILURE;
    }
    let right = (situation.run)(mistake);
    let expects = if mistake {
        situation.expects
    } else {
        "nothing"
    };
    let outcome = if right { "right" } else { "wrong" };
    println!("{id} {} expects {expects}: {outcome}", situation.name);
    ExitCode::SUCCESS
}
