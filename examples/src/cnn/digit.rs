// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pictures of digits, drawn by arithmetic in integers: the same on every machine.

use super::picture::Picture;

/// Rows and columns of a picture.
pub const SIDE: usize = 64;

/// Units of a drawing in a pixel.
const UNITS: i32 = 8;

/// Samples in a pixel, in each direction, from which its brightness is taken.
const SAMPLES: i32 = 4;

/// The strokes of each digit: lines through points (right, down) in a box of 20 by 32.
const STROKES: [&[&[(i32, i32)]]; 10] = [
    &[&[
        (6, 0),
        (14, 0),
        (20, 8),
        (20, 24),
        (14, 32),
        (6, 32),
        (0, 24),
        (0, 8),
        (6, 0),
    ]],
    &[&[(3, 7), (11, 0), (11, 32)], &[(4, 32), (18, 32)]],
    &[&[
        (0, 7),
        (5, 0),
        (15, 0),
        (20, 6),
        (19, 13),
        (0, 32),
        (20, 32),
    ]],
    &[&[
        (0, 4),
        (6, 0),
        (15, 0),
        (19, 5),
        (19, 10),
        (14, 15),
        (7, 15),
        (14, 15),
        (20, 21),
        (20, 26),
        (15, 32),
        (5, 32),
        (0, 28),
    ]],
    &[&[(15, 32), (15, 0), (0, 22), (20, 22)]],
    &[&[
        (18, 0),
        (3, 0),
        (1, 15),
        (6, 12),
        (14, 12),
        (20, 18),
        (20, 26),
        (14, 32),
        (5, 32),
        (0, 28),
    ]],
    &[&[
        (17, 0),
        (7, 4),
        (0, 16),
        (0, 25),
        (6, 32),
        (14, 32),
        (20, 26),
        (20, 21),
        (14, 15),
        (6, 15),
        (0, 21),
    ]],
    &[&[(0, 0), (20, 0), (8, 32)], &[(5, 17), (17, 17)]],
    &[&[
        (6, 0),
        (14, 0),
        (19, 5),
        (19, 10),
        (14, 15),
        (6, 15),
        (0, 21),
        (0, 26),
        (6, 32),
        (14, 32),
        (20, 26),
        (20, 21),
        (14, 15),
        (6, 15),
        (1, 10),
        (1, 5),
        (6, 0),
    ]],
    &[&[
        (20, 11),
        (14, 17),
        (6, 17),
        (0, 11),
        (0, 6),
        (6, 0),
        (14, 0),
        (20, 7),
        (20, 16),
        (13, 28),
        (3, 32),
    ]],
];

/// How a digit is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Height in pixels.
    pub height: i32,
    /// Width in pixels.
    pub width: i32,
    /// By how many pixels the top leans to the right.
    pub slant: i32,
    /// From the middle of the picture, in pixels to the right and down.
    pub offset: (i32, i32),
    /// Half the width of a stroke, in eighths of a pixel.
    pub pen: i32,
    /// Red, green and blue of the strokes.
    pub ink: [u8; 3],
    /// Red, green and blue of what is behind them, at the upper left; it brightens to the lower right.
    pub paper: [u8; 3],
    /// Seed of the noise, of up to 15 of 255 either way.
    pub noise: u64,
}

impl Style {
    /// A style in which the picture that belongs to the example is drawn.
    pub const PLAIN: Self = Self {
        height: 44,
        width: 28,
        slant: 3,
        offset: (-1, 1),
        pen: 22,
        ink: [250, 230, 160],
        paper: [16, 28, 60],
        noise: 1,
    };

    /// A random style.
    pub fn random(random: &mut Random) -> Self {
        let mut colour = |low, high| [(); 3].map(|()| random.between(low, high)).map(sample);
        let (ink, paper) = (colour(150, 255), colour(0, 70));
        Self {
            height: random.between(41, 46),
            width: random.between(25, 30),
            slant: random.between(0, 6),
            offset: (random.between(-2, 2), random.between(-2, 2)),
            pen: random.between(18, 26),
            ink,
            paper,
            noise: random.bits(),
        }
    }
}

/// Draws a digit, 0 to 9, in colours.
///
/// # Panics
///
/// Where `digit` is larger than 9.
#[must_use]
pub fn draw(digit: usize, style: &Style) -> Picture {
    let lines = lines(digit, style);
    let mut noise = Random::new(style.noise);
    let mut samples = Vec::with_capacity(3 * SIDE * SIDE);
    for row in (0..).step_by(host(UNITS)).take(SIDE) {
        for column in (0..).step_by(host(UNITS)).take(SIDE) {
            let cover = coverage(&lines, (column, row), style.pen);
            let light = (row + column) / (2 * UNITS);
            for (ink, paper) in style.ink.into_iter().zip(style.paper) {
                let (ink, paper) = (i32::from(ink), i32::from(paper) + light);
                let full = SAMPLES * SAMPLES;
                let mixed = (ink * cover + paper * (full - cover)) / full;
                samples.push(sample(mixed + noise.between(-15, 15)));
            }
        }
    }
    Picture {
        channels: 3,
        height: SIDE,
        width: SIDE,
        samples,
    }
}

type Point = (i32, i32);

/// The strokes of a digit as lines between two points of the picture, in units.
fn lines(digit: usize, style: &Style) -> Vec<(Point, Point)> {
    let middle = i32::try_from(SIDE / 2).unwrap_or(0);
    let place = |&(x, y): &Point| {
        let right = (x - 10) * style.width * UNITS / 20 + (16 - y) * style.slant * UNITS / 32;
        let down = (y - 16) * style.height * UNITS / 32;
        let (dx, dy) = style.offset;
        ((middle + dx) * UNITS + right, (middle + dy) * UNITS + down)
    };
    let mut lines = Vec::new();
    for stroke in STROKES[digit] {
        lines.extend(
            stroke
                .windows(2)
                .map(|ends| (place(&ends[0]), place(&ends[1]))),
        );
    }
    lines
}

/// How many of a pixel's samples lie in a stroke.
fn coverage(lines: &[(Point, Point)], (x, y): Point, pen: i32) -> i32 {
    // Most pixels are far from most lines.
    let margin = pen + UNITS;
    let near = |&&(a, b): &&(Point, Point)| {
        (a.0.min(b.0) - margin..=a.0.max(b.0) + margin).contains(&x)
            && (a.1.min(b.1) - margin..=a.1.max(b.1) + margin).contains(&y)
    };
    let near: Vec<_> = lines.iter().filter(near).collect();
    let step = UNITS / SAMPLES;
    let mut cover = 0;
    for sample in 0..SAMPLES * SAMPLES {
        let point = (
            x + sample % SAMPLES * step + step / 2,
            y + sample / SAMPLES * step + step / 2,
        );
        cover += i32::from(near.iter().any(|(a, b)| is_within(point, *a, *b, pen)));
    }
    cover
}

/// Whether a point is at most `pen` away from a line.
fn is_within(point: Point, a: Point, b: Point, pen: i32) -> bool {
    let minus = |p: Point, q: Point| (i64::from(p.0 - q.0), i64::from(p.1 - q.1));
    let dot = |p: (i64, i64), q: (i64, i64)| p.0 * q.0 + p.1 * q.1;
    let (line, to_point) = (minus(b, a), minus(point, a));
    let (along, length) = (dot(to_point, line), dot(line, line));
    let pen = i64::from(pen).pow(2);
    if along <= 0 {
        dot(to_point, to_point) <= pen
    } else if along >= length {
        let to_point = minus(point, b);
        dot(to_point, to_point) <= pen
    } else {
        let across = to_point.0 * line.1 - to_point.1 * line.0;
        across * across <= pen * length
    }
}

/// A brightness, limited to what a sample holds.
fn sample(value: i32) -> u8 {
    u8::try_from(value.clamp(0, 255)).unwrap_or(u8::MAX)
}

fn host(value: i32) -> usize {
    usize::try_from(value).unwrap_or(0)
}

/// Numbers that look random and follow from a seed: SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number from `low` to `high`, both included; `high` is not below `low`.
    pub fn between(&mut self, low: i32, high: i32) -> i32 {
        let count = i64::from(high) - i64::from(low) + 1;
        let below = self.bits() % count.unsigned_abs();
        i32::try_from(i64::from(low) + below as i64).unwrap_or(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style() -> Style {
        Style {
            noise: 5,
            ink: [200; 3],
            paper: [40; 3],
            ..Style::PLAIN
        }
    }

    /// Whether a pixel is ink, noise apart.
    fn is_ink(picture: &Picture, column: usize, row: usize) -> bool {
        picture.samples[3 * (row * SIDE + column)] > 150
    }

    #[test]
    fn a_line_reaches_as_far_as_the_pen() {
        let is_within = |x, y| is_within((x, y), (10, 10), (20, 10), 3);
        assert!(is_within(15, 13) && is_within(15, 7) && is_within(7, 10) && is_within(23, 10));
        assert!(!is_within(15, 14) && !is_within(15, 6) && !is_within(6, 10) && !is_within(24, 10));
        assert!(is_within(8, 8) && !is_within(7, 8));
    }

    #[test]
    fn a_pixel_half_in_a_stroke_is_half_covered() {
        let lines = [((0, 0), (8, 0))];
        assert_eq!(coverage(&lines, (0, 0), 4), 8);
        assert_eq!(coverage(&lines, (0, 0), 100), 16);
        assert_eq!(coverage(&lines, (100, 100), 4), 0);
    }

    #[test]
    fn a_seven_has_a_bar_at_the_top_and_no_foot_at_the_right() {
        let seven = draw(7, &style());
        assert!(is_ink(&seven, 31, 11) && is_ink(&seven, 40, 11));
        assert!(!is_ink(&seven, 45, 54) && !is_ink(&seven, 18, 40));
    }

    #[test]
    fn every_digit_stays_inside_of_its_picture_in_every_style() {
        let mut random = Random::new(2);
        for digit in (0..10).cycle().take(100) {
            let style = Style {
                noise: 0,
                ..Style::random(&mut random)
            };
            for (a, b) in lines(digit, &style) {
                for coordinate in [a.0, a.1, b.0, b.1] {
                    let margin = style.pen;
                    assert!(
                        (margin..=512 - margin).contains(&coordinate),
                        "{digit} {style:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn noise_follows_from_its_seed() {
        assert_eq!(draw(3, &style()), draw(3, &style()));
        assert_ne!(
            draw(3, &style()),
            draw(
                3,
                &Style {
                    noise: 6,
                    ..style()
                }
            )
        );
    }

    #[test]
    fn random_numbers_are_those_of_splitmix64() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.bits(), 6_457_827_717_110_365_317);
        assert_eq!(random.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn random_numbers_reach_both_ends() {
        let mut random = Random::new(0);
        let numbers: Vec<_> = (0..200).map(|_| random.between(-2, 3)).collect();
        assert!((-2..=3).all(|number| numbers.contains(&number)));
        assert!(numbers.iter().all(|number| (-2..=3).contains(number)));
    }
}
