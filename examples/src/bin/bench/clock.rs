// SPDX-License-Identifier: MIT OR Apache-2.0

//! A clock that is exact to one instruction under QEMU with `-icount shift=0`.
//!
//! There the counter of the generic timer goes up every 16 instructions. A loop of 17 instructions reads it
//! one instruction later in each step each time round, so that once in sixteen times it goes up by two: then
//! it is known where in a step the first reading was.

use std::time::Duration;

/// Nanoseconds, which are guest instructions under QEMU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    begin: Point,
}

/// Two ends of one reading of the clock.
#[derive(Clone, Copy, Debug)]
struct Point {
    /// When it was called.
    entry: u64,
    /// When it returned.
    exit: u64,
}

impl Span {
    /// Starts to count.
    #[inline(never)]
    pub(crate) fn start() -> Self {
        Self { begin: now() }
    }

    /// What has been counted since. Reading the clock is part of it: a few tens.
    #[inline(never)]
    pub(crate) fn count(&self) -> u64 {
        now().entry.saturating_sub(self.begin.exit)
    }
}

/// Sleeps until shortly after a tick of the kernel, so that the ticks in what follows are always the same ones.
pub(crate) fn wait_for_tick() {
    const TICK_NANOS: u64 = 10_000_000;
    const PAST_IT_NANOS: u64 = 1_000_000;
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map_or(Duration::ZERO, Duration::from);
    let past = u64::from(now.subsec_nanos()) % TICK_NANOS;
    std::thread::sleep(Duration::from_nanos(TICK_NANOS - past + PAST_IT_NANOS));
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn now() -> Point {
    const STEP: u64 = 16;
    let (first, rounds) = crate::raw::counter_and_phase();
    let entry = (first + 1) * STEP - rounds.min(STEP);
    Point {
        entry,
        exit: entry + rounds * (STEP + 1),
    }
}

#[cfg(not(target_arch = "aarch64"))]
#[inline(always)]
fn now() -> Point {
    use std::sync::OnceLock;
    use std::time::Instant;
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let nanos = ORIGIN.get_or_init(Instant::now).elapsed().as_nanos();
    let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
    Point {
        entry: nanos,
        exit: nanos,
    }
}
