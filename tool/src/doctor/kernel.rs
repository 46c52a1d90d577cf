// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel, its configuration, and the module.

use super::Finding;
use crate::system::System;
use std::io::Read;
use std::path::Path;

/// The kernel that the driver is made for.
const KERNEL: (u32, u32) = (6, 18);

/// Options that must be set, with what they are for.
const NEEDED: [(&str, &str); 2] = [
    ("RUST", "the module is written in Rust"),
    ("MODULES", "the driver is a module"),
];
/// Options that are good to have.
const USEFUL: [(&str, &str); 2] = [
    ("DEBUG_FS", "map and top read it"),
    (
        "UIO_PDRV_GENIRQ",
        "programs reach an accelerator's registers through it",
    ),
];

pub(super) fn examine(system: &System) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(machine) = system.text("/proc/sys/kernel/arch") {
        if machine != "aarch64" {
            findings.push(Finding::bad(
                "processor",
                format!("this is a machine of architecture {machine}"),
                "run it on the board; without one, programs can use the library's emulated device \
                 (Device::emulated), and some commands take --emulated",
            ));
        }
    }
    let Some(release) = system.text("/proc/sys/kernel/osrelease") else {
        let text = "the kernel does not say its version";
        findings.push(Finding::unknown("kernel", text, "mount /proc"));
        return findings;
    };
    findings.push(version(&release));
    findings.extend(configuration(system, &release));
    findings
}

fn version(release: &str) -> Finding {
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|number| number.parse().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let text = format!("Linux {release}");
    let (wanted_major, wanted_minor) = KERNEL;
    if (major, minor) == KERNEL {
        Finding::good("kernel", text)
    } else if (major, minor) < KERNEL {
        let mend =
            format!("the driver is made for {wanted_major}.{wanted_minor}; update the kernel");
        Finding::bad("kernel", text, mend)
    } else {
        let mend = format!(
            "the driver is made for {wanted_major}.{wanted_minor}; the kernel's Rust interfaces \
             differ between versions, so the module may not build for this one"
        );
        Finding::note("kernel", text, mend)
    }
}

fn configuration(system: &System, release: &str) -> Vec<Finding> {
    let Some(config) = config_text(system, release) else {
        return vec![Finding::unknown(
            "configuration",
            "the kernel's configuration is not to be found",
            "set CONFIG_IKCONFIG_PROC, or copy the configuration to /boot/config-$(uname -r)",
        )];
    };
    let state = |name: &str| {
        let prefix = format!("CONFIG_{name}=");
        config.lines().find_map(|line| line.strip_prefix(&prefix))
    };
    let mut findings = Vec::new();
    for (name, why) in NEEDED {
        if state(name) != Some("y") {
            let text = format!("CONFIG_{name} is not set: {why}");
            let mend = "build the kernel with petalinux/dynamic-layers/xilinx/recipes-kernel/linux/files/fpgamem.cfg";
            findings.push(Finding::bad("configuration", text, mend));
        }
    }
    for (name, why) in USEFUL {
        if state(name).is_none() {
            let text = format!("CONFIG_{name} is not set: {why}");
            let mend = format!("set CONFIG_{name}, if that is wanted");
            findings.push(Finding::note("configuration", text, mend));
        }
    }
    if findings.is_empty() {
        let names = NEEDED.iter().chain(&USEFUL).map(|(name, _)| *name);
        let names: Vec<_> = names.collect();
        findings.push(Finding::good(
            "configuration",
            format!("has {}", names.join(", ")),
        ));
    }
    findings
}

fn config_text(system: &System, release: &str) -> Option<String> {
    if let Ok(packed) = system.bytes("/proc/config.gz") {
        let mut text = String::new();
        let mut unpacked = flate2::read::GzDecoder::new(&packed[..]);
        if unpacked.read_to_string(&mut text).is_ok() {
            return Some(text);
        }
    }
    let places = [
        format!("/boot/config-{release}"),
        format!("/lib/modules/{release}/config"),
        format!("/lib/modules/{release}/build/.config"),
    ];
    places.iter().find_map(|place| system.text(place))
}

/// The module, and whether its driver has taken the devices.
pub(super) fn examine_module(system: &System, findings: &mut Vec<Finding>) {
    let devices = devices(system);
    if !system.exists("/sys/module/fpgamem") {
        findings.push(not_loaded(system));
        return;
    }
    findings.push(Finding::good("module", "is loaded"));
    for (name, bound) in devices {
        if bound {
            findings.push(Finding::good("driver", format!("has taken {name}")));
        } else {
            findings.push(Finding::bad(
                "driver",
                format!("has not taken {name}"),
                "the kernel log says why; when that is mended: echo NAME > \
                 /sys/bus/platform/drivers/fpgamem/bind",
            ));
        }
    }
}

fn not_loaded(system: &System) -> Finding {
    let release = system
        .text("/proc/sys/kernel/osrelease")
        .unwrap_or_default();
    let folder = format!("/lib/modules/{release}");
    let text = "is not loaded";
    if has_module(&system.path(&folder), 6) {
        let mend =
            "modprobe fpgamem; at each boot: echo fpgamem > /etc/modules-load.d/fpgamem.conf";
        return Finding::bad("module", text, mend);
    }
    let mend = format!(
        "and is not below {folder}: build it for this kernel (make -C driver KDIR=… ARCH=arm64 \
         LLVM=1 modules_install) and run depmod, or insmod the file"
    );
    Finding::bad("module", text, mend)
}

/// Whether a folder has the module, packed or not, at most `depth` folders deep.
fn has_module(folder: &Path, depth: u32) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("fpgamem.ko") {
            return true;
        }
        // Links lead to the kernel's sources.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        is_folder && depth > 0 && has_module(&entry.path(), depth - 1)
    })
}

/// Platform devices of the driver, and whether it has taken them.
fn devices(system: &System) -> Vec<(String, bool)> {
    let folder = "/sys/bus/platform/devices";
    let mut devices = Vec::new();
    for name in system.list(folder) {
        let compatible = system.bytes(&format!("{folder}/{name}/of_node/compatible"));
        let compatible = compatible.unwrap_or_default();
        if super::tree::strings(&compatible).any(|word| word == super::pool::COMPATIBLE) {
            let bound = system.exists(&format!("{folder}/{name}/driver"));
            devices.push((name, bound));
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn kernels_are_told_apart() {
        assert_eq!(version("6.18.15").status, Status::Good);
        assert_eq!(version("6.18.10-xilinx-v2026.1").status, Status::Good);
        assert_eq!(version("6.12.40-xilinx").status, Status::Bad);
        assert_eq!(version("5.15.36").status, Status::Bad);
        assert_eq!(version("7.2.0").status, Status::Note);
        assert_eq!(version("nonsense").status, Status::Bad);
    }
}
