// SPDX-License-Identifier: GPL-2.0-or-later

//! When lines enter and leave the cache without being asked to: what hardware may do at any time.

use std::fmt;
use std::str::FromStr;

/// Which liberties the cache takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lines stay until maintenance drops them: what was not cleaned never reaches the DDR.
    Never,
    /// Lines leave at any time; dirty ones overwrite what is in the DDR.
    Evict,
    /// Lines are fetched at any time: what was invalidated too early is stale again.
    Prefetch,
}

/// A policy with its source of chance, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Policy {
    kind: Kind,
    seed: u64,
    random: Random,
}

/// One in so many events of the region makes something happen to some line.
const EVENTS_PER_SURPRISE: u64 = 16;

impl Policy {
    /// A policy of the given kind.
    pub fn new(kind: Kind, seed: u64) -> Self {
        Self {
            kind,
            seed,
            random: Random(seed),
        }
    }

    /// Which liberties the cache takes.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether something happens to some line now.
    pub fn surprises(&mut self) -> bool {
        self.kind != Kind::Never && self.random.below(EVENTS_PER_SURPRISE) == 0
    }

    /// One of two ways.
    pub fn coin(&mut self) -> bool {
        self.random.below(2) == 0
    }

    /// A number below `bound`, which is not 0.
    pub fn pick(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        crate::memory::host(self.random.below(bound))
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Never => f.write_str("never"),
            Kind::Evict => write!(f, "evict:{}", self.seed),
            Kind::Prefetch => write!(f, "prefetch:{}", self.seed),
        }
    }
}

impl FromStr for Policy {
    type Err = String;

    /// Takes `never`, `evict`, `prefetch`, the latter two optionally with `:SEED`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, seed) = text.split_once(':').unwrap_or((text, "1"));
        let kind = match name {
            "never" => Kind::Never,
            "evict" => Kind::Evict,
            "prefetch" => Kind::Prefetch,
            _ => {
                return Err(format!(
                    "no policy is named {name:?}; there are never, evict[:SEED], prefetch[:SEED]"
                ))
            }
        };
        let seed = seed
            .parse()
            .map_err(|_| format!("the seed of a policy is a number, not {seed:?}"))?;
        Ok(Self::new(kind, seed))
    }
}

/// The generator known as SplitMix64.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_seeds_are_read_and_printed() {
        for text in ["never", "evict:7", "prefetch:18446744073709551615"] {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
        assert_eq!("evict".parse::<Policy>().unwrap().to_string(), "evict:1");
    }

    #[test]
    fn other_names_are_refused() {
        let error = "lru".parse::<Policy>().unwrap_err();
        assert!(error.contains("\"lru\"") && error.contains("prefetch"));
        assert!("evict:x".parse::<Policy>().is_err());
    }

    #[test]
    fn the_same_seed_gives_the_same_surprises() {
        let run = |seed| {
            let mut policy = Policy::new(Kind::Evict, seed);
            (0..1000).map(|_| policy.surprises()).collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
        let surprises = run(5).iter().filter(|s| **s).count();
        assert!((40..90).contains(&surprises), "{surprises} of 1000");
    }

    #[test]
    fn never_means_never() {
        let mut policy = Policy::new(Kind::Never, 1);
        assert!(!(0..1000).any(|_| policy.surprises()));
    }
}
