// SPDX-License-Identifier: MIT OR Apache-2.0

//! Curves as SVG, on logarithmic axes.

use std::fmt::Write;

use super::table::{grouped, size};

const LEFT: f64 = 90.0;
const TOP: f64 = 50.0;
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const LEGEND: f64 = 210.0;
const BOTTOM: f64 = 60.0;
/// Colours that differ for those who see no red or green too.
const COLORS: [&str; 8] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000", "#999999",
];

/// What a horizontal axis shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    Bytes,
    LiveBuffers,
}

/// A picture with some curves.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) axis: Axis,
    /// Name, and points by their horizontal place.
    pub(crate) curves: Vec<(String, Vec<(u64, u64)>)>,
}

impl Axis {
    fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes of the buffer",
            Self::LiveBuffers => "live buffers beside it",
        }
    }

    fn label(self, at: u64) -> String {
        match self {
            Self::Bytes => size(at),
            Self::LiveBuffers => grouped(at),
        }
    }

    /// Where a value is on a logarithmic axis. None is at the left end, somewhat before 100.
    fn place(self, at: u64) -> f64 {
        match self {
            Self::Bytes => logarithm(at),
            Self::LiveBuffers => logarithm(at.max(100)),
        }
    }
}

fn logarithm(value: u64) -> f64 {
    // CAST: a place in a picture is no exact number.
    (value.max(1) as f64).log10()
}

impl Chart {
    /// Draws it.
    pub(crate) fn draw(&self) -> String {
        let points = || self.curves.iter().flat_map(|(_, points)| points);
        let mut places: Vec<u64> = points().map(|(x, _)| *x).collect();
        places.sort_unstable();
        places.dedup();
        let x = Scale::of(points().map(|(x, _)| self.axis.place(*x)), LEFT, WIDTH);
        // Whole powers of ten.
        let heights = points().map(|(_, y)| logarithm(*y));
        let heights = heights.flat_map(|y| [y.floor(), y.ceil()]);
        let y = Scale::of(heights, TOP + HEIGHT, -HEIGHT);
        let (width, height) = (LEFT + WIDTH + LEGEND, TOP + HEIGHT + BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
        );
        text(&mut svg, LEFT, 24.0, "start", self.title);
        text(&mut svg, LEFT, 42.0, "start", "guest instructions");
        let below = TOP + HEIGHT;
        for &place in &places {
            let at = x.at(self.axis.place(place));
            line(&mut svg, (at, TOP), (at, below), "#dddddd");
            text(
                &mut svg,
                at,
                below + 18.0,
                "middle",
                &self.axis.label(place),
            );
        }
        for power in 0..20u32 {
            let at = y.at(f64::from(power));
            if (TOP..=below).contains(&at) {
                line(&mut svg, (LEFT, at), (LEFT + WIDTH, at), "#dddddd");
                let label = grouped(10u64.saturating_pow(power));
                text(&mut svg, LEFT - 6.0, at + 4.0, "end", &label);
            }
        }
        text(
            &mut svg,
            LEFT + WIDTH / 2.0,
            below + 42.0,
            "middle",
            self.axis.name(),
        );
        let mut row = TOP + 10.0;
        for ((name, points), color) in self.curves.iter().zip(COLORS.iter().cycle()) {
            let at = |(place, count): &(u64, u64)| {
                (x.at(self.axis.place(*place)), y.at(logarithm(*count)))
            };
            let path: Vec<String> = points
                .iter()
                .map(at)
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let path = path.join(" ");
            let _ = writeln!(
                svg,
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>"
            );
            for (point, (cx, cy)) in points.iter().map(|point| (point, at(point))) {
                let (place, count) = (self.axis.label(point.0), grouped(point.1));
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\" fill=\"{color}\">\
                     <title>{}, {place}: {count}</title></circle>",
                    escaped(name)
                );
            }
            let right = LEFT + WIDTH + 10.0;
            line(
                &mut svg,
                (right, row - 4.0),
                (right + 18.0, row - 4.0),
                color,
            );
            text(&mut svg, right + 24.0, row, "start", name);
            row += 20.0;
        }
        svg + "</svg>\n"
    }
}

/// From values to places.
struct Scale {
    least: f64,
    range: f64,
    start: f64,
    length: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64> + Clone, start: f64, length: f64) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(f64::NEG_INFINITY, f64::max);
        Self {
            least,
            // A single value has no range.
            range: if most > least { most - least } else { 1.0 },
            start,
            length,
        }
    }

    fn at(&self, value: f64) -> f64 {
        self.start + (value - self.least) / self.range * self.length
    }
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), color: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{color}\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(u64, u64)]) -> String {
        let chart = Chart {
            title: "a < b",
            axis: Axis::Bytes,
            curves: vec![("c&d".to_owned(), points.to_vec())],
        };
        chart.draw()
    }

    #[test]
    fn ten_times_as_much_is_as_far_everywhere() {
        let svg = chart(&[(1 << 10, 100), (1 << 20, 1000), (1 << 30, 10_000)]);
        let points = svg
            .split("points=\"")
            .nth(1)
            .and_then(|s| s.split('"').next());
        assert_eq!(points, Some("90.0,450.0 410.0,250.0 730.0,50.0"));
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let svg = chart(&[(1, 1)]);
        assert!(svg.contains("a &lt; b") && svg.contains("c&amp;d"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn no_buffers_at_all_have_a_place() {
        assert_eq!(Axis::LiveBuffers.place(0), 2.0);
        assert_eq!(Axis::LiveBuffers.label(0), "0");
    }
}
