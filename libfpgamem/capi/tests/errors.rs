// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every error of the library has a code of its own kind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Errors of calls that C has not.
const NOT_FOR_C: [&str; 1] = ["Error::InvalidElements"];

/// The variants of an enum of the library, with its name.
fn variants(source: &Path, name: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(source).expect("the file can be read");
    let file = syn::parse_file(&text).expect("it is Rust");
    let errors = file.items.into_iter().find_map(|item| match item {
        syn::Item::Enum(item) if item.ident == name => Some(item),
        _ => None,
    });
    let errors = errors.expect("there is such an enum");
    errors
        .variants
        .iter()
        .map(|v| format!("{name}::{}", v.ident))
        .collect()
}

#[test]
fn every_error_has_a_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = root.join("../src");
    let mut all = variants(&library.join("error.rs"), "Error");
    assert!(all.len() > 15);
    all.append(&mut variants(
        &library.join("mmio/error.rs"),
        "RegisterError",
    ));
    assert!(all.len() > 20);
    let codes = fs::read_to_string(root.join("src/error.rs")).expect("the file can be read");
    for variant in all {
        let has_code = [" {", "("]
            .iter()
            .any(|fields| codes.contains(&format!(" {variant}{fields}")));
        assert!(
            has_code != NOT_FOR_C.contains(&variant.as_str()),
            "{variant}: give it a code in src/error.rs, or list it here"
        );
    }
}
