// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parses the layer with a real BitBake, where one is given.
//!
//! Nothing is fetched or built. The configuration is the smallest that gets through oe-core's own
//! checks on a machine that lacks what a build needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context as _, Result};

use super::{BACKPORT, LAYER};
use crate::context::Context;
use crate::guest_tests::Report;
use crate::kernel::parallel;
use crate::process::{capture, run_logged};
use crate::ui::{note, Step};

/// Where the three are given: BitBake, oe-core and meta-xilinx, of releases that fit together.
const GIVEN: [&str; 3] = ["BITBAKE_DIR", "OE_CORE_DIR", "META_XILINX_DIR"];

/// Parses all recipes of the layer, or says what would be needed to do so.
pub(crate) fn parse(context: &Context) -> Result<Report> {
    let given = GIVEN.map(|name| std::env::var_os(name).map(PathBuf::from));
    let [Some(bitbake), Some(core), Some(xilinx)] = given else {
        return Ok(Report {
            skipped: Some(format!("not all are given: {}", GIVEN.join(", "))),
            ..Report::default()
        });
    };
    let core = core.join("meta");
    let names = setting(&core, "LAYERSERIES_CORENAMES")?;
    let release = names.first().context("oe-core has no name")?;
    let xilinx = xilinx.join("meta-xilinx-core");
    let fits = setting(&xilinx, "LAYERSERIES_COMPAT_xilinx")?.contains(release);
    if !fits {
        note(format!(
            "meta-xilinx is not for {release}: parsed without it"
        ));
    }
    let build = Build::new(context, &bitbake, release)?;
    let own = context.root.join(LAYER);
    let mut layers = vec![core, own.clone()];
    if fits {
        layers.extend([xilinx, build.stand_in(release)?]);
    }
    let backport = own.join(format!("{}{release}", &BACKPORT[1..]));
    layers.extend(backport.is_dir().then_some(backport));
    build.configure(&layers, fits)?;
    build.parse()?;
    build.expect("fpgamem-module", "EXTRA_OEMAKE", "KDIR=")?;
    build.expect("fpgamem-module", "SRC_URI", "file://driver")?;
    build.expect("libfpgamem", "SRC_URI", "file://Cargo.lock")?;
    if fits {
        build.expect("linux-xlnx", "SRC_URI", "file://fpgamem.cfg")?;
        build.expect("linux-xlnx", "KERNEL_FEATURES", "rust")?;
        build.expect("device-tree", "SRC_URI", "file://fpgamem.dtsi")?;
    }
    Ok(Report::default())
}

/// The words of a variable in a layer's configuration.
fn setting(layer: &Path, name: &str) -> Result<Vec<String>> {
    let path = layer.join("conf/layer.conf");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|rest| rest.trim_start().strip_prefix('='));
    let value = value.with_context(|| format!("{} sets no {name}", path.display()))?;
    Ok(value
        .trim()
        .trim_matches('"')
        .split_whitespace()
        .map(str::to_owned)
        .collect())
}

/// A build folder of BitBake.
struct Build {
    bitbake: PathBuf,
    dir: PathBuf,
}

impl Build {
    fn new(context: &Context, bitbake: &Path, release: &str) -> Result<Self> {
        let dir = context.target.join("bitbake").join(release);
        fs::create_dir_all(dir.join("conf"))?;
        // BitBake wants this locale; all that it uses of it is in the one that every machine has.
        let locale = dir.join("locale/en_US.UTF-8");
        if !locale.is_dir() {
            fs::create_dir_all(dir.join("locale"))?;
            let mut copy = Command::new("cp");
            capture(copy.args(["-R", "/usr/lib/locale/C.utf8"]).arg(&locale))?;
        }
        Ok(Self {
            bitbake: fs::canonicalize(bitbake)?,
            dir,
        })
    }

    /// An empty layer in the place of meta-arm, which meta-xilinx asks for.
    fn stand_in(&self, release: &str) -> Result<PathBuf> {
        let layer = self.dir.join("meta-arm");
        fs::create_dir_all(layer.join("conf"))?;
        let text = format!(
            "BBFILE_COLLECTIONS += \"meta-arm\"\n\
             BBFILE_PATTERN_meta-arm = \"^${{LAYERDIR}}/\"\n\
             BBFILE_PATTERN_IGNORE_EMPTY_meta-arm = \"1\"\n\
             LAYERSERIES_COMPAT_meta-arm = \"{release}\"\n"
        );
        fs::write(layer.join("conf/layer.conf"), text)?;
        Ok(layer)
    }

    fn configure(&self, layers: &[PathBuf], xilinx: bool) -> Result<()> {
        let layers: Vec<String> = layers.iter().map(|l| l.display().to_string()).collect();
        let text = format!(
            "BBPATH = \"${{TOPDIR}}\"\nBBFILES ?= \"\"\nBBLAYERS = \"{}\"\n",
            layers.join(" ")
        );
        fs::write(self.dir.join("conf/bblayers.conf"), text)?;
        let machine = if xilinx {
            "zynqmp-generic"
        } else {
            "qemuarm64"
        };
        // meta-xilinx's TF-A includes a file of the real meta-arm.
        let text = format!(
            "MACHINE = \"{machine}\"\n\
             DISTRO ?= \"nodistro\"\n\
             INHERIT:remove = \"sanity\"\n\
             HOSTTOOLS = \"\"\n\
             HOSTTOOLS_NONFATAL = \"\"\n\
             BB_NUMBER_PARSE_THREADS = \"{}\"\n\
             BBMASK = \"/meta-xilinx-core/recipes-bsp/trusted-firmware\"\n\
             KERNEL_FEATURES:append = \" rust\"\n\
             SYSTEM_DTFILE = \"${{FPGAMEM_ROOT}}/dts/qemu-zcu102.dts\"\n\
             EXTRA_DT_INCLUDE_FILES:append:pn-device-tree = \" fpgamem.dtsi\"\n",
            parallel()
        );
        fs::write(self.dir.join("conf/local.conf"), text)?;
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bitbake.join("bin/bitbake"));
        let path = format!(
            "{}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            self.bitbake.display()
        );
        command.current_dir(&self.dir).args(arguments);
        command.env("PATH", path);
        for (name, folder) in [
            ("BBPATH", self.dir.clone()),
            ("BUILDDIR", self.dir.clone()),
            ("LOCPATH", self.dir.join("locale")),
        ] {
            command.env(name, folder);
        }
        command.env("LC_ALL", "en_US.UTF-8");
        command.env("BB_ENV_PASSTHROUGH_ADDITIONS", "LOCPATH");
        command
    }

    /// Parses everything that the layers hold.
    fn parse(&self) -> Result<()> {
        let mut step = Step::start("parse all recipes; the first time takes minutes");
        let log = self.dir.join("parse.log");
        run_logged(&mut self.command(&["-p"]), &log, |line| {
            step.progress(|| line.chars().take(60).collect());
        })?;
        step.done();
        Ok(())
    }

    /// A recipe's variable, as BitBake has it in the end, holds a text.
    fn expect(&self, recipe: &str, variable: &str, text: &str) -> Result<()> {
        let environment = capture(&mut self.command(&["-e", recipe]))?;
        let prefix = format!("{variable}=\"");
        let value = environment
            .lines()
            .find_map(|line| line.strip_prefix(&prefix))
            .with_context(|| format!("{recipe} has no {variable}"))?;
        if !value.contains(text) {
            bail!("{variable} of {recipe} lacks {text}: {value}");
        }
        Ok(())
    }
}
