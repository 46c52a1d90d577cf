// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's test program of 32 bits: in C without a C library, so that the kernel's compiler is all
//! that it needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::context::Context;
use crate::files::with_extension;
use crate::process::capture;
use crate::programs::Program;
use crate::toolchain::LLVM;
use crate::ui::Step;

/// The program, and where its sources are.
pub(crate) const NAME: &str = "compat";
const SOURCES: &str = "tests/compat";

/// The source of the 64-bit process that the tests start, and what both programs begin with.
const PEER: &str = "peer.c";
const START: &str = "start.c";

/// What both are compiled with.
const OPTIONS: [&str; 13] = [
    "-std=c23",
    "-O2",
    "-g",
    "-ffreestanding",
    "-nostdlib",
    "-nostdlibinc",
    "-static",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pedantic",
];

/// Builds the program.
pub(crate) fn build(context: &Context) -> Result<Program> {
    let step = Step::start("build the guest's 32-bit tests");
    let sources = with_extension(&context.root.join(SOURCES), "c")?;
    let is = |path: &PathBuf, name: &str| path.file_name().is_some_and(|file| file == name);
    let (of_peer, of_tests): (Vec<_>, Vec<_>) =
        sources.iter().cloned().partition(|path| is(path, PEER));
    let start = sources.iter().filter(|path| is(path, START)).cloned();
    let folder = context.target.join(NAME);
    fs::create_dir_all(&folder)?;
    // Under names of its own first: another xtask may be reading the programs.
    let own = |name: &str| folder.join(format!("{name}-{}", std::process::id()));
    let (peer, tests) = (own("peer"), own(NAME));
    let of_peer: Vec<_> = of_peer.into_iter().chain(start).collect();
    compile(
        context,
        &["--target=aarch64-linux-gnu", "-s"],
        &of_peer,
        &peer,
    )?;
    let embedded = format!("-DPEER=\"{}\"", peer.display());
    let arm = ["--target=armv7a-linux-gnueabi", "-march=armv7ve", &embedded];
    compile(context, &arm, &of_tests, &tests)?;
    fs::remove_file(&peer)?;
    let path = folder.join(NAME);
    fs::rename(&tests, &path)?;
    step.done();
    Ok(Program {
        name: NAME.to_owned(),
        path,
    })
}

fn compile(context: &Context, options: &[&str], sources: &[PathBuf], to: &Path) -> Result<()> {
    // The kernel's asm/ headers of the host serve for the other processor too: what the driver's
    // header needs of them is the same for all.
    let multiarch = capture(Command::new("cc").arg("-print-multiarch"))?;
    let mut clang = Command::new(format!("clang-{LLVM}"));
    clang
        .args(OPTIONS)
        .arg(format!("-fuse-ld=lld-{LLVM}"))
        .args(options)
        .arg("-I")
        .arg(context.root.join("driver/uapi"))
        .args(["-idirafter", "/usr/include", "-idirafter"])
        .arg(Path::new("/usr/include").join(multiarch.trim()))
        .args(sources)
        .arg("-o")
        .arg(to);
    capture(clang.current_dir(&context.root))?;
    Ok(())
}

/// Whether one of the sources below `root` has a test of that name.
pub(crate) fn has_test(root: &Path, name: &str) -> bool {
    let entry = format!("{{ \"{name}\",");
    let sources = with_extension(&root.join(SOURCES), "c").unwrap_or_default();
    sources
        .iter()
        .any(|path| fs::read_to_string(path).is_ok_and(|text| text.contains(&entry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_by_their_whole_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert!(has_test(&root, "unknown_handles_are_none"));
        assert!(!has_test(&root, "unknown_handles"));
    }
}
