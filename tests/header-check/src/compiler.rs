// SPDX-License-Identifier: MIT OR Apache-2.0

//! The C compilers of the host.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

/// A compiler and the options that choose its target.
#[derive(Clone, Copy, Debug)]
pub struct Compiler {
    program: &'static str,
    options: &'static [&'static str],
}

impl Compiler {
    /// For the host.
    pub const NATIVE: Self = Self {
        program: "cc",
        options: &[],
    };

    /// For some 32-bit target, `None` if the host has none. It need not have a C library.
    pub fn for_32_bit(include: &str) -> Option<Self> {
        let arm = &["--target=arm-linux-gnueabihf"];
        let source = "int width[sizeof(void *) == 4 ? 1 : -1];\n";
        [("cc", &["-m32"]), ("clang", arm), ("clang-19", arm)]
            .map(|(program, options)| Self { program, options })
            .into_iter()
            .find(|compiler| {
                let output = compiler.check(include, "-std=c99", source);
                output.is_ok_and(|output| output.status.success())
            })
    }

    /// Checks `source`, with `include` as a directory of headers, and writes no file. Any warning
    /// is an error.
    ///
    /// # Errors
    ///
    /// The compiler cannot be run; what it thinks of `source` is in its exit status.
    pub fn check(self, include: &str, standard: &str, source: &str) -> io::Result<Output> {
        // The kernel's asm/ headers of the host serve for the other width too.
        let multiarch = Command::new("cc").arg("-print-multiarch").output()?.stdout;
        let asm_headers = format!(
            "/usr/include/{}",
            String::from_utf8_lossy(&multiarch).trim()
        );
        let mut child = Command::new(self.program)
            .args(self.options)
            .args([
                "-fsyntax-only",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-pedantic",
                standard,
            ])
            .args(["-I", include, "-idirafter", &asm_headers])
            .args(["-x", "c", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(source.as_bytes())?;
        }
        child.wait_with_output()
    }
}
