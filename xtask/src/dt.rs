// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks of the device trees and their schemas.
//!
//! dtschema's programs exit with 0 whatever they find, so that any output counts as a failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context as _, Result};

use crate::context::Context;
use crate::files::with_extension;
use crate::petalinux;
use crate::process::shown;
use crate::python;

/// The release of dtschema that the bindings are known to pass with.
const DTSCHEMA: &str = "2026.9";

/// The list of the kernel's schemas that the trees need.
const KERNEL_SCHEMAS: &str = "dts/kernel-bindings.txt";

/// Trees that are wrong on purpose begin with this; the schema must find fault with them.
const WRONG: &str = "test-bad-";

/// Each overlay, with the tree that it is for.
const OVERLAYS: [(&str, &str); 2] = [
    ("accelerator", "qemu-zcu102"),
    ("fpgamem-pl", "test-pl-base"),
];

/// The board that pieces of device tree are tried on.
const BOARD: &str = "dts/qemu-zcu102.dtsi";

/// Checks all of `dts/` against its own schemas and the kernel's.
pub(crate) fn check(context: &Context, kernel_source: &Path) -> Result<()> {
    let programs = python::install(&context.cache, "dtschema", DTSCHEMA)?;
    let dir = context.target.join("dt");
    let schemas = dir.join("schemas");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&schemas)?;

    let own = collect_schemas(context, kernel_source, &schemas)?;
    let mut check = Command::new(programs.join("dt-doc-validate"));
    silent(check.arg("-u").arg(&schemas).args(&own))?;
    let processed = dir.join("schemas.json");
    silent(
        Command::new(programs.join("dt-mk-schema"))
            .arg("-j")
            .arg("-o")
            .args([&processed, &schemas]),
    )?;
    let validate = || {
        let mut command = Command::new(programs.join("dt-validate"));
        command.arg("-m").arg("-s").arg(&processed);
        command
    };

    for tree in with_extension(&context.root.join("dts"), "dts")? {
        let name = tree
            .file_stem()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let dtb = dir.join(format!("{name}.dtb"));
        silent(Command::new("dtc").args(["-@", "-o"]).args([&dtb, &tree]))?;
        let wrong = name.starts_with(WRONG);
        match (wrong, silent(validate().arg(&dtb))) {
            (true, Ok(())) => bail!("the schemas find nothing wrong with {}", tree.display()),
            (false, Err(error)) => return Err(error),
            _ => {}
        }
    }
    for tree in with_extension(&context.root.join("dts"), "dtso")? {
        let merged = overlaid(&tree, &dir).with_context(|| tree.display().to_string())?;
        silent(validate().arg(&merged))?;
    }
    for (number, block) in petalinux::device_trees(&context.root)?.iter().enumerate() {
        let dtb = dir.join(format!("guide-{number}.dtb"));
        compile_block(context, block, &dtb)?;
        silent(validate().arg(&dtb)).with_context(|| format!("in the board guide:\n{block}"))?;
    }
    for schema in own {
        let example = output(Command::new(programs.join("dt-extract-example")).arg(&schema))?;
        let dts = dir.join("example.dts");
        let dtb = dir.join("example.dtb");
        fs::write(&dts, example)?;
        // The frame that dtschema puts around an example has cells that not every one needs.
        let mut dtc = Command::new("dtc");
        silent(
            dtc.args(["-W", "no-avoid_unnecessary_addr_size", "-o"])
                .args([&dtb, &dts]),
        )?;
        silent(validate().arg(&dtb)).with_context(|| schema.display().to_string())?;
    }
    Ok(())
}

/// Compiles a piece of device tree that is to be put into a board's.
fn compile_block(context: &Context, block: &str, dtb: &Path) -> Result<()> {
    let base = context.root.join(BOARD);
    let block = if block.starts_with('&') {
        block.to_owned()
    } else {
        format!("/ {{\n{block}}};\n")
    };
    let dts = dtb.with_extension("dts");
    let text = format!("/dts-v1/;\n/include/ \"{}\"\n{block}", base.display());
    fs::write(&dts, text)?;
    silent(Command::new("dtc").args(["-@", "-o"]).args([dtb, &dts]))
}

/// Compiles an overlay and applies it to its tree, as a boot loader or the kernel would.
fn overlaid(overlay: &Path, dir: &Path) -> Result<PathBuf> {
    let name = overlay.file_stem().unwrap_or_default().to_string_lossy();
    let known = OVERLAYS.iter().find(|(overlay, _)| *overlay == name);
    let (_, base) = known.context("no tree is known that this overlay is for")?;
    let compiled = dir.join(format!("{name}.dtbo"));
    // Cells and interrupt parents belong to the tree: what matters is how both look together.
    let mut dtc = Command::new("dtc");
    dtc.args(["-@", "-q", "-I", "dts", "-O", "dtb", "-o"]);
    silent(dtc.args([&compiled, overlay]))?;
    let merged = dir.join(format!("{base}+{name}.dtb"));
    let mut apply = Command::new("fdtoverlay");
    apply.arg("-i").arg(dir.join(format!("{base}.dtb")));
    silent(apply.arg("-o").args([&merged, &compiled]))?;
    let mut check = Command::new("dtc");
    silent(
        check
            .args(["-I", "dtb", "-O", "dtb", "-o", "/dev/null"])
            .arg(&merged),
    )?;
    Ok(merged)
}

/// Copies the schemas into one tree and returns the project's own.
fn collect_schemas(
    context: &Context,
    kernel_source: &Path,
    schemas: &Path,
) -> Result<Vec<PathBuf>> {
    let list = fs::read_to_string(context.root.join(KERNEL_SCHEMAS))
        .with_context(|| format!("cannot read {KERNEL_SCHEMAS}"))?;
    let bindings = kernel_source.join("Documentation/devicetree/bindings");
    for name in list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let copy = schemas.join(name);
        fs::create_dir_all(copy.parent().unwrap_or(schemas))?;
        fs::copy(bindings.join(name), &copy)
            .with_context(|| format!("the kernel source has no schema {name}"))?;
    }
    let mut own = Vec::new();
    for path in with_extension(&context.root.join("dts/bindings"), "yaml")? {
        let copy = schemas.join(path.file_name().unwrap_or_default());
        fs::copy(&path, &copy)?;
        own.push(copy);
    }
    if own.is_empty() {
        bail!("there is no schema in dts/bindings");
    }
    Ok(own)
}

/// Runs a command that must succeed and print nothing.
fn silent(command: &mut Command) -> Result<()> {
    let text = output(command)?;
    if !text.trim().is_empty() {
        bail!("`{}` says:\n{}", shown(command), text.trim_end());
    }
    Ok(())
}

/// Everything that a command prints.
fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run `{}`", shown(command)))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if !output.status.success() {
        bail!("`{}` failed ({}):\n{text}", shown(command), output.status);
    }
    Ok(text)
}
