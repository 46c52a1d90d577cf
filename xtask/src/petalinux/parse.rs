// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parses the layer with a real BitBake, where one is given, and looks at what comes out.
//!
//! Nothing is fetched or built. The configuration is the smallest that gets through oe-core's own
//! checks on a machine that lacks what a build needs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};

use super::bitbake::Build;
use super::expected::{Configuration, KERNEL_RECIPE, KERNEL_VERSION};
use super::{guide, layers, LAYER, RELEASES};
use crate::context::Context;
use crate::guest_tests::Report;
use crate::ui::note;

/// Where the layers are given that fit together, and BitBake. Each is a list in the form of `PATH`, of
/// one folder for each configuration.
const GIVEN: [&str; 3] = ["BITBAKE_DIR", "OE_CORE_DIR", "META_XILINX_DIR"];

/// The same for meta-arm, without which an empty layer takes its place.
const META_ARM: &str = "META_ARM_DIR";

/// What the graph of tasks is made for.
const WANTED: [&str; 2] = ["packagegroup-fpgamem", "fpgamem-image"];

/// The tests, where the release can build them.
const TESTS: &str = "fpgamem-tests";

/// The device tree, where meta-xilinx has a recipe for it.
const DEVICE_TREE: &str = "device-tree";

/// The oldest kernel that has what the driver is written on.
const KERNEL: (u32, u32) = (6, 18);

/// What belongs together.
struct Given {
    bitbake: PathBuf,
    core: PathBuf,
    xilinx: Option<PathBuf>,
    arm: Option<PathBuf>,
}

/// Parses all recipes of the layer, or says what would be needed to do so.
pub(crate) fn parse(context: &Context) -> Result<Report> {
    if GIVEN.iter().any(|name| std::env::var_os(name).is_none()) {
        return Ok(Report {
            skipped: Some(format!("not all are given: {}", GIVEN.join(", "))),
            ..Report::default()
        });
    }
    let mut report = Report::default();
    for (number, given) in given()?.iter().enumerate() {
        let checked = check(context, number, given);
        let core = given.core.display();
        report.totals.passed += checked.with_context(|| format!("with oe-core in {core}"))?;
        report.totals.results += 1;
    }
    Ok(report)
}

/// The configurations that the environment names.
fn given() -> Result<Vec<Given>> {
    let list = |name: &str| -> Vec<PathBuf> {
        let value = std::env::var_os(name).unwrap_or_default();
        std::env::split_paths(&value).collect()
    };
    let [bitbakes, cores, xilinxes] = GIVEN.map(list);
    let mut arms = list(META_ARM);
    arms.resize(arms.len().max(cores.len()), PathBuf::new());
    let lengths = [bitbakes.len(), cores.len(), xilinxes.len(), arms.len()];
    if lengths.iter().any(|length| *length != cores.len()) {
        bail!(
            "{}, {META_ARM} have {lengths:?} folders: give as many of each, an empty name for none",
            GIVEN.join(", ")
        );
    }
    let rest = xilinxes.iter().zip(&arms);
    let all = bitbakes.iter().zip(&cores).zip(rest);
    all.map(|((bitbake, core), (xilinx, arm))| {
        Ok(Given {
            bitbake: existing(bitbake)?,
            core: existing(core)?,
            xilinx: optional(xilinx)?,
            arm: optional(arm)?,
        })
    })
    .collect()
}

/// The whole path of a folder.
fn existing(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).with_context(|| format!("there is no folder {:?}", path.display()))
}

/// The same, where the name may be empty.
fn optional(path: &Path) -> Result<Option<PathBuf>> {
    let given = !path.as_os_str().is_empty();
    given.then(|| existing(path)).transpose()
}

/// Parses one configuration; how many values and tasks were as expected.
fn check(context: &Context, number: usize, given: &Given) -> Result<u64> {
    let core = given.core.join("meta");
    let names = layers::setting(&core, "LAYERSERIES_CORENAMES")?;
    let release = names.first().context("oe-core has no name")?;
    if !RELEASES.contains(&release.as_str()) {
        bail!("it is {release}; the layer is for {}", RELEASES.join(", "));
    }
    let xilinx = match &given.xilinx {
        Some(path) => {
            let layer = path.join("meta-xilinx-core");
            let fits = layers::setting(&layer, "LAYERSERIES_COMPAT_xilinx")?.contains(release);
            fits.then_some(layer)
        }
        None => None,
    };
    if xilinx.is_none() {
        note(format!(
            "no meta-xilinx for {release} is given: parsed without, for a machine of oe-core"
        ));
    }
    let name = format!("{release}-{number}");
    let build = Build::new(context, &given.bitbake, &name)?;
    let own = layers::of_project(&context.root.join(LAYER), release);
    let mut all = vec![core];
    all.extend(own.iter().cloned());
    if let Some(xilinx) = &xilinx {
        all.push(xilinx.clone());
        match &given.arm {
            Some(arm) => all.extend(["meta-arm", "meta-arm-toolchain"].map(|l| arm.join(l))),
            None => all.push(build.stand_in(release)?),
        }
    }
    let masked = masked(given, xilinx.as_deref(), &all)?;
    let settings = guide::settings(context)?;
    build.configure(&all, xilinx.is_some(), &masked, &settings)?;
    let configuration = Configuration {
        xilinx: xilinx.is_some(),
        backport: own.len() > 1,
        crates: super::render_crates(context)?.matches("crate://").count(),
    };
    let tests = configuration.tests().then_some(TESTS);
    let tree = configuration.xilinx.then_some(DEVICE_TREE);
    let wanted: Vec<&str> = WANTED.into_iter().chain(tests).chain(tree).collect();
    let graph = build.graph(&wanted)?;
    note(format!(
        "{release}: {} {} tasks.",
        graph.summary,
        graph.count()
    ));
    let mut found = configuration.check_tasks(&graph)?;
    for (recipe, values) in build.values(&configuration.variables())? {
        let checked = configuration.check_values(&values, &recipe);
        found += checked.with_context(|| format!("{recipe} on {release}"))?;
        if recipe == KERNEL_RECIPE {
            tell_kernel(values.get(KERNEL_VERSION)?);
        }
    }
    Ok(found)
}

/// What is not parsed: appends for recipes of layers that are not given, which would be an error, and
/// a recipe that includes a file of the real meta-arm where that is not given.
fn masked(given: &Given, xilinx: Option<&Path>, all: &[PathBuf]) -> Result<Vec<String>> {
    let Some(xilinx) = xilinx else {
        return Ok(Vec::new());
    };
    let mut masked = layers::dangling(xilinx, all)?;
    if given.arm.is_none() {
        masked.push("/meta-xilinx-core/recipes-bsp/trusted-firmware".to_owned());
        note(format!(
            "{META_ARM} is not given: TF-A is not parsed, and an empty layer takes its place"
        ));
    }
    Ok(masked)
}

/// Says so where the kernel that the append was applied to is too old for the driver.
fn tell_kernel(version: &str) {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    let of = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = KERNEL;
    if of < KERNEL {
        note(format!(
            "meta-xilinx has linux-xlnx {version}, and the driver needs {major}.{minor}: \
             the append was applied, but no such image would build"
        ));
    } else {
        note(format!("the append was applied to linux-xlnx {version}"));
    }
}
