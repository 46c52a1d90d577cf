// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Yocto layer: what can be checked of it without a Yocto build.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context as _, Result};
use serde_json::Value;

use crate::context::Context;
use crate::files::files_below;
use crate::process::capture;
use crate::python;
use crate::recipe::{Known, Recipe};

mod bitbake;
mod expected;
mod guide;
mod layers;
mod packages;
mod parse;
mod ptest;
mod steps;

pub(crate) use guide::device_trees;
pub(crate) use parse::parse;
pub(crate) use steps::{check_module, install_all, Installed};

/// The layer, below the checkout's root.
const LAYER: &str = "petalinux";

/// The list of crates, below the layer.
const CRATES: &str = "recipes-support/libfpgamem/libfpgamem-crates.inc";

/// The release of the linter that the layer is known to pass.
const OELINT: &str = "9.11.2";

/// The beginning of the names of layers for one release.
const BACKPORT: &str = "/backport-";

/// The Yocto releases that the layer is for.
const RELEASES: [&str; 2] = ["scarthgap", "wrynose"];

/// What the linter need not say, and why.
const SUPPRESSED: [&str; 5] = [
    // The appends do nothing until Rust is switched on.
    "oelint.vars.noncoreoverride",
    // The project has no address of its own.
    "oelint.var.mandatoryvar.HOMEPAGE",
    "oelint.var.suggestedvar.BUGTRACKER",
    // Nothing here is of use on the build machine.
    "oelint.var.bbclassextend",
    // What is right must not depend on the network.
    "oelint.vars.homepageping",
];

/// Checks the layer against the tree around it.
pub(crate) fn check(context: &Context) -> Result<()> {
    let layer = context.root.join(LAYER);
    let recipes = recipes(&layer)?;
    lint(context, &recipes)?;
    let metadata = metadata(context)?;
    let mut problems = check_crates(context, &metadata)?;
    let version = workspace_version(&metadata)?;
    for path in &recipes {
        let recipe = Recipe::read(path)?;
        let found = check_recipe(context, &recipe, &version, &metadata);
        problems.extend(found.with_context(|| path.display().to_string())?);
    }
    let (made, unmade) = packages_of(&recipes)?;
    problems.extend(unmade);
    problems.extend(guide::check(context, &made)?);
    steps::check_udev(context)?;
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(())
}

/// All recipes and appends of the layer, and of the layers in it.
fn recipes(layer: &Path) -> Result<Vec<PathBuf>> {
    let mut found = files_below(layer)?;
    found.retain(|path| {
        path.extension()
            .is_some_and(|e| e == "bb" || e == "bbappend")
    });
    found.sort();
    if found.is_empty() {
        bail!("there is no recipe below {}", layer.display());
    }
    Ok(found)
}

/// The linter, for each release. It says nothing where nothing is wrong.
fn lint(context: &Context, recipes: &[PathBuf]) -> Result<()> {
    let program = python::install(&context.cache, "oelint-adv", OELINT)?.join("oelint-adv");
    let known = context.target.join("oelint-known.json");
    fs::write(&known, own_variables(&context.root.join(LAYER))?)?;
    for release in RELEASES {
        let mut command = Command::new(&program);
        command.current_dir(&context.root);
        command.args(["--release", release, "--mode", "all"]);
        command.args(["--quiet", "--relpaths", "--jobs", "2"]);
        command.arg(format!("--constantmods=+{}", known.display()));
        for rule in SUPPRESSED {
            command.args(["--suppress", rule]);
        }
        // A layer in the layer is for the release that its folder is named after.
        let for_release = |path: &&PathBuf| {
            let path = path.display().to_string();
            !path.contains(BACKPORT) || path.contains(&format!("{BACKPORT}{release}/"))
        };
        command.args(recipes.iter().filter(for_release));
        let output = command.output().context("cannot run oelint-adv")?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        if !output.status.success() || !text.trim().is_empty() {
            bail!("oelint-adv for {release} says:\n{}", text.trim_end());
        }
    }
    Ok(())
}

/// The layer's own variables, as the linter wants to be told of them.
fn own_variables(layer: &Path) -> Result<String> {
    let mut names = BTreeSet::from(["module_conf_uio_pdrv_genirq".to_owned()]);
    for path in files_below(layer)? {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
        let own = |word: &&str| word.starts_with("FPGAMEM_");
        names.extend(words.filter(own).map(str::to_owned));
    }
    let names: Vec<&String> = names.iter().collect();
    Ok(serde_json::json!({ "variables": { "known": names } }).to_string())
}

/// Cargo's view of the workspace and all of its dependencies.
fn metadata(context: &Context) -> Result<Value> {
    let mut cargo = context.cargo();
    cargo.args(["metadata", "--locked", "--format-version", "1"]);
    serde_json::from_str(&capture(&mut cargo)?).context("cargo metadata is no JSON")
}

/// The packages of the workspace.
fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    let packages = metadata["packages"].as_array();
    packages
        .into_iter()
        .flatten()
        .filter(|package| package["source"].is_null())
}

fn workspace_version(metadata: &Value) -> Result<String> {
    let library = members(metadata).find(|package| package["name"] == "fpgamem");
    let version = library.and_then(|package| package["version"].as_str());
    Ok(version.context("there is no package fpgamem")?.to_owned())
}

/// The crates of the lock file as a recipe fetches them.
fn render_crates(context: &Context) -> Result<String> {
    let text = fs::read_to_string(context.root.join("Cargo.lock"))?;
    let lock: toml::Value = toml::from_str(&text).context("Cargo.lock")?;
    let packages = lock["package"]
        .as_array()
        .context("Cargo.lock has no packages")?;
    let mut uris = String::new();
    let mut sums = String::new();
    for package in packages {
        let field = |name: &str| package.get(name).and_then(toml::Value::as_str);
        let (Some(name), Some(version)) = (field("name"), field("version")) else {
            bail!("Cargo.lock has a package without a name");
        };
        let Some(sum) = field("checksum") else {
            continue;
        };
        uris.push_str(&format!("    crate://crates.io/{name}/{version} \\\n"));
        sums.push_str(&format!(
            "SRC_URI[{name}-{version}.sha256sum] = \"{sum}\"\n"
        ));
    }
    Ok(format!(
        "# SPDX-License-Identifier: MIT OR Apache-2.0\n\
         # Written by `cargo xtask crates` from Cargo.lock.\n\n\
         SRC_URI += \"\\\n{uris}\"\n\n{sums}"
    ))
}

/// `cargo xtask crates`.
pub(crate) fn write_crates(context: &Context) -> Result<()> {
    let path = context.root.join(LAYER).join(CRATES);
    fs::write(&path, render_crates(context)?).with_context(|| path.display().to_string())
}

/// The recipes fetch what the lock file names, and scarthgap's Cargo can read all of it.
fn check_crates(context: &Context, metadata: &Value) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let have = fs::read_to_string(context.root.join(LAYER).join(CRATES))?;
    if have != render_crates(context)? {
        problems.push(format!(
            "{CRATES} does not fit Cargo.lock: run `cargo xtask crates`"
        ));
    }
    let old = ["2015", "2018", "2021"];
    let packages = metadata["packages"].as_array().into_iter().flatten();
    for package in packages.filter(|p| p["edition"].as_str().is_none_or(|e| !old.contains(&e))) {
        problems.push(format!(
            "{} {} is of edition {}, which Cargo 1.75 of scarthgap cannot even list: \
             use an older one (cargo update --precise)",
            package["name"], package["version"], package["edition"]
        ));
    }
    Ok(problems)
}

/// Versions, licences and sources of one recipe.
fn check_recipe(
    context: &Context,
    recipe: &Recipe,
    version: &str,
    metadata: &Value,
) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let (name, of_recipe) = recipe.name_and_version();
    if !recipe.inherits("fpgamem_source") {
        return Ok(problems);
    }
    if of_recipe.as_deref() != Some(version) {
        problems.push(format!(
            "{name}: the name of the file says version {}, the workspace {version}",
            of_recipe.as_deref().unwrap_or("none")
        ));
    }
    let root = &context.root;
    let known = Known::from([("FPGAMEM_UNPACKDIR", "/unpacked".to_owned())]);
    let sources = recipe.words("FPGAMEM_SOURCES", &known)?;
    for source in sources.iter().filter(|source| !root.join(source).exists()) {
        problems.push(format!("{name}: there is no {source} in the repository"));
    }
    // Relative to S, which is in or at /unpacked/fpgamem, where the repository's files go.
    let source = PathBuf::from(recipe.get("S", &known)?);
    let below = source
        .strip_prefix("/unpacked/fpgamem")
        .with_context(|| format!("{name}: S is {}", source.display()))?;
    for licence in recipe.words("LIC_FILES_CHKSUM", &known)? {
        let parts = licence
            .strip_prefix("file://")
            .and_then(|rest| rest.split_once(";md5="));
        let (file, sum) = parts.with_context(|| format!("{name}: {licence}"))?;
        let path = root.join(below).join(file);
        let printed = capture(Command::new("md5sum").arg(&path))?;
        if printed.split_whitespace().next() != Some(sum) {
            problems.push(format!("{name}: {file} has another checksum than {sum}"));
        }
    }
    if recipe.inherits("cargo") || recipe.inherits("ptest-cargo") {
        problems.extend(lacking_members(root, &name, &sources, metadata));
    }
    Ok(problems)
}

/// Members of the workspace that a recipe does not unpack.
fn lacking_members(root: &Path, recipe: &str, sources: &[String], metadata: &Value) -> Vec<String> {
    let manifests = members(metadata).filter_map(|package| package["manifest_path"].as_str());
    let lacking = manifests.filter_map(|path| {
        let below = Path::new(path).strip_prefix(root).ok()?;
        let has = sources.iter().any(|source| below.starts_with(source));
        (!has).then(|| format!("{recipe}: FPGAMEM_SOURCES lacks {}", below.display()))
    });
    lacking.collect()
}

/// The packages that recipes make, and what is wrong where one wants another of this project's.
fn packages_of(recipes: &[PathBuf]) -> Result<(BTreeSet<String>, Vec<String>)> {
    let mut made = BTreeSet::new();
    let mut wanted = Vec::new();
    for path in recipes {
        let recipe = Recipe::read(path)?;
        let (name, _) = recipe.name_and_version();
        let known = Known::from([("PN", name.clone())]);
        made.insert(name.clone());
        made.insert(format!("{name}-dev"));
        if recipe.inherits("ptest-cargo") {
            made.insert(format!("{name}-ptest"));
        }
        made.extend(recipe.words("PACKAGES", &known)?);
        for variable in ["RDEPENDS:${PN}", "RDEPENDS:${PN}-ptest", "IMAGE_INSTALL"] {
            for package in recipe.words(variable, &known)? {
                wanted.push((name.clone(), package));
            }
        }
    }
    let own = |package: &str| package.contains("fpgamem");
    let missing = wanted.into_iter().filter(|(_, package)| own(package));
    let missing = missing.filter(|(_, package)| !made.contains(package));
    let missing = missing
        .map(|(recipe, package)| format!("{recipe} wants {package}, which no recipe makes"))
        .collect();
    Ok((made, missing))
}
