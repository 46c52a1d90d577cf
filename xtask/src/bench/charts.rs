// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which measurements are drawn.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::chart::{Axis, Chart};
use super::sample::{Key, Sample};

/// The driver of this project, as its measurements name it.
const OWN: &str = "fpgamem";

/// Draws everything into a folder, and returns the files.
pub(crate) fn write(samples: &[Sample], folder: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (name, chart) in all(samples) {
        if chart.curves.is_empty() {
            continue;
        }
        let path = folder.join(name);
        fs::write(&path, chart.draw())
            .with_context(|| format!("cannot write {}", path.display()))?;
        written.push(path);
    }
    Ok(written)
}

fn all(samples: &[Sample]) -> [(&'static str, Chart); 5] {
    let is = |key: &Key, bench, phases: &[&str]| {
        key.bench == bench && phases.contains(&key.phase.as_str())
    };
    let phases = ["allocate", "map", "touch", "unmap", "free"];
    let name_of = |key: &Key| match key.phase.as_str() {
        "total" => key.driver.clone(),
        phase => format!("{}, {phase}", key.driver),
    };
    [
        (
            "life.svg",
            Chart {
                title: "The life of a buffer, every page written once",
                axis: Axis::Bytes,
                curves: curves(samples, Axis::Bytes, name_of, |key| {
                    is(
                        key,
                        "cycle",
                        &["total", "sustained", "all-work", "untouched"],
                    )
                }),
            },
        ),
        (
            "phases.svg",
            Chart {
                title: "The phases of the life of a buffer of fpgamem",
                axis: Axis::Bytes,
                curves: curves(
                    samples,
                    Axis::Bytes,
                    |key| key.phase.clone(),
                    |key| key.driver == OWN && is(key, "cycle", &phases),
                ),
            },
        ),
        (
            "live.svg",
            Chart {
                title: "The life of a buffer of 16 KiB beside others",
                axis: Axis::LiveBuffers,
                curves: curves(
                    samples,
                    Axis::LiveBuffers,
                    |key| key.phase.clone(),
                    |key| key.bench == "live",
                ),
            },
        ),
        (
            "checkerboard.svg",
            Chart {
                title: "The life of a buffer in an empty pool, and in one full of holes",
                axis: Axis::Bytes,
                curves: curves(
                    samples,
                    Axis::Bytes,
                    |key| key.bench.clone(),
                    |key| {
                        let small = key.bytes <= 1 << 20;
                        key.driver == OWN
                            && small
                            && (is(key, "cycle", &["total"]) || is(key, "checkerboard", &["total"]))
                    },
                ),
            },
        ),
        (
            "sync.svg",
            Chart {
                title: "Cache maintenance",
                axis: Axis::Bytes,
                curves: curves(samples, Axis::Bytes, name_of, |key| key.bench == "sync"),
            },
        ),
    ]
}

/// The measurements that are wanted, by the name of the curve.
fn curves(
    samples: &[Sample],
    axis: Axis,
    name: impl Fn(&Key) -> String,
    wanted: impl Fn(&Key) -> bool,
) -> Vec<(String, Vec<(u64, u64)>)> {
    let mut curves: Vec<(String, Vec<(u64, u64)>)> = Vec::new();
    for sample in samples.iter().filter(|sample| wanted(&sample.key)) {
        let name = name(&sample.key);
        let place = match axis {
            Axis::Bytes => sample.key.bytes,
            Axis::LiveBuffers => sample.key.live,
        };
        let point = (place, sample.instructions);
        match curves.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) => points.push(point),
            None => curves.push((name, vec![point])),
        }
    }
    for (_, points) in &mut curves {
        points.sort_unstable();
    }
    curves
}

#[cfg(test)]
mod tests {
    use super::super::sample::tests::life;
    use super::*;

    #[test]
    fn each_driver_is_a_curve_from_left_to_right() {
        let samples = [life("b", 20, 2), life("a", 10, 5), life("b", 10, 1)];
        let [(_, chart), ..] = all(&samples);
        let expected = [("b", vec![(10, 1), (20, 2)]), ("a", vec![(10, 5)])];
        assert_eq!(
            chart.curves,
            expected.map(|(name, points)| (name.to_owned(), points))
        );
    }
}
