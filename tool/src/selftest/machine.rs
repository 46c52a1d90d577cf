// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which machine a report is about, and whether it is one at all.

use super::timing::Speeds;
use crate::system::System;
use fpgamem::Device;
use serde::Serialize;
use std::path::Path;

/// The machine.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    board: Option<String>,
    compatible: Vec<String>,
    kernel: Option<String>,
    processors: usize,
    /// Why this is no board, if it is none.
    pub(super) emulator: Option<String>,
}

impl Machine {
    pub(super) fn of(device: &Device, speeds: &Speeds) -> Self {
        let system = System::at(Path::new("/"));
        let words = |file: &str| -> Vec<String> {
            let bytes = system.bytes(file).unwrap_or_default();
            let words = bytes
                .split(|byte| *byte == 0)
                .filter(|word| !word.is_empty());
            words
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect()
        };
        let board = words("/proc/device-tree/model").into_iter().next();
        let compatible = words("/proc/device-tree/compatible");
        let emulator = if device.emulator().is_some() {
            Some("the library's emulated device".to_owned())
        } else {
            emulator(board.as_deref(), &compatible, speeds.ignore_caches())
        };
        Self {
            board,
            compatible,
            kernel: system.text("/proc/sys/kernel/osrelease"),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            emulator,
        }
    }

    pub(super) fn text(&self) -> String {
        let unknown = || "unknown".to_owned();
        format!(
            "board {}, Linux {}, {} processors",
            self.board.clone().unwrap_or_else(unknown),
            self.kernel.clone().unwrap_or_else(unknown),
            self.processors
        )
    }
}

/// Why a machine is an emulator, if it is one.
fn emulator(board: Option<&str>, compatible: &[String], ignores_caches: bool) -> Option<String> {
    let names = board
        .into_iter()
        .chain(compatible.iter().map(String::as_str));
    let says = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.contains("qemu") || name.contains("dummy-virt")
    };
    let named = names.into_iter().find(|name| says(name));
    match named {
        Some(name) => Some(format!("the device tree says \"{name}\"")),
        None if ignores_caches => {
            Some("uncached memory is as fast as cached, which it is on no board".to_owned())
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_is_told_by_its_name_or_by_its_speed() {
        let compatible = ["xlnx,zynqmp-zcu102".to_owned()];
        assert!(emulator(Some("ZynqMP ZCU102 in QEMU"), &compatible, false).is_some());
        assert!(emulator(None, &["linux,dummy-virt".to_owned()], false).is_some());
        assert!(emulator(Some("ZynqMP ZCU102 Rev1.1"), &compatible, true).is_some());
        assert_eq!(
            emulator(Some("ZynqMP ZCU102 Rev1.1"), &compatible, false),
            None
        );
    }
}
