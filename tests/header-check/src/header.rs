// SPDX-License-Identifier: MIT OR Apache-2.0

//! The names that the C header defines.

/// Prefix of every constant.
pub const CONSTANT_PREFIX: &str = "FPGAMEM_";

/// A structure of the header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Struct {
    /// Its tag.
    pub name: String,
    /// Its fields in the order of declaration.
    pub fields: Vec<String>,
}

/// The names of all constants and commands, in the order of the file.
pub fn constants(header: &str) -> Vec<String> {
    header
        .lines()
        .filter_map(|line| line.strip_prefix("#define "))
        .filter(|definition| definition.starts_with(CONSTANT_PREFIX))
        .filter_map(|definition| definition.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// All structures, in the order of the file.
///
/// # Errors
///
/// The line that is neither a field of type `__u32` or `__u64` nor the end of the structure.
pub fn structs(header: &str) -> Result<Vec<Struct>, String> {
    let mut structs = Vec::new();
    let mut lines = header.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line
            .strip_prefix("struct ")
            .and_then(|l| l.strip_suffix(" {"))
        else {
            continue;
        };
        let mut fields = Vec::new();
        for line in lines.by_ref().take_while(|line| *line != "};") {
            fields.push(field(line).ok_or_else(|| format!("struct {name}: {line:?}"))?);
        }
        structs.push(Struct {
            name: name.to_owned(),
            fields,
        });
    }
    Ok(structs)
}

/// The name of the field that `line` declares.
fn field(line: &str) -> Option<String> {
    let (c_type, declarator) = line
        .strip_prefix('\t')?
        .strip_suffix(';')?
        .split_once(' ')?;
    let name = declarator.split('[').next()?;
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    (["__u32", "__u64"].contains(&c_type) && plain).then(|| name.to_owned())
}
