// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fpgamem selftest`: what syncs cost on this board, and whether a DMA channel sees the caches.

// Where the program says that the channel has finished.
#[allow(unsafe_code)]
mod dma;
mod machine;
mod timing;

use crate::cli::Global;
use crate::failure::Failure;
use crate::info;
use crate::progress::Progress;
use crate::units::size;
use crate::{output, Verdict};
use clap::Args;
use dma::{Experiment, Port};
use fpgamem::{Device, Policy};
use fpgamem_examples::zdma::{Zdma, ZdmaError};
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

/// What the report's form is called.
const FORMAT: &str = "fpgamem-selftest-1";

/// Options of `selftest`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Copy by a channel of ZynqMP's ZDMA too, with and without each sync
    #[arg(long)]
    dma: bool,
    /// Name of the channel's UIO device
    #[arg(long, value_name = "NAME", default_value = "zdma", requires = "dma")]
    channel: String,
    /// Copies for each experiment
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Write the report here too, as JSON: to send to the project
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Try the experiments on an emulated device, whose caches are known, instead of a board
    #[arg(long, conflicts_with_all = ["device", "channel"])]
    emulated: bool,
}

/// What was found. Times are medians in nanoseconds, sizes in bytes.
#[derive(Debug, Serialize)]
struct Report {
    format: &'static str,
    version: &'static str,
    machine: machine::Machine,
    pool: info::Report,
    sync: timing::Syncs,
    memory: timing::Speeds,
    dma: Option<Dma>,
}

/// What the channel's copies showed.
#[derive(Debug, Serialize)]
struct Dma {
    channel: String,
    experiments: Vec<Experiment>,
    /// How the channel behaves towards the caches.
    port: Port,
    /// Whether every copy was right that had all syncs.
    correct: bool,
    /// Whether the pool's syncs fit: none may be left out that the channel needs.
    agrees: bool,
}

/// Runs the command.
pub(crate) fn run(global: &Global, options: &Options) -> Result<Verdict, Failure> {
    let device = if options.emulated {
        Device::emulated().policy(Policy::Never).open()?
    } else {
        global.open()?
    };
    let mut progress = Progress::new("selftest", 4);
    let sync = timing::syncs(&device)?;
    progress.step();
    let memory = timing::speeds(&device)?;
    progress.step();
    let machine = machine::Machine::of(&device, &memory);
    let dma = if options.dma {
        Some(channel(&device, options)?)
    } else {
        None
    };
    progress.end();
    let report = Report {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION"),
        machine,
        pool: info::Report::of(&device)?,
        sync,
        memory,
        dma,
    };
    if let Some(file) = &options.report {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text + "\n").map_err(|error| {
            let what = format!("cannot write {}", file.display());
            Failure::new(what, "give a file that may be written").because(error)
        })?;
    }
    if global.json {
        output::json(&report)?;
    } else {
        output::text_line(report.text().trim_end())?;
    }
    let good = report
        .dma
        .as_ref()
        .map_or(true, |dma| dma.correct && dma.agrees);
    Ok(if good { Verdict::Good } else { Verdict::Bad })
}

fn channel(device: &Device, options: &Options) -> Result<Dma, Failure> {
    let rounds = options.rounds;
    let (channel, experiments) = if options.emulated {
        let mut zdma = Zdma::emulated(device);
        ("emulated".to_owned(), dma::run(device, &mut zdma, rounds)?)
    } else {
        let name = &options.channel;
        let mut zdma = Zdma::open_named(name).map_err(no_channel)?;
        (name.clone(), dma::run(device, &mut zdma, rounds)?)
    };
    let port = dma::judge(&experiments);
    let right = |name: &str| {
        let mut named = experiments
            .iter()
            .filter(|experiment| experiment.name == name);
        named.all(|experiment| experiment.wrong_bytes == 0)
    };
    Ok(Dma {
        channel,
        port,
        correct: right(dma::ALL_SYNCS),
        agrees: right(dma::AS_THE_POOL_SAYS),
        experiments,
    })
}

fn no_channel(error: ZdmaError) -> Failure {
    let way_out = "give a channel to UIO in the device tree: compatible = \"generic-uio\" and \
                   linux,uio-name = \"zdma\" instead of the kernel's driver, as dts/qemu-zcu102.dtsi has it; \
                   start the kernel with uio_pdrv_genirq.of_id=generic-uio, and run it as root";
    Failure::new("there is no DMA channel to copy with", way_out).because(error)
}

impl Report {
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.machine.text());
        text += &self.sync.text();
        text += &self.memory.text();
        if let Some(dma) = &self.dma {
            let _ = writeln!(text, "\ncopies by channel {}:", dma.channel);
            for e in &dma.experiments {
                let _ = writeln!(
                    text,
                    "  {:<34} {:>10} bytes, {:>10} wrong",
                    e.name, e.bytes, e.wrong_bytes
                );
            }
            let _ = writeln!(text, "{}", dma.verdict());
        } else {
            text += "\nWithout --dma it is not known whether a port snoops the caches.\n";
        }
        if let Some(why) = &self.machine.emulator {
            let _ = writeln!(
                text,
                "\nTHIS IS AN EMULATOR ({why}): no figure here is one of a board, and what is said of \
                 caches is said of the emulator's."
            );
        }
        text
    }
}

impl Dma {
    fn verdict(&self) -> String {
        if !self.correct {
            return "Data is wrong even with all syncs: see whether the channel may access the region \
                    (isolation of the firmware, SMMU), and doctor for the region itself."
                .to_owned();
        }
        let port = match self.port {
            Port::Coherent => "The channel behaves coherently: it saw the caches in every copy.",
            Port::NotCoherent => "The channel does not behave coherently: without a sync data is stale.",
            Port::Mixed => {
                "The channel sees the caches in part: some copies without a sync were stale, some were \
                 not. Treat it as not coherent."
            }
        };
        let pool = if self.agrees {
            "The syncs of this pool are right for it."
        } else {
            "THE POOL IS SET UP WRONGLY FOR IT: dma-coherent leaves out syncs that this channel needs. \
             Remove the property from the pool's node."
        };
        format!("{port}\n{pool}\nA port of the FPGA is another master than this channel: it may differ.")
    }
}

/// Bytes with their unit, in a column.
fn column(bytes: usize) -> String {
    format!("{:>9}", size(bytes as u64))
}
