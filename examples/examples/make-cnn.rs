// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes the files of the example `cnn`: `digit.ppm`, a picture, and `digits.cnn`, a network.
//!
//! ```text
//! cargo run --release -p fpgamem-examples --example make-cnn -- FOLDER
//! ```
//!
//! Without FOLDER it makes those in `examples/data`, where they are committed; they are the same each
//! time.

use fpgamem_examples::cnn::train;
use fpgamem_examples::exit_code;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Pictures on which the network is tried: this many of each digit.
const TRIALS: usize = 10;

fn main() -> ExitCode {
    exit_code("make-cnn", run().map(|()| true))
}

fn run() -> Result<(), Box<dyn Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(|| default.into(), PathBuf::from);
    let network = train::network();
    for (name, bytes) in [
        ("digit.ppm", train::picture_file()),
        ("digits.cnn", network.file()),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, &bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("{}: {} bytes", path.display(), bytes.len());
    }
    let hits = train::hits(&network, 1, TRIALS);
    println!(
        "the network gets {hits} of {} new pictures right",
        10 * TRIALS
    );
    Ok(())
}
