// SPDX-License-Identifier: MIT OR Apache-2.0

//! The C header and `abi.rs` describe the same ABI, for 64-bit and for 32-bit user space.

use header_check::compiler::Compiler;
use header_check::{header, rust_abi};
use std::collections::BTreeSet;

const HEADER: &str = include_str!("../../../driver/uapi/fpgamem.h");
const HEADER_DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../driver/uapi");
const ABI: &str = include_str!("../../../driver/shared/abi.rs");

/// What both widths include; the second one must be empty.
const TWICE: &str = "#include \"fpgamem.h\"\n#include \"fpgamem.h\"\n";

#[track_caller]
fn assert_compiles(compiler: Compiler, standard: &str, source: &str) {
    let output = compiler
        .check(HEADER_DIRECTORY, standard, source)
        .expect("the compiler runs");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler:?}\n{messages}");
}

fn compiler_for_32_bit() -> Compiler {
    Compiler::for_32_bit(HEADER_DIRECTORY)
        .expect("no compiler for a 32-bit target: install clang, or a gcc that takes -m32")
}

/// A C program that compiles if and only if the header has the values of `abi.rs`.
fn assertions() -> String {
    let mut source = String::from("#include <stddef.h>\n#include \"fpgamem.h\"\n");
    let mut expect = |expression: &str, value: u64| {
        source += &format!("_Static_assert({expression} == {value}ULL, \"not {value:#x}\");\n");
    };
    for constant in rust_abi::constants() {
        expect(
            &format!("{}{}", header::CONSTANT_PREFIX, constant.name),
            constant.value,
        );
    }
    for rust_abi::Struct {
        c_name,
        size,
        fields,
        ..
    } in rust_abi::structs()
    {
        expect(&format!("sizeof(struct {c_name})"), size as u64);
        for rust_abi::Field { name, offset, size } in fields {
            expect(&format!("offsetof(struct {c_name}, {name})"), offset as u64);
            expect(
                &format!("sizeof(((struct {c_name} *)0)->{name})"),
                size as u64,
            );
        }
    }
    source
}

#[test]
fn header_is_strict_c99() {
    assert_compiles(Compiler::NATIVE, "-std=c99", TWICE);
}

#[test]
fn header_is_strict_c99_for_32_bit() {
    assert_compiles(compiler_for_32_bit(), "-std=c99", TWICE);
}

#[test]
fn values_and_layouts_agree() {
    assert_compiles(Compiler::NATIVE, "-std=c11", &assertions());
}

#[test]
fn values_and_layouts_agree_for_32_bit() {
    assert_compiles(compiler_for_32_bit(), "-std=c11", &assertions());
}

#[test]
fn a_wrong_value_is_noticed() {
    let source = assertions() + "_Static_assert(FPGAMEM_ABI == 0, \"wrong\");\n";
    let output = Compiler::NATIVE
        .check(HEADER_DIRECTORY, "-std=c11", &source)
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("wrong"));
}

#[test]
fn header_has_the_structures_of_the_table() {
    let table: BTreeSet<_> = rust_abi::structs()
        .iter()
        .map(|s| header::Struct {
            name: s.c_name.to_owned(),
            fields: s.fields.iter().map(|field| field.name.to_owned()).collect(),
        })
        .collect();
    let header: BTreeSet<_> = header::structs(HEADER).unwrap().into_iter().collect();
    assert_eq!(header, table);
}

#[test]
fn header_has_the_constants_of_the_table() {
    let table: BTreeSet<_> = rust_abi::constants()
        .iter()
        .map(|constant| format!("{}{}", header::CONSTANT_PREFIX, constant.name))
        .collect();
    let header: BTreeSet<_> = header::constants(HEADER).into_iter().collect();
    assert_eq!(header, table);
}

/// The names of the public items of `abi.rs` whose declaration begins with `keyword`.
fn public_items(keyword: &str) -> BTreeSet<&'static str> {
    let declaration = format!("pub {keyword} ");
    ABI.lines()
        .filter_map(|line| line.strip_prefix(&declaration))
        .filter_map(|rest| rest.split([':', ' ', '(', '<']).next())
        .collect()
}

#[test]
fn table_has_every_public_item_of_abi_rs() {
    let constants: BTreeSet<_> = rust_abi::constants().iter().map(|c| c.name).collect();
    let structs: BTreeSet<_> = rust_abi::structs().iter().map(|s| s.rust_name).collect();
    assert_eq!(public_items("const"), constants);
    assert_eq!(public_items("struct"), structs);
    let all = ABI.lines().filter(|line| line.starts_with("pub ")).count();
    assert_eq!(all, constants.len() + structs.len());
}

#[test]
fn structures_have_no_padding() {
    for rust_abi::Struct {
        c_name,
        size,
        fields,
        ..
    } in rust_abi::structs()
    {
        let used: usize = fields.iter().map(|field| field.size).sum();
        assert_eq!(used, size, "struct {c_name}");
    }
}
