// SPDX-License-Identifier: MIT OR Apache-2.0

//! The header is what the Rust source says.

use std::fs;
use std::path::Path;

/// Set to something, it makes the header anew.
const UPDATE: &str = "FPGAMEM_UPDATE_HEADER";

#[test]
fn the_header_is_that_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut made = Vec::new();
    cbindgen::Builder::new()
        .with_crate(root)
        .with_config(config)
        .generate()
        .expect("the source is understood")
        .write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let path = root.join("include/libfpgamem.h");
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &made).unwrap();
    }
    let header = fs::read_to_string(&path).unwrap_or_default();
    let differs = header
        .lines()
        .zip(made.lines())
        .position(|(old, new)| old != new);
    let line = differs.unwrap_or(header.lines().count().min(made.lines().count()));
    assert!(
        header == made,
        "{} is not what the source says, from line {} on; make it by: \
         {UPDATE}=1 cargo test -p fpgamem-capi --test header",
        path.display(),
        line + 1
    );
}
