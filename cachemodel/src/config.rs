// SPDX-License-Identifier: GPL-2.0-or-later

//! The plugin's arguments, as in `-plugin libfpgamem_cachemodel.so,ddr=/dev/shm/ddr,policy=evict:7`.

use crate::interrupt::Socket;
use crate::policy::Policy;
use std::ops::Range;
use std::path::PathBuf;

/// What the arguments say.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that is the board's DDR, from physical address 0 on.
    pub ddr: PathBuf,
    /// The physical addresses that have a cache.
    pub region: Range<u64>,
    /// What the cache does on its own.
    pub policy: Policy,
    /// Where the accelerator's registers are, if there is one.
    pub accelerator: Option<u64>,
    /// Its interrupt, if it has one.
    pub interrupt: Option<Socket>,
    /// Where the report goes.
    pub json: Option<PathBuf>,
    /// Whether nothing is printed.
    pub quiet: bool,
    /// The kernel's System.map.
    pub system_map: Option<PathBuf>,
    /// ELF files whose symbols name places: programs and kernel modules.
    pub symbols: Vec<PathBuf>,
}

impl Config {
    /// Reads arguments of the form `KEY=VALUE`.
    ///
    /// # Errors
    ///
    /// A sentence that names the argument.
    pub fn parse<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut ddr = None;
        let mut config = Self {
            ddr: PathBuf::new(),
            region: 0x4000_0000..0x8000_0000,
            policy: "never".parse()?,
            accelerator: None,
            interrupt: None,
            quiet: false,
            json: None,
            system_map: None,
            symbols: Vec::new(),
        };
        for argument in arguments {
            let (key, value) = argument
                .split_once('=')
                .ok_or_else(|| format!("{argument:?} is not of the form KEY=VALUE"))?;
            match key {
                "ddr" => ddr = Some(value.into()),
                "region" => config.region = region(value)?,
                "policy" => config.policy = value.parse()?,
                "accelerator" => config.accelerator = Some(page(value)?),
                "interrupt" => config.interrupt = Some(interrupt(value)?),
                "json" => config.json = Some(value.into()),
                "quiet" => config.quiet = value == "on",
                "map" => config.system_map = Some(value.into()),
                "symbols" => config.symbols.push(value.into()),
                _ => {
                    return Err(format!(
                        "no argument is named {key:?}; there are ddr, region, policy, \
                         accelerator, interrupt, json, quiet, map, symbols"
                    ))
                }
            }
        }
        config.ddr = ddr.ok_or("ddr=FILE is missing: the file behind the board's memory")?;
        Ok(config)
    }
}

/// Reads a number, hexadecimal with 0x or decimal.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Reads the address of a page.
fn page(text: &str) -> Result<u64, String> {
    number(text)
        .filter(|address| address % 4096 == 0)
        .ok_or_else(|| format!("{text:?} is not the address of a page of 4096 bytes"))
}

/// Reads `NUMBER:PATH`.
fn interrupt(text: &str) -> Result<Socket, String> {
    let parts = text.split_once(':');
    let socket = parts.and_then(|(number, path)| {
        Some(Socket {
            number: number.parse().ok()?,
            path: path.into(),
        })
    });
    socket.ok_or_else(|| {
        format!("{text:?} is not NUMBER:PATH: an interrupt, and the socket of -qtest")
    })
}

/// Reads `START-END`.
fn region(text: &str) -> Result<Range<u64>, String> {
    let range = text
        .split_once('-')
        .and_then(|(start, end)| Some(number(start)?..number(end)?));
    match range {
        Some(range) if range.start < range.end && (range.start | range.end) % 4096 == 0 => {
            Ok(range)
        }
        _ => Err(format!(
            "{text:?} is not a range START-END of whole pages of 4096 bytes"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let arguments = [
            "ddr=/dev/shm/ddr",
            "region=0x1000-0x3000",
            "accelerator=0x4000",
            "interrupt=89:/tmp/x:y",
            "policy=evict:7",
            "symbols=a",
            "symbols=b",
        ];
        let config = Config::parse(arguments).unwrap();
        assert_eq!(config.ddr, PathBuf::from("/dev/shm/ddr"));
        assert_eq!(config.region, 0x1000..0x3000);
        assert_eq!(config.policy.to_string(), "evict:7");
        assert_eq!(config.symbols.len(), 2);
        assert_eq!(config.accelerator, Some(0x4000));
        let socket = config.interrupt.unwrap();
        assert_eq!((socket.number, socket.path), (89, "/tmp/x:y".into()));
        assert_eq!(config.json, None);
    }

    #[test]
    fn without_other_wishes_the_upper_gibibyte_is_never_evicted() {
        let config = Config::parse(["ddr=x"]).unwrap();
        assert_eq!(config.region, 0x4000_0000..0x8000_0000);
        assert_eq!(config.policy.to_string(), "never");
    }

    #[test]
    fn mistakes_are_named() {
        let error = |arguments: &[&str]| Config::parse(arguments.iter().copied()).unwrap_err();
        assert!(error(&[]).contains("ddr=FILE"));
        assert!(error(&["ddr=x", "speed=1"]).contains("\"speed\""));
        assert!(error(&["ddr"]).contains("KEY=VALUE"));
        assert!(error(&["ddr=x", "region=0x1000-0x1800"]).contains("4096"));
        assert!(error(&["ddr=x", "accelerator=0x10"]).contains("page"));
        assert!(error(&["ddr=x", "interrupt=/tmp/x"]).contains("NUMBER:PATH"));
        assert!(error(&["ddr=x", "region=0x3000-0x1000"]).contains("START-END"));
    }
}
