// SPDX-License-Identifier: MIT OR Apache-2.0

//! A region as characters: a cell for each part of it, a letter for each process.

use super::model::{Map, Piece, Run};
use crate::debugfs::Holder;
use crate::units::size;
use anstyle::{AnsiColor, Color, Style};
use std::fmt::Write;

/// Columns before the cells: an address of up to 36 bits and a space.
const ADDRESS_COLUMNS: usize = 13;
/// Rows that a picture has at most.
const MAX_ROWS: u64 = 16;
/// Colours of processes, in turn.
const COLORS: [AnsiColor; 5] = [
    AnsiColor::Green,
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Blue,
    AnsiColor::Magenta,
];
/// Letters of processes; all others share the last character.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
const OTHERS: char = '*';
const FREE: char = '.';
const SCRUBBING: char = '~';
const QUARANTINED: char = '!';

/// Draws a map, at most `width` columns wide.
pub(crate) fn draw(map: &Map, width: usize) -> String {
    let mut text = heading(map);
    let letters = Letters::of(map);
    let cells = Grid::new(map, width);
    for row in 0..cells.rows {
        let start = map.phys_addr + row * cells.per_row * cells.bytes;
        let _ = write!(text, "{start:#011x}  ");
        cells_of_row(map, &cells, row, &letters, &mut text);
        text.push('\n');
    }
    text.push('\n');
    legend(map, &cells, &letters, &mut text);
    text
}

fn heading(map: &Map) -> String {
    let used = map.bytes_in(Holder::Cpu) + map.bytes_in(Holder::Device);
    let mut text = format!(
        "{}  [{:#x}, {:#x})  {} in blocks of {}\n",
        map.device,
        map.phys_addr,
        map.end(),
        size(map.region_bytes),
        size(map.block_bytes)
    );
    let _ = writeln!(
        text,
        "used {}, device-owned {}, quarantined {}, free {}\n",
        size(used),
        size(map.bytes_in(Holder::Device)),
        size(map.bytes_in(Holder::Quarantined)),
        size(map.free_bytes)
    );
    text
}

/// How the region is cut into cells.
struct Grid {
    /// Bytes of a cell: a power of two of blocks.
    bytes: u64,
    per_row: u64,
    rows: u64,
}

impl Grid {
    fn new(map: &Map, width: usize) -> Self {
        let columns = width.saturating_sub(ADDRESS_COLUMNS).max(1);
        // A power of two, so that rows begin at round addresses.
        let per_row = 1_u64 << columns.ilog2();
        let mut bytes = map.block_bytes;
        while map.region_bytes.div_ceil(bytes) > per_row * MAX_ROWS {
            bytes *= 2;
        }
        let rows = map.region_bytes.div_ceil(bytes * per_row);
        Self {
            bytes,
            per_row,
            rows,
        }
    }
}

/// The letter and the colour of each process.
struct Letters(Vec<u32>);

impl Letters {
    fn of(map: &Map) -> Self {
        // What is quarantined has no process any more.
        let live = map.owners().into_iter();
        let live = live.filter(|(_, owner)| owner.quarantined_bytes < owner.bytes);
        Self(live.map(|(pid, _)| pid).collect())
    }

    fn letter(&self, pid: u32) -> char {
        let place = self.0.iter().position(|other| *other == pid);
        place
            .and_then(|place| LETTERS.chars().nth(place))
            .unwrap_or(OTHERS)
    }

    fn style(&self, pid: u32) -> Style {
        let place = self.0.iter().position(|other| *other == pid).unwrap_or(0);
        colored(COLORS[place % COLORS.len()])
    }

    /// A piece's character: the letter of its process, large where the device owns it.
    fn cell(&self, piece: &Piece) -> (char, Style) {
        let letter = self.letter(piece.pid);
        let style = self.style(piece.pid);
        match piece.state {
            Holder::Cpu => (letter, style),
            Holder::Device => (letter.to_ascii_uppercase(), style.bold().invert()),
            Holder::Quarantined => (QUARANTINED, colored(AnsiColor::Red).bold()),
        }
    }
}

fn colored(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(color)))
}

/// Whether a part of [start, end) waits to be scrubbed.
fn is_scrubbing(map: &Map, start: u64, end: u64) -> bool {
    let runs = map.scrubbing_runs.as_deref().unwrap_or_default();
    let first = runs.partition_point(|run: &Run| run.phys_addr + run.bytes <= start);
    runs.get(first).is_some_and(|run| run.phys_addr < end)
}

/// Appends the cells of one row. Each shows the piece that has most of it; a free one is free all over, and if
/// any of it is being scrubbed shows that.
fn cells_of_row(map: &Map, grid: &Grid, row: u64, letters: &Letters, text: &mut String) {
    for column in 0..grid.per_row {
        let start = map.phys_addr + (row * grid.per_row + column) * grid.bytes;
        if start >= map.end() {
            break;
        }
        let end = start + grid.bytes;
        let first = map
            .buffers
            .partition_point(|p| p.phys_addr + p.bytes <= start);
        let inside = map.buffers[first..]
            .iter()
            .take_while(|p| p.phys_addr < end);
        let share = |p: &Piece| (p.phys_addr + p.bytes).min(end) - p.phys_addr.max(start);
        // Of equal ones the first.
        let most = inside.rev_max_by(share);
        let (character, style) = match most {
            Some(piece) => letters.cell(piece),
            None if is_scrubbing(map, start, end) => (SCRUBBING, colored(AnsiColor::BrightBlack)),
            None => (FREE, Style::new()),
        };
        paint(text, character, style);
    }
}

fn paint(text: &mut String, character: char, style: Style) {
    let (on, off) = (style.render(), style.render_reset());
    let _ = write!(text, "{on}{character}{off}");
}

/// `max_by_key` that prefers the first of equal ones.
trait RevMax<'a>: Iterator<Item = &'a Piece> + Sized {
    fn rev_max_by(self, key: impl Fn(&Piece) -> u64) -> Option<&'a Piece> {
        self.fold(None, |best: Option<&Piece>, piece| match best {
            Some(best) if key(best) >= key(piece) => Some(best),
            _ => Some(piece),
        })
    }
}

impl<'a, I: Iterator<Item = &'a Piece>> RevMax<'a> for I {}

fn legend(map: &Map, grid: &Grid, letters: &Letters, text: &mut String) {
    let _ = write!(text, "Cell: {}  {FREE} free  ", size(grid.bytes));
    if map.scrubbing_bytes.is_some() {
        let _ = write!(text, "{SCRUBBING} scrubbing  ");
    }
    let _ = writeln!(
        text,
        "a CPU-owned  A device-owned  {QUARANTINED} quarantined"
    );
    for (pid, owner) in map.owners() {
        if owner.quarantined_bytes == owner.bytes {
            continue;
        }
        let (letter, style) = (letters.letter(pid), letters.style(pid));
        let name = match printable(&owner.command) {
            name if name.is_empty() => "(gone)".to_owned(),
            name => name,
        };
        paint(text, letter, style);
        let _ = write!(
            text,
            "  {pid:>7}  {name:<16} {:>5} buffers  {:>10}",
            owner.buffers,
            size(owner.bytes)
        );
        if owner.device_bytes != 0 {
            let _ = write!(text, ", {} device-owned", size(owner.device_bytes));
        }
        text.push('\n');
    }
    let longest = size(map.longest_free());
    let _ = write!(
        text,
        "{} free runs, the longest {longest}",
        map.free_runs.len()
    );
    if let Some(bytes) = map.scrubbing_bytes {
        let _ = write!(text, "; {} scrubbing", size(bytes));
    }
    text.push('\n');
}

/// Processes choose their names themselves; a terminal must not obey them.
pub(crate) fn printable(name: &str) -> String {
    let safe = |c: char| if c.is_control() { '?' } else { c };
    name.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{dirty_map, map};
    use super::*;

    /// The picture without colours, without its head.
    fn rows(map: &Map, width: usize) -> Vec<String> {
        let text = anstream::adapter::strip_str(&draw(map, width)).to_string();
        let rows = text.lines().skip(3).take_while(|line| !line.is_empty());
        rows.map(str::to_owned).collect()
    }

    #[test]
    fn a_cell_is_a_block_where_that_fits() {
        let map = map(&[
            (0, 2, Holder::Cpu, 7),
            (3, 1, Holder::Device, 8),
            (63, 1, Holder::Cpu, 8),
        ]);
        let rows = rows(&map, 80);
        assert_eq!(rows.len(), 1);
        let cells = format!("0x040000000  aa.B{}b", ".".repeat(59));
        assert_eq!(
            rows[0], cells,
            "of equal owners the lower process is the first"
        );
    }

    #[test]
    fn no_line_is_wider_than_asked() {
        let map = map(&[(0, 2, Holder::Cpu, 7)]);
        for width in [40, 64, 80, 200] {
            assert!(rows(&map, width).iter().all(|row| row.len() <= width));
        }
    }

    #[test]
    fn a_small_buffer_in_a_large_cell_is_seen() {
        let mut map = map(&[(40, 1, Holder::Quarantined, 7)]);
        map.region_bytes = 1 << 30;
        let rows = rows(&map, 80);
        assert_eq!(rows.len(), 16);
        assert_eq!(rows[0].matches('!').count(), 1, "{rows:?}");
        assert_eq!(rows.concat().matches('.').count(), 1023);
    }

    #[test]
    fn free_blocks_that_are_not_cleared_yet_are_told_from_others() {
        let pieces = [(0, 2, Holder::Cpu, 7), (6, 1, Holder::Quarantined, 8)];
        let map = dirty_map(&pieces, &[(3, 2), (63, 1)]);
        let cells = format!("0x040000000  aa.~~.!{}~", ".".repeat(56));
        assert_eq!(rows(&map, 80), [cells]);
        let picture = draw(&map, 80);
        assert!(picture.contains("~ scrubbing") && picture.contains("; 48 KiB scrubbing"));
        // A large cell is free where nobody has any of it, and clean where all of it is.
        let mut map = dirty_map(&[], &[(40, 1)]);
        map.region_bytes = 1 << 30;
        assert_eq!(rows(&map, 80).concat().matches('~').count(), 1);
    }

    #[test]
    fn nothing_is_said_of_scrubbing_where_the_driver_does_not() {
        let picture = draw(&map(&[(0, 2, Holder::Cpu, 7)]), 80);
        assert!(!picture.contains("scrubbing") && !picture.contains('~'));
        let none = draw(&dirty_map(&[], &[]), 80);
        assert!(none.contains("; 0 B scrubbing"), "{none}");
    }

    #[test]
    fn a_region_of_an_odd_size_ends_where_it_ends() {
        let mut map = map(&[]);
        map.region_bytes = 70 * 16384;
        let rows = rows(&map, 80);
        assert_eq!(rows[1], "0x040100000  ......");
    }

    #[test]
    fn names_do_not_reach_the_terminal_as_commands() {
        let mut map = map(&[(0, 1, Holder::Cpu, 7)]);
        map.buffers[0].command = "a\u{1b}[2J".to_owned();
        assert!(draw(&map, 80).contains("a?[2J"));
    }

    #[test]
    fn more_processes_than_letters_share_a_character() {
        let pieces: Vec<_> = (0_u32..30)
            .map(|n| (n.into(), 1, Holder::Cpu, 100 + n))
            .collect();
        let rows = rows(&map(&pieces), 80);
        assert!(rows[0].contains("xyz****..."), "{}", rows[0]);
    }
}
