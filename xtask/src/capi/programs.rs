// SPDX-License-Identifier: MIT OR Apache-2.0

//! The programs in C and C++, and how they are compiled with an installed library.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::CRATE;
use crate::context::Context;
use crate::process::capture;

/// What every program is compiled with.
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

/// How a program gets the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Linkage {
    Shared,
    Static,
}

impl Linkage {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Static => "static",
        }
    }
}

/// An installed library, and the compilers of its users.
pub(super) struct Installed {
    pub(super) prefix: PathBuf,
    pub(super) programs: PathBuf,
    pub(super) cc: &'static str,
    pub(super) cxx: &'static str,
    /// Options for all programs.
    pub(super) options: Vec<String>,
    /// Whether static programs have nothing shared in them.
    pub(super) all_static: bool,
}

/// A program of the project.
pub(super) struct Source {
    pub(super) name: &'static str,
    files: Vec<PathBuf>,
    cxx: bool,
}

/// What there is to compile: the tests and the examples.
pub(super) fn sources(context: &Context) -> Result<Vec<Source>> {
    let root = &context.root;
    let tests = root.join(CRATE).join("tests/c");
    let mut files = Vec::new();
    for entry in fs::read_dir(&tests)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            files.push(path);
        }
    }
    files.sort();
    let example = |name: &str| vec![root.join("examples/c").join(name)];
    let source = |name, files, cxx| Source { name, files, cxx };
    let mut all = vec![
        source("capi-tests", files, false),
        source("capi-raii", vec![tests.join("raii.cpp")], true),
        source("transfer", example("transfer.c"), false),
        source("transfer++", example("transfer.cpp"), true),
        source("vadd", example("vadd.c"), false),
    ];
    all.extend(programs_of_guide(context)?);
    Ok(all)
}

/// The guide, whose programs are compiled as they stand there.
const GUIDE: &str = "docs/c-api.md";

/// Writes the guide's programs to files, and gives those.
fn programs_of_guide(context: &Context) -> Result<Vec<Source>> {
    let text = fs::read_to_string(context.root.join(GUIDE)).context(GUIDE)?;
    let folder = context.target.join("capi/guide");
    fs::create_dir_all(&folder)?;
    let mut sources = Vec::new();
    for (name, language, cxx) in [("guide", "c", false), ("guide++", "cpp", true)] {
        let block = code_block(&text, language);
        let block = block.with_context(|| format!("{GUIDE} has no program in {language}"))?;
        let file = folder.join(name).with_extension(language);
        fs::write(&file, block)?;
        let files = vec![file];
        sources.push(Source { name, files, cxx });
    }
    Ok(sources)
}

/// The first block of code in a language.
fn code_block<'a>(text: &'a str, language: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\n```{language}\n"))?;
    let end = rest.find("\n```")?;
    rest.get(..=end)
}

impl Installed {
    /// Compiles a program, and gives its file.
    pub(super) fn compile(
        &self,
        context: &Context,
        source: &Source,
        linkage: Linkage,
    ) -> Result<PathBuf> {
        let program = self
            .programs
            .join(format!("{}-{}", source.name, linkage.name()));
        let (compiler, standard) = if source.cxx {
            (self.cxx, "-std=c++17")
        } else {
            (self.cc, "-std=c11")
        };
        let mut command = Command::new(compiler);
        command
            .arg(standard)
            .args(WARNINGS)
            .args(["-O2", "-g", "-pthread"])
            .args(&self.options)
            .arg(format!("-DVERSION=\"{}\"", env!("CARGO_PKG_VERSION")))
            // The driver's header is where images have it.
            .arg("-I")
            .arg(self.programs.join("include"))
            .arg("-I")
            .arg(context.root.join("examples/c"))
            .args(&source.files)
            .arg("-o")
            .arg(&program);
        match linkage {
            Linkage::Shared => {
                command.args(self.pkg_config(&["--cflags", "--libs"])?);
            }
            Linkage::Static => {
                command.args(self.pkg_config(&["--cflags"])?);
                command.arg(self.prefix.join("lib/libfpgamem.a"));
                command.args(self.all_static.then_some("-static"));
            }
        }
        command.current_dir(&context.root);
        capture(&mut command)?;
        Ok(program)
    }

    /// Puts the driver's header where images have it.
    pub(super) fn add_driver_header(&self, context: &Context) -> Result<()> {
        let folder = self.programs.join("include/fpgamem");
        fs::create_dir_all(&folder)?;
        let header = context.root.join("driver/uapi/fpgamem.h");
        fs::copy(header, folder.join("fpgamem.h"))?;
        Ok(())
    }

    /// What `fpgamem.pc` says.
    fn pkg_config(&self, what: &[&str]) -> Result<Vec<String>> {
        let mut command = Command::new("pkg-config");
        command.args(what).arg("fpgamem");
        command.env("PKG_CONFIG_LIBDIR", self.prefix.join("lib/pkgconfig"));
        let words = capture(&mut command)?;
        Ok(words.split_whitespace().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::code_block;

    #[test]
    fn a_block_of_code_is_what_is_between_the_fences() {
        let text = "a\n```sh\nls\n```\n```c\nint a;\nint b;\n```\n```c\nint c;\n```\n";
        assert_eq!(code_block(text, "c"), Some("int a;\nint b;\n"));
        assert_eq!(code_block(text, "cpp"), None);
    }
}
