// SPDX-License-Identifier: MIT OR Apache-2.0

//! A region as SVG: a bar for each buffer, which tells about itself under the pointer.

use super::model::{Map, Piece, Run};
use crate::debugfs::Holder;
use crate::units::size;
use std::fmt::Write;

/// Rows of the picture; each is an equal part of the region.
const ROWS: u64 = 16;
const ROW_HEIGHT: u64 = 24;
const GAP: u64 = 4;
const LEFT: u64 = 110;
const WIDTH: u64 = 1024;
const TOP: u64 = 56;
/// Colours of processes, in turn; they differ for those who see no red or green too.
const COLORS: [&str; 6] = [
    "#0072b2", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7",
];
const QUARANTINED: &str = "#d00000";
const FREE: &str = "#e8e8e8";
const SCRUBBING: &str = "#a0a0a0";

/// Draws a map.
pub(crate) fn draw(map: &Map) -> String {
    let row_bytes = map.region_bytes.div_ceil(ROWS).max(1);
    let owners = map.owners();
    let legend = owners.len() as u64 * (ROW_HEIGHT + GAP) + 40;
    let height = TOP + ROWS * (ROW_HEIGHT + GAP) + legend;
    let width = LEFT + WIDTH + 20;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
         <defs><pattern id=\"device\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
         <path d=\"M0 6L6 0\" stroke=\"black\"/></pattern></defs>\n"
    );
    let title = format!(
        "{}: {} at {:#x}, {} free, longest run {}",
        map.device,
        size(map.region_bytes),
        map.phys_addr,
        size(map.free_bytes),
        size(map.longest_free())
    );
    label(&mut svg, 10, 20, &title);
    let mut colors = "hatched: the device owns it; red: quarantined; grey: free".to_owned();
    if let Some(bytes) = map.scrubbing_bytes {
        let _ = write!(colors, "; dark grey: scrubbing, {}", size(bytes));
    }
    label(&mut svg, 10, 40, &colors);
    for row in 0..ROWS {
        let y = TOP + row * (ROW_HEIGHT + GAP);
        let start = map.phys_addr + row * row_bytes;
        if start >= map.end() {
            break;
        }
        label(&mut svg, 10, y + 16, &format!("{start:#x}"));
        bar(
            &mut svg,
            LEFT,
            y,
            WIDTH * row_bytes.min(map.end() - start) / row_bytes,
            FREE,
            "free",
        );
        let end = start + row_bytes;
        // Where the part that is in this row begins, and how long it is.
        let place = |phys_addr: u64, bytes: u64| {
            let (first, last) = (phys_addr.max(start), (phys_addr + bytes).min(end));
            if first >= last {
                return None;
            }
            let x = scaled(first - start, row_bytes);
            let right = scaled(last - start, row_bytes);
            Some((LEFT + x, (right - x).max(1)))
        };
        for run in map.scrubbing_runs.iter().flatten() {
            if let Some((x, length)) = place(run.phys_addr, run.bytes) {
                bar(&mut svg, x, y, length, SCRUBBING, &describe_run(run));
            }
        }
        for piece in &map.buffers {
            let Some((x, length)) = place(piece.phys_addr, piece.bytes) else {
                continue;
            };
            let (color, text) = (color_of(piece, &owners), describe(piece));
            bar(&mut svg, x, y, length, color, &text);
            if piece.state == Holder::Device {
                bar(&mut svg, x, y, length, "url(#device)", &text);
            }
        }
    }
    let mut y = TOP + ROWS * (ROW_HEIGHT + GAP) + 20;
    for (index, (pid, owner)) in owners.iter().enumerate() {
        bar(
            &mut svg,
            LEFT,
            y - 16,
            14,
            COLORS[index % COLORS.len()],
            &owner.command,
        );
        let text = format!(
            "{pid} {}: {} buffers, {}",
            owner.command,
            owner.buffers,
            size(owner.bytes)
        );
        label(&mut svg, LEFT + 22, y, &text);
        y += ROW_HEIGHT + GAP;
    }
    svg + "</svg>\n"
}

fn scaled(bytes: u64, row_bytes: u64) -> u64 {
    // Regions have at most 2^43 bytes: 2^32 blocks of 2 KiB and more.
    u64::try_from(u128::from(WIDTH) * u128::from(bytes) / u128::from(row_bytes)).unwrap_or(WIDTH)
}

fn color_of(piece: &Piece, owners: &[(u32, super::model::Owner)]) -> &'static str {
    if piece.state == Holder::Quarantined {
        return QUARANTINED;
    }
    let place = owners.iter().position(|(pid, _)| *pid == piece.pid);
    COLORS[place.unwrap_or(0) % COLORS.len()]
}

fn describe_run(run: &Run) -> String {
    let end = run.phys_addr + run.bytes;
    format!(
        "[{:#x}, {end:#x}) {}, free, scrubbing",
        run.phys_addr,
        size(run.bytes)
    )
}

fn describe(piece: &Piece) -> String {
    let end = piece.phys_addr + piece.bytes;
    let state = match piece.state {
        Holder::Cpu => "CPU-owned",
        Holder::Device => "device-owned",
        Holder::Quarantined => "quarantined",
    };
    format!(
        "[{:#x}, {end:#x}) {}, {state}, process {} {}, {} mappings{}{}",
        piece.phys_addr,
        size(piece.bytes),
        piece.pid,
        piece.command,
        piece.mappings,
        if piece.write_combine {
            ", write-combine"
        } else {
            ""
        },
        if piece.coherent { ", coherent" } else { "" },
    )
}

fn bar(svg: &mut String, x: u64, y: u64, width: u64, fill: &str, title: &str) {
    let title = escaped(title);
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{ROW_HEIGHT}\" fill=\"{fill}\">\
         <title>{title}</title></rect>"
    );
}

fn label(svg: &mut String, x: u64, y: u64, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\">{}</text>", escaped(text));
}

/// Processes choose their names themselves.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() => escaped.push('?'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{dirty_map, map};
    use super::*;

    #[test]
    fn names_cannot_leave_their_place() {
        let mut map = map(&[(0, 1, Holder::Cpu, 7)]);
        map.buffers[0].command = "</title><script>\u{1b}".to_owned();
        let svg = draw(&map);
        assert!(
            !svg.contains("<script>") && !svg.contains('\u{1b}'),
            "{svg}"
        );
    }

    #[test]
    fn a_buffer_over_two_rows_has_two_bars() {
        // Rows of 4 blocks.
        let svg = draw(&map(&[(3, 2, Holder::Quarantined, 7)]));
        assert_eq!(svg.matches(QUARANTINED).count(), 2);
    }

    #[test]
    fn what_the_device_owns_is_hatched() {
        let svg = draw(&map(&[(0, 1, Holder::Device, 7)]));
        assert_eq!(svg.matches("url(#device)").count(), 1);
    }

    #[test]
    fn what_is_being_scrubbed_is_darker_than_what_is_free() {
        // Rows of 4 blocks.
        let svg = draw(&dirty_map(&[(0, 1, Holder::Cpu, 7)], &[(2, 4), (9, 1)]));
        assert_eq!(svg.matches(SCRUBBING).count(), 3);
        assert!(svg.contains("dark grey: scrubbing, 80 KiB"));
        assert!(svg.contains("[0x40008000, 0x40018000) 64 KiB, free, scrubbing"));
        assert!(!draw(&map(&[])).contains("scrubbing"));
    }
}
