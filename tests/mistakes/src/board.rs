// SPDX-License-Identifier: MIT OR Apache-2.0

//! Running programs on the board.

use crate::mistakes::{Program, PROGRAMS};
use crate::scene::Scene;
use fpgamem_tests::debugfs::Stats;
use fpgamem_tests::eventually;
use std::process::{Command, ExitCode};

const FAILED: u8 = 2;

/// Runs one program and says what it computed.
pub(crate) fn run(name: &str, wrong: bool) -> ExitCode {
    let Some(program) = find(name) else {
        eprintln!("mistakes: no program is named {name:?}; --list shows those that there are");
        return ExitCode::from(FAILED);
    };
    // A panic is a failure of the program, not a wrong result.
    let computed = std::panic::catch_unwind(|| {
        // The accelerator's time passes with each access to the region, by the scrubber too: with those to what
        // the program before this one freed, a job would be done before anybody looks.
        eventually("all is scrubbed", || Stats::read().blocks_dirty == 0);
        program(&Scene::open(), wrong)
    });
    let Ok(verdict) = computed else {
        return ExitCode::from(FAILED);
    };
    println!("{verdict}");
    ExitCode::from(u8::from(!verdict.is_right()))
}

/// Runs programs, all without names, and marks in the output where each begins, its process, and how
/// it ended. A program that computed the wrong result without a mistake makes it a failure.
pub(crate) fn run_all(names: &[String], variants: &[&str]) -> ExitCode {
    let mut exit = ExitCode::SUCCESS;
    for (function, _) in PROGRAMS {
        let name = function.replace('_', "-");
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        for variant in variants {
            match run_in_process(&name, variant) {
                Ok(0) => {}
                Ok(1) if *variant == "wrong" => {}
                Ok(status) => exit = ExitCode::from(u8::try_from(status).unwrap_or(FAILED)),
                Err(error) => {
                    eprintln!("mistakes: {name} {variant}: {error}");
                    exit = ExitCode::from(FAILED);
                }
            }
        }
    }
    exit
}

/// The exit status of a program, -1 if a signal ended it.
fn run_in_process(name: &str, variant: &str) -> std::io::Result<i32> {
    let program = std::env::current_exe()?;
    println!("@@ {name} {variant}");
    let mut child = Command::new(program).args([name, variant]).spawn()?;
    println!("@@ process {}", child.id());
    let status = child.wait()?.code().unwrap_or(-1);
    println!("@@ exit {status}");
    Ok(status)
}

fn find(name: &str) -> Option<Program> {
    let function = name.replace('-', "_");
    let found = PROGRAMS.iter().find(|(known, _)| *known == function);
    found.map(|(_, program)| *program)
}
