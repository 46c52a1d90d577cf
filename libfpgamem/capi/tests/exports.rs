// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every exported function is listed, and lets no panic through.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Whether an attribute, which may be inside of `unsafe()`, has a name.
fn has(function: &syn::ItemFn, name: &str) -> bool {
    let attributes = &function.attrs;
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident(name))
}

/// The call that a body consists of, as `module::function`.
fn only_call(function: &syn::ItemFn) -> Option<String> {
    let [syn::Stmt::Expr(syn::Expr::Call(call), None)] = &function.block.stmts[..] else {
        return None;
    };
    let syn::Expr::Path(path) = &*call.func else {
        return None;
    };
    let names = path.path.segments.iter().map(|name| name.ident.to_string());
    Some(names.collect::<Vec<_>>().join("::"))
}

/// The functions of a file that are exported or for C.
fn functions_for_c(path: &Path) -> Vec<syn::ItemFn> {
    let text = fs::read_to_string(path).expect("the file can be read");
    let file = syn::parse_file(&text).expect("it is Rust");
    let functions = file.items.into_iter().filter_map(|item| match item {
        syn::Item::Fn(function) => Some(function),
        _ => None,
    });
    functions
        .filter(|function| function.sig.abi.is_some() || has(function, "no_mangle"))
        .collect()
}

fn all() -> Vec<syn::ItemFn> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = fs::read_dir(folder).expect("there is a source");
    let files = files.map(|file| file.expect("it can be listed").path());
    let files: BTreeSet<PathBuf> = files.collect();
    files
        .iter()
        .flat_map(|file| functions_for_c(file))
        .collect()
}

#[test]
fn every_function_for_c_is_exported_and_guarded() {
    let functions = all();
    assert!(functions.len() > 20);
    for function in functions {
        let name = &function.sig.ident;
        assert!(has(&function, "no_mangle"), "{name} is not exported");
        let call = only_call(&function).unwrap_or_default();
        assert!(
            ["guard::run", "guard::or"].contains(&call.as_str()),
            "{name} does more than call guard::run or guard::or: a panic would leave it"
        );
    }
}

#[test]
fn the_list_of_exports_is_that_of_the_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("exports.list");
    let list = fs::read_to_string(path).unwrap();
    let listed: Vec<_> = list.lines().filter(|line| !line.starts_with('#')).collect();
    let names: BTreeSet<_> = all().iter().map(|f| f.sig.ident.to_string()).collect();
    assert_eq!(listed, names.iter().map(String::as_str).collect::<Vec<_>>());
}
