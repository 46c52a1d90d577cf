// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every error of the library has a code of its own kind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Errors of calls that C has not.
const NOT_FOR_C: [&str; 3] = ["InvalidElements", "InvalidSplit", "NotAdjacent"];

/// The variants of the library's error.
fn variants(source: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(source).expect("the file can be read");
    let file = syn::parse_file(&text).expect("it is Rust");
    let errors = file.items.into_iter().find_map(|item| match item {
        syn::Item::Enum(item) if item.ident == "Error" => Some(item),
        _ => None,
    });
    let errors = errors.expect("there is an enum `Error`");
    errors
        .variants
        .iter()
        .map(|v| v.ident.to_string())
        .collect()
}

#[test]
fn every_error_has_a_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let variants = variants(&root.join("../src/error.rs"));
    let codes = fs::read_to_string(root.join("src/error.rs")).expect("the file can be read");
    assert!(variants.len() > 15);
    for variant in variants {
        let has_code = codes.contains(&format!("Error::{variant} {{"));
        assert!(
            has_code != NOT_FOR_C.contains(&variant.as_str()),
            "Error::{variant}: give it a code in src/error.rs, or list it here"
        );
    }
}
