// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fpgamem info`: what the pool is and how much of it is free.

use crate::cli::Global;
use crate::failure::Failure;
use crate::units::size;
use crate::{output, Verdict};
use clap::Args;
use fpgamem::{Device, Features, Info};
use serde::Serialize;

/// Options of `info`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Describe an emulated pool inside this process instead of a board's
    #[arg(long, conflicts_with = "device")]
    emulated: bool,
}

/// What is said of the pool; sizes and addresses in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    device: String,
    abi: u32,
    /// Names of the features that this program knows.
    features: Vec<&'static str>,
    feature_bits: u64,
    phys_addr: u64,
    device_addr: u64,
    region_bytes: u64,
    block_bytes: u64,
    free_bytes: u64,
    used_bytes: u64,
    quarantined_bytes: u64,
    quarantine_ms: u32,
    largest_free_bytes: u64,
    buffers: u32,
    cache_line_bytes: Option<u32>,
    coherent: bool,
}

impl Report {
    /// Takes the report of a device.
    pub(crate) fn of(device: &Device) -> Result<Self, Failure> {
        Ok(Self::new(
            &device.path().display().to_string(),
            &device.info()?,
        ))
    }

    fn new(device: &str, info: &Info) -> Self {
        let kept = info.free_bytes.saturating_add(info.quarantined_bytes);
        let largest = info.largest_free(info.block_bytes).unwrap_or(0);
        Self {
            device: device.to_owned(),
            abi: info.abi,
            features: names(info.features),
            feature_bits: info.features.bits(),
            phys_addr: info.phys_addr.as_u64(),
            device_addr: info.device_addr.as_u64(),
            region_bytes: info.region_bytes,
            block_bytes: info.block_bytes,
            free_bytes: info.free_bytes,
            used_bytes: info.region_bytes.saturating_sub(kept),
            quarantined_bytes: info.quarantined_bytes,
            quarantine_ms: info.quarantine_ms,
            largest_free_bytes: largest,
            buffers: info.nr_buffers,
            cache_line_bytes: info.cache_line_bytes,
            coherent: info.coherent,
        }
    }

    fn text(&self) -> String {
        let end = self.phys_addr.saturating_add(self.region_bytes);
        let port = if self.coherent {
            "snoops the caches (dma-coherent): syncs are barriers"
        } else {
            "does not snoop the caches: syncs maintain cache lines"
        };
        let line = |name: &str, value: String| format!("{name:<16} {value}\n");
        let mut text = line("device", self.device.clone());
        text += &line(
            "ABI",
            format!("{}, features: {}", self.abi, self.features.join(", ")),
        );
        let region = format!(
            "[{:#x}, {end:#x}), {}",
            self.phys_addr,
            size(self.region_bytes)
        );
        text += &line("region", region);
        if self.device_addr != self.phys_addr {
            text += &line(
                "for the FPGA",
                format!("it begins at {:#x}", self.device_addr),
            );
        }
        text += &line("block", size(self.block_bytes));
        text += &line("port", port.to_owned());
        if let Some(bytes) = self.cache_line_bytes {
            text += &line("cache line", size(bytes.into()));
        }
        let longest = size(self.largest_free_bytes);
        text += &line(
            "free",
            format!("{}, longest run {longest}", size(self.free_bytes)),
        );
        text += &line(
            "used",
            format!("{} in {} buffers", size(self.used_bytes), self.buffers),
        );
        let quarantined = match self.quarantine_ms {
            0 => "off".to_owned(),
            ms => format!("{}, for {ms} ms each", size(self.quarantined_bytes)),
        };
        text + &line("quarantine", quarantined)
    }
}

fn names(features: Features) -> Vec<&'static str> {
    let known = [
        (Features::WRITE_COMBINE, "write-combine"),
        (Features::COHERENCY, "coherency"),
        (Features::SYNC_VECTOR, "sync-vector"),
        (Features::QUARANTINE, "quarantine"),
    ];
    let has = known.into_iter().filter(|(bit, _)| features.contains(*bit));
    has.map(|(_, name)| name).collect()
}

/// Runs the command.
pub(crate) fn run(global: &Global, options: &Options) -> Result<Verdict, Failure> {
    let device = if options.emulated {
        Device::emulated().open()?
    } else {
        global.open()?
    };
    let report = Report::of(&device)?;
    if global.json {
        output::json(&report)?;
    } else {
        output::text_line(report.text().trim_end())?;
    }
    Ok(Verdict::Good)
}
