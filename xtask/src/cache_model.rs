// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cache model: QEMU's plugin of `cachemodel/`, its place in a run of the guest, and its verdict.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::board;
use crate::context::Context;
use crate::guest::Outcome;
use crate::initramfs::Files;
use crate::kernel::Kernel;
use crate::plugins;
use crate::process::capture;
use crate::programs;
use crate::qemu::{Access, Plugin};

/// Bytes of the board's DDR.
const DDR_BYTES: u64 = 2 << 30;

/// Physical addresses of the region where the device tree does not say.
const DEFAULT_REGION: Range<u64> = 0x4000_0000..0x8000_0000;

/// Where `dts/accelerator.dtso` has the accelerator's registers.
const ACCELERATOR_REGISTERS: u64 = 0x3fff_f000;

/// The interrupt that it has for the accelerator, and the plugin raises.
const ACCELERATOR_INTERRUPT: u32 = 89;

/// Options of commands that can run the guest under the model.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct CacheModelArgs {
    /// Give the board a data cache, which QEMU lacks, and fail for every wrong cache maintenance;
    /// POLICY says what the cache does unasked: never, evict or prefetch, or these with :SEED
    #[arg(
        long,
        value_name = "POLICY",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "never"
    )]
    pub(crate) cache_model: Option<String>,
    /// Write what the cache model found and counted to a file
    #[arg(long, value_name = "FILE", requires = "cache_model")]
    pub(crate) json: Option<PathBuf>,
}

impl CacheModelArgs {
    /// Builds the plugin if the options ask for it.
    pub(crate) fn prepare(&self, context: &Context) -> Result<Option<CacheModel>> {
        let prepare = |policy: &String| {
            Ok(CacheModel {
                json: self.json.clone(),
                ..CacheModel::new(context, policy)?
            })
        };
        self.cache_model.as_ref().map(prepare).transpose()
    }
}

/// The plugin, and how to use it.
#[derive(Debug, Clone)]
pub(crate) struct CacheModel {
    pub(crate) library: PathBuf,
    pub(crate) policy: String,
    /// Where the findings are wanted.
    pub(crate) json: Option<PathBuf>,
    /// Whether the run is for the sake of the mistakes that are found in it.
    pub(crate) expects_mistakes: bool,
}

/// The model in one run of the guest.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    model: &'a CacheModel,
    region: Range<u64>,
    /// The board's memory, which has no name and is gone with this process.
    ddr: File,
    findings: PathBuf,
    /// Where QEMU takes commands of the plugin. The names of sockets are short.
    socket: PathBuf,
    objects: Vec<PathBuf>,
    system_map: PathBuf,
}

impl CacheModel {
    /// Builds the plugin.
    pub(crate) fn new(context: &Context, policy: &str) -> Result<Self> {
        Ok(Self {
            library: plugins::build(context, "fpgamem-cachemodel", "build the cache model")?,
            policy: policy.to_owned(),
            json: None,
            expects_mistakes: false,
        })
    }

    /// Prepares a run whose files are in the folder of `dtb`, the board's device tree, to which it
    /// adds the accelerator. `files` are the guest's.
    pub(crate) fn session(
        &self,
        context: &Context,
        kernel: &Kernel,
        files: &Files,
        dtb: &Path,
    ) -> Result<Session<'_>> {
        // Of the tests' board, the pool that most programs use.
        let region = board::region(dtb).map_or(DEFAULT_REGION, |region| region.addresses);
        board::apply(&context.root.join("dts/accelerator.dtso"), dtb)?;
        let dir = dtb.parent().unwrap_or(Path::new("."));
        let folder = if has_room(Path::new("/dev/shm")) {
            Path::new("/dev/shm")
        } else {
            dir
        };
        let objects = files.hosts().filter(|path| is_elf(path));
        Ok(Session {
            model: self,
            region,
            ddr: unnamed_file(folder)?,
            findings: dir.join("cache-model.json"),
            socket: std::env::temp_dir().join(socket_name(dir)),
            objects: objects.map(programs::with_symbols).collect(),
            system_map: kernel.system_map(),
        })
    }
}

impl Session<'_> {
    /// What QEMU is started with.
    pub(crate) fn plugin(&self) -> Plugin {
        // As QEMU opens it.
        let memory = format!("/proc/{}/fd/{}", std::process::id(), self.ddr.as_raw_fd());
        Plugin {
            option: self.option(&memory),
            access: Some(Access {
                memory,
                socket: escaped(&self.socket),
            }),
        }
    }

    /// The value of QEMU's option `-plugin`.
    fn option(&self, memory: &str) -> String {
        let mut text = escaped(&self.model.library);
        text += &format!(",policy={},ddr={memory}", self.model.policy);
        let Range { start, end } = self.region;
        text += &format!(",region={start:#x}-{end:#x}");
        text += &format!(",accelerator={ACCELERATOR_REGISTERS:#x}");
        let socket = escaped(&self.socket);
        text += &format!(",interrupt={ACCELERATOR_INTERRUPT}:{socket}");
        text += &format!(",json={}", escaped(&self.findings));
        if self.model.expects_mistakes {
            text += ",quiet=on";
        }
        text += &format!(",map={}", escaped(&self.system_map));
        for object in &self.objects {
            text += &format!(",symbols={}", escaped(object));
        }
        text
    }

    /// What the run comes to, with what the model found.
    pub(crate) fn judge(&self, outcome: Outcome) -> Result<Outcome> {
        let Ok(text) = fs::read_to_string(&self.findings) else {
            let why = "the cache model left no findings";
            return Ok(outcome.and_then(|_| Err(why.to_owned())));
        };
        if let Some(path) = &self.model.json {
            fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let findings: Value = serde_json::from_str(&text).context("the findings are no JSON")?;
        if let Some(line) = findings["unexplained"].as_str() {
            let why = format!("the cache model lost track of the line at {line}");
            return Ok(outcome.and(Err(why)));
        }
        let count = findings["reports"].as_array().map_or(0, Vec::len);
        if count == 0 || self.model.expects_mistakes {
            return Ok(outcome);
        }
        Ok(outcome.and_then(|status| {
            Err(format!(
                "the cache model ({}) found {count} mistakes, listed above and in {}; \
                 the command itself ended with status {status}",
                self.model.policy,
                self.findings.display()
            ))
        }))
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // QEMU leaves it where it is killed.
        let _ = fs::remove_file(&self.socket);
    }
}

/// The name of the socket of the run in a folder.
fn socket_name(dir: &Path) -> String {
    let run = dir.file_name().unwrap_or_default().to_string_lossy();
    format!("fpgamem-{run}.qtest")
}

/// QEMU takes a single comma for the end of an option's part.
pub(crate) fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Whether a file system has room for the board's memory.
fn has_room(folder: &Path) -> bool {
    let mut df = Command::new("df");
    df.args(["--output=avail", "--block-size=1"]).arg(folder);
    let Ok(text) = capture(&mut df) else {
        return false;
    };
    let free = text
        .lines()
        .nth(1)
        .and_then(|line| line.trim().parse().ok());
    free.is_some_and(|bytes: u64| bytes > DDR_BYTES)
}

/// A file of the size of the board's memory, all zeroes and not in any folder.
fn unnamed_file(folder: &Path) -> Result<File> {
    let path = folder.join(format!("fpgamem-ddr-{}", std::process::id()));
    let failed = || format!("cannot create {}", path.display());
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    let file = options.open(&path).with_context(failed)?;
    fs::remove_file(&path).with_context(failed)?;
    file.set_len(DDR_BYTES).with_context(failed)?;
    Ok(file)
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok())
        && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_paths_are_doubled() {
        assert_eq!(escaped(Path::new("/a,b/c")), "/a,,b/c");
    }

    #[test]
    fn the_memory_is_there_as_long_as_it_is_held() {
        let file = unnamed_file(&std::env::temp_dir()).unwrap();
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        assert_eq!(fs::metadata(&path).unwrap().len(), DDR_BYTES);
    }

    fn session<'a>(model: &'a CacheModel, findings: &str) -> Session<'a> {
        let dir = std::env::temp_dir();
        let name = format!("fpgamem-findings-{}", std::process::id());
        let path = dir.join(format!("{name}-{}", findings.len()));
        fs::write(&path, findings).unwrap();
        Session {
            model,
            region: DEFAULT_REGION,
            ddr: File::open("/dev/null").unwrap(),
            findings: path,
            socket: PathBuf::from("/nonexistent/socket"),
            objects: Vec::new(),
            system_map: PathBuf::new(),
        }
    }

    fn model() -> CacheModel {
        CacheModel {
            library: PathBuf::new(),
            policy: "never".to_owned(),
            json: None,
            expects_mistakes: false,
        }
    }

    #[test]
    fn a_finding_outweighs_a_good_status() {
        let mut model = model();
        let found = r#"{"reports": [{}], "unexplained": null}"#;
        let why = session(&model, found).judge(Ok(0)).unwrap().unwrap_err();
        assert!(why.contains("1 mistakes"), "{why}");
        model.expects_mistakes = true;
        assert_eq!(session(&model, found).judge(Ok(3)).unwrap(), Ok(3));
    }

    #[test]
    fn without_findings_the_status_is_the_commands() {
        let model = model();
        let found = r#"{"reports": [], "unexplained": null}"#;
        assert_eq!(session(&model, found).judge(Ok(3)).unwrap(), Ok(3));
    }

    #[test]
    fn a_model_that_lost_track_proves_nothing() {
        let model = model();
        let found = r#"{"reports": [], "unexplained": "0x40000000"}"#;
        let why = session(&model, found).judge(Ok(0)).unwrap().unwrap_err();
        assert!(why.contains("0x40000000"));
    }
}
