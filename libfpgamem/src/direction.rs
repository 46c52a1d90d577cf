// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who writes and who reads while the device owns a buffer, and what that asks of the caches.

/// Which way data flows while the device owns a buffer.
///
/// | direction | before the device runs | after it is done |
/// |---|---|---|
/// | [`ToDevice`](Self::ToDevice) | clean | nothing |
/// | [`FromDevice`](Self::FromDevice) | clean and invalidate | clean and invalidate |
/// | [`Bidirectional`](Self::Bidirectional) | clean and invalidate | clean and invalidate |
///
/// For a buffer whose port snoops the caches each of these is a memory barrier and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The CPU wrote, the device reads.
    ///
    /// What the device writes nevertheless may be lost: nothing drops the CPU's cached copy.
    ToDevice,
    /// The device writes, the CPU will read.
    ///
    /// The lines are cleaned as well, so what the CPU wrote before is not lost where the device
    /// writes nothing.
    FromDevice,
    /// The CPU wrote, the device reads and writes, the CPU will read.
    Bidirectional,
}

impl Direction {
    /// Tells whether the device may read what the CPU wrote.
    #[must_use]
    pub const fn device_reads(self) -> bool {
        matches!(self, Self::ToDevice | Self::Bidirectional)
    }

    /// Tells whether the device may write.
    #[must_use]
    pub const fn device_writes(self) -> bool {
        matches!(self, Self::FromDevice | Self::Bidirectional)
    }

    /// What the caches need before the device runs.
    pub(crate) const fn before_device(self) -> Maintenance {
        match self {
            Self::ToDevice => Maintenance::Clean,
            // A dirty line may be evicted at any time, over what the device has written by then.
            Self::FromDevice | Self::Bidirectional => Maintenance::CleanInvalidate,
        }
    }

    /// What the caches need after the device is done, before the CPU looks.
    pub(crate) const fn after_device(self) -> Option<Maintenance> {
        match self {
            Self::ToDevice => None,
            // The CPU may have fetched lines speculatively while the device was writing.
            Self::FromDevice | Self::Bidirectional => Some(Maintenance::CleanInvalidate),
        }
    }
}

/// Maintenance of every cache line of a range, down to the point of coherency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maintenance {
    /// Writes dirty lines back.
    Clean,
    /// Writes dirty lines back and drops all lines; what the CPU wrote is never discarded.
    CleanInvalidate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_device_cleans_before_and_does_nothing_after() {
        let direction = Direction::ToDevice;
        assert_eq!(direction.before_device(), Maintenance::Clean);
        assert_eq!(direction.after_device(), None);
    }

    #[test]
    fn from_device_cleans_and_invalidates_on_both_sides() {
        let direction = Direction::FromDevice;
        assert_eq!(direction.before_device(), Maintenance::CleanInvalidate);
        assert_eq!(direction.after_device(), Some(Maintenance::CleanInvalidate));
    }

    #[test]
    fn bidirectional_cleans_and_invalidates_on_both_sides() {
        let direction = Direction::Bidirectional;
        assert_eq!(direction.before_device(), Maintenance::CleanInvalidate);
        assert_eq!(direction.after_device(), Some(Maintenance::CleanInvalidate));
    }

    #[test]
    fn says_what_the_device_may_do() {
        let may = |d: Direction| (d.device_reads(), d.device_writes());
        assert_eq!(may(Direction::ToDevice), (true, false));
        assert_eq!(may(Direction::FromDevice), (false, true));
        assert_eq!(may(Direction::Bidirectional), (true, true));
    }
}
