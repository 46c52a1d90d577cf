// SPDX-License-Identifier: MIT OR Apache-2.0

//! The algorithms that need no board, measured by criterion on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};
use serde_json::{json, Value};

use crate::context::Context;
use crate::files::files_below;
use crate::process::{capture, run_logged};
use crate::ui::Step;

/// Where criterion puts what it has measured last, below a folder for each benchmark.
const ESTIMATES: &str = "new/estimates.json";
const BENCHMARK: &str = "new/benchmark.json";

/// What criterion says of a benchmark.
#[derive(Debug, PartialEq)]
struct Estimate {
    name: String,
    nanoseconds: f64,
    /// Half of the interval in which the mean lies with the confidence that criterion has chosen.
    within: f64,
}

/// Runs the benchmarks of the workspace; returns a table, and the file of the same as lines of JSON.
pub(crate) fn measure(context: &Context, folder: &Path) -> Result<(String, PathBuf)> {
    let results = folder.join("criterion");
    // What is no benchmark any more must not be among the results.
    match fs::remove_dir_all(&results) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut cargo = context.cargo();
    let metadata = capture(cargo.args(["metadata", "--no-deps", "--format-version=1"]))?;
    let benchmarks = benchmarks(&serde_json::from_str(&metadata)?);
    if benchmarks.is_empty() {
        bail!("no package of the workspace has a benchmark");
    }
    for (package, name) in benchmarks {
        let mut step = Step::start(format!("criterion: {package}, {name}"));
        let mut cargo = context.cargo();
        cargo.args(["bench", "--package", &package, "--bench", &name]);
        cargo.env("CRITERION_HOME", &results);
        let log = folder.join(format!("criterion-{name}.log"));
        run_logged(&mut cargo, &log, |line| {
            step.progress(|| line.trim().chars().take(60).collect());
        })?;
        step.done();
    }
    let estimates = read(&results)?;
    let path = folder.join("host.jsonl");
    let lines = estimates.iter().map(|estimate| {
        let Estimate {
            name,
            nanoseconds,
            within,
        } = estimate;
        json!({"bench": name, "nanoseconds": nanoseconds, "within": within}).to_string() + "\n"
    });
    fs::write(&path, lines.collect::<String>())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok((table(&estimates), path))
}

/// The packages and names of the benchmarks in Cargo's description of a workspace.
fn benchmarks(metadata: &Value) -> Vec<(String, String)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for package in list(&metadata["packages"]) {
        for target in list(&package["targets"]) {
            let is_bench = list(&target["kind"]).iter().any(|kind| kind == "bench");
            if let (true, Some(package), Some(name)) =
                (is_bench, package["name"].as_str(), target["name"].as_str())
            {
                found.push((package.to_owned(), name.to_owned()));
            }
        }
    }
    found
}

/// What criterion has left in its folder, by name.
fn read(results: &Path) -> Result<Vec<Estimate>> {
    let mut estimates = Vec::new();
    for path in files_below(results)? {
        let Some(folder) = path.to_str().and_then(|path| path.strip_suffix(ESTIMATES)) else {
            continue;
        };
        let value = |path: &Path| -> Result<Value> {
            let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            serde_json::from_str(&text).with_context(|| format!("no JSON: {}", path.display()))
        };
        let benchmark = value(&Path::new(folder).join(BENCHMARK))?;
        let found = estimate(&benchmark, &value(&path)?);
        estimates.push(found.with_context(|| format!("no estimate in {}", path.display()))?);
    }
    estimates.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(estimates)
}

fn estimate(benchmark: &Value, estimates: &Value) -> Option<Estimate> {
    let mean = &estimates["mean"];
    let bound = |name: &str| mean["confidence_interval"][name].as_f64();
    Some(Estimate {
        name: benchmark["full_id"].as_str()?.to_owned(),
        nanoseconds: mean["point_estimate"].as_f64()?,
        within: (bound("upper_bound")? - bound("lower_bound")?) / 2.0,
    })
}

fn table(estimates: &[Estimate]) -> String {
    let names = estimates
        .iter()
        .map(|estimate| estimate.name.chars().count());
    let width = names.max().unwrap_or(0);
    let mut text = String::from("On this machine, by criterion: nanoseconds, mean\n\n");
    for Estimate {
        name,
        nanoseconds,
        within,
    } in estimates
    {
        text.push_str(&format!(
            "  {name:<width$}  {nanoseconds:>14.1}  ± {within:.1}\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benchmarks_are_found_among_other_targets() {
        let metadata = json!({"packages": [
            {"name": "a", "targets": [{"kind": ["lib"], "name": "a"}, {"kind": ["bench"], "name": "x"}]},
            {"name": "b", "targets": [{"kind": ["test"], "name": "y"}]},
        ]});
        assert_eq!(benchmarks(&metadata), [("a".to_owned(), "x".to_owned())]);
    }

    #[test]
    fn estimates_are_read_from_criterions_folder() {
        let folder = std::env::temp_dir().join(format!("criterion-{}", std::process::id()));
        let new = folder.join("map/alloc/new");
        fs::create_dir_all(&new).unwrap();
        let interval = json!({"lower_bound": 90.0, "upper_bound": 114.0});
        let mean = json!({"mean": {"point_estimate": 100.0, "confidence_interval": interval}});
        fs::write(new.join("estimates.json"), mean.to_string()).unwrap();
        let name = json!({"full_id": "map/alloc"});
        fs::write(new.join("benchmark.json"), name.to_string()).unwrap();
        let found = read(&folder);
        fs::remove_dir_all(&folder).unwrap();
        let expected = Estimate {
            name: "map/alloc".to_owned(),
            nanoseconds: 100.0,
            within: 12.0,
        };
        assert_eq!(found.unwrap(), [expected]);
    }
}
