// SPDX-License-Identifier: MIT OR Apache-2.0

//! Drivers of others in the comparison: a module, and a program that measures it.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{bail, Context as _, Result};

use crate::initramfs::Files;

/// Their places in the guest.
const MODULE: &str = "/lib/modules/peer.ko";
const PROGRAM: &str = "/usr/local/bin/peer";

/// A module and a program, each with what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    module: PathBuf,
    parameters: Vec<String>,
    program: PathBuf,
    arguments: Vec<String>,
}

impl FromStr for Peer {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let words = |part: &str| {
            part.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let parts = text
            .split_once(':')
            .map(|(left, right)| (words(left), words(right)));
        let Some((mut module, mut program)) = parts else {
            bail!("MODULE.ko:PROGRAM is expected");
        };
        if module.is_empty() || program.is_empty() {
            bail!("MODULE.ko:PROGRAM is expected, and neither may be empty");
        }
        Ok(Self {
            module: module.remove(0).into(),
            parameters: module,
            program: program.remove(0).into(),
            arguments: program,
        })
    }
}

impl Peer {
    /// The module of u-dma-buf, with a buffer of the largest size that is measured, and the program that
    /// measures ours.
    pub(crate) fn u_dma_buf(module: PathBuf, bench: PathBuf) -> Self {
        let words = |words: [&str; 2]| words.map(str::to_owned).to_vec();
        Self {
            module,
            parameters: vec![format!("udmabuf0={}", 64 << 20)],
            program: bench,
            arguments: words(["u-dma-buf", "/dev/udmabuf0"]),
        }
    }

    /// Puts both into the guest, and returns the line of shell that measures.
    pub(crate) fn add(&self, files: &mut Files) -> Result<String> {
        files.add(&self.module, MODULE)?;
        files.add(&self.program, PROGRAM)?;
        let (module, program) = (MODULE.to_owned(), PROGRAM.to_owned());
        let load = [&["insmod".to_owned(), module], &self.parameters[..]].concat();
        let run = [&[program], &self.arguments[..]].concat();
        let quoted = |words: &[String]| crate::guest::quoted(words);
        // A module may be in the way when the machine is switched off. Some cannot be unloaded.
        let unload = ["rmmod".to_owned(), name_of(&self.module)?];
        Ok(format!(
            "{} && {} && {{ {} || true; }}",
            quoted(&load),
            quoted(&run),
            quoted(&unload)
        ))
    }
}

/// The name of a module, which is not always that of its file.
fn name_of(module: &Path) -> Result<String> {
    let bytes = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    name_in(&bytes).with_context(|| format!("{} has no name: is it a module?", module.display()))
}

/// The value of `name` among what a module tells about itself, which are words that end in a zero byte.
fn name_in(module: &[u8]) -> Option<String> {
    const FIELD: &[u8] = b"\0name=";
    let at = module
        .windows(FIELD.len())
        .position(|bytes| bytes == FIELD)?;
    let rest = &module[at + FIELD.len()..];
    let name = &rest[..rest.iter().position(|&byte| byte == 0)?];
    Some(String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_may_have_words_of_their_own() {
        let peer: Peer = "a/u-dma-buf.ko udmabuf0=4096:b/measure --runs 5"
            .parse()
            .unwrap();
        assert_eq!(peer.module, PathBuf::from("a/u-dma-buf.ko"));
        assert_eq!(peer.parameters, ["udmabuf0=4096"]);
        assert_eq!(peer.program, PathBuf::from("b/measure"));
        assert_eq!(peer.arguments, ["--runs", "5"]);
    }

    #[test]
    fn one_without_the_other_is_refused() {
        for text in ["a.ko", "a.ko:", ":measure", ""] {
            assert!(text.parse::<Peer>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_guest_loads_the_one_and_runs_the_other() {
        let module = std::env::temp_dir().join(format!("peer-{}.ko", std::process::id()));
        fs::write(&module, b"x\0license=GPL\0name=other_driver\0vermagic=6\0").unwrap();
        let text = format!("{} n=1:/proc/self/maps 'x", module.display());
        let line = text.parse::<Peer>().unwrap().add(&mut Files::default());
        fs::remove_file(&module).unwrap();
        assert_eq!(
            line.unwrap(),
            r"'insmod' '/lib/modules/peer.ko' 'n=1' && '/usr/local/bin/peer' ''\''x' && "
                .to_owned()
                + "{ 'rmmod' 'other_driver' || true; }"
        );
    }

    #[test]
    fn what_is_no_module_has_no_name() {
        assert_eq!(name_in(b"\x7fELF, and no more"), None);
    }
}
