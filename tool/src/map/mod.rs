// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fpgamem map`: the region as a picture, from what the driver shows in debugfs.

mod model;
mod picture;
mod svg;

use crate::cli::Global;
use crate::failure::Failure;
use crate::{debugfs, output, Verdict};
use clap::Args;
use model::Map;
pub(crate) use picture::printable;
use std::path::{Path, PathBuf};

/// Columns that a picture needs at least.
const MIN_WIDTH: usize = 40;

/// Options of `map`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Columns of the picture, at least 40 [default: those of the terminal, or 80]
    #[arg(long, value_name = "COLUMNS")]
    width: Option<usize>,
    /// Write the picture as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Draw what `map --json` has printed, here or on another board
    #[arg(long, value_name = "FILE", conflicts_with = "device")]
    from: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(global: &Global, options: &Options) -> Result<Verdict, Failure> {
    let width = options.width.unwrap_or_else(output::columns);
    if width < MIN_WIDTH {
        let what = format!("a picture of {width} columns is too narrow");
        return Err(Failure::new(
            what,
            format!("give --width {MIN_WIDTH} or more"),
        ));
    }
    let map = match &options.from {
        Some(file) => recorded(file)?,
        None => of_driver(global)?,
    };
    if let Some(file) = &options.svg {
        std::fs::write(file, svg::draw(&map)).map_err(|error| {
            let what = format!("cannot write {}", file.display());
            Failure::new(what, "give a file that may be written").because(error)
        })?;
    }
    if global.json {
        output::json(&map)?;
    } else if options.svg.is_none() {
        output::coloured(&picture::draw(&map, width))?;
    }
    Ok(Verdict::Good)
}

/// The map as the driver tells it.
pub(crate) fn of_driver(global: &Global) -> Result<Map, Failure> {
    let path = global.path();
    let info = global.open()?.info()?;
    let entries = debugfs::parse_block_map(&debugfs::read(&path, "block_map")?)?;
    let dirty = debugfs::read_if_there(&path, "scrub_map")?;
    let dirty = dirty
        .map(|text| debugfs::parse_scrub_map(&text))
        .transpose()?;
    Ok(Map::new(
        &path.display().to_string(),
        &info,
        &entries,
        dirty.as_deref(),
        command_of,
    ))
}

fn recorded(file: &Path) -> Result<Map, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::reading(file, error, "give a file that map --json made"))?;
    let map: Map = serde_json::from_str(&text).map_err(|error| {
        let what = format!("{} holds no map", file.display());
        Failure::new(what, "give a file that map --json made").because(error)
    })?;
    map.check().map_err(|why| {
        let what = format!("the map in {} cannot be: {why}", file.display());
        Failure::new(what, "give a file that map --json made")
    })?;
    Ok(map)
}

/// The name of a process; empty where it has gone.
pub(crate) fn command_of(pid: u32) -> String {
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}
