// SPDX-License-Identifier: MIT OR Apache-2.0

//! What may be asked of an allocation, and what a refusal means.

use crate::error::{Error, Result};
use crate::info::Info;
use crate::sys::{self, Call};
use fpgamem_shared::abi;
use nix::errno::Errno;
use std::os::fd::BorrowedFd;

/// Whether the device reaches a buffer through a port that snoops the CPU's caches.
///
/// That belongs to the port of the FPGA design, not to the memory: HP ports never snoop, HPC and ACP
/// ports can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Coherency {
    /// As the device tree says for the pool: [`Info::coherent`].
    #[default]
    Default,
    /// The port snoops: handing over is a memory barrier.
    Coherent,
    /// The port does not snoop: handing over maintains the cache lines of the buffer.
    NonCoherent,
}

/// How a buffer is to be, apart from its length.
///
/// ```
/// use fpgamem::{AllocOptions, Coherency};
///
/// let options = AllocOptions::new().align(1 << 21).coherency(Coherency::Coherent);
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AllocOptions {
    align: u64,
    write_combine: bool,
    coherency: Coherency,
}

impl AllocOptions {
    /// What [`Device::alloc`](crate::Device::alloc) uses: aligned to the block size, cached, port as
    /// the pool's.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            align: 0,
            write_combine: false,
            coherency: Coherency::Default,
        }
    }

    /// Aligns the first byte, as physical address, to `bytes`: a power of two up to 1 GiB.
    ///
    /// Less than the block size counts as the block size.
    #[must_use]
    pub const fn align(self, bytes: u64) -> Self {
        Self {
            align: bytes,
            ..self
        }
    }

    /// Maps the buffer write-combine instead of cached, where `on`.
    ///
    /// The CPU's writes are gathered and then go to memory; its reads are slow, as each goes to
    /// memory too. For what the CPU writes once, front to back, and hardly reads.
    #[must_use]
    pub const fn write_combine(self, on: bool) -> Self {
        Self {
            write_combine: on,
            ..self
        }
    }

    /// Says whether the port that the device uses snoops the caches.
    #[must_use]
    pub const fn coherency(self, coherency: Coherency) -> Self {
        Self { coherency, ..self }
    }

    /// Alignment in bytes, 0 for the block size.
    pub(crate) const fn alignment(self) -> u64 {
        self.align
    }

    /// Whether a buffer with these options is coherent in a pool that is so by `default`.
    pub(crate) const fn is_coherent(self, default: bool) -> bool {
        match self.coherency {
            Coherency::Default => default,
            Coherency::Coherent => true,
            Coherency::NonCoherent => false,
        }
    }

    /// Whether a buffer with these options is write-combine.
    pub(crate) const fn is_write_combine(self) -> bool {
        self.write_combine
    }

    fn flags(self) -> u32 {
        let attribute = if self.write_combine {
            abi::ALLOC_WRITE_COMBINE
        } else {
            0
        };
        attribute
            | match self.coherency {
                Coherency::Default => 0,
                Coherency::Coherent => abi::ALLOC_COHERENT,
                Coherency::NonCoherent => abi::ALLOC_NONCOHERENT,
            }
    }
}

/// A buffer that has been allocated and has a handle, which is dropped with the value.
#[derive(Debug)]
pub(crate) struct Allocation<'a> {
    fd: BorrowedFd<'a>,
    /// What the driver answered.
    pub(crate) answer: abi::Alloc,
}

impl<'a> Allocation<'a> {
    /// Allocates `len` bytes.
    pub(crate) fn new(fd: BorrowedFd<'a>, len: u64, options: AllocOptions) -> Result<Self> {
        let mut answer = abi::Alloc {
            len,
            align: options.align,
            flags: options.flags(),
            ..Default::default()
        };
        match sys::alloc(fd, &mut answer) {
            Ok(()) => Ok(Self { fd, answer }),
            Err(errno) => Err(refusal(errno, len, options.align, sys::info(fd))),
        }
    }
}

impl Drop for Allocation<'_> {
    fn drop(&mut self) {
        // A refusal means that the handle is gone already, or goes with the file.
        let _ = sys::free(self.fd, self.answer.handle);
    }
}

/// What it means that the driver refused an allocation with `errno`, in a pool that is now as `info`
/// says.
fn refusal(errno: Errno, len: u64, align: u64, info: Result<abi::Info, Errno>) -> Error {
    let error = Error::ioctl(Call::Alloc, errno);
    let Some(info) = info.ok().and_then(|raw| Info::new(&raw).ok()) else {
        return error;
    };
    match errno {
        Errno::ENOMEM => {
            let align = align.max(info.block_bytes);
            let largest_free = info.largest_free(align).unwrap_or(0);
            Error::OutOfMemory {
                requested: len,
                align,
                free: info.free_bytes,
                largest_free,
                quarantined: info.quarantined_bytes,
            }
        }
        Errno::EINVAL if len == 0 || len > info.region_bytes => Error::InvalidLength {
            requested: len,
            region_bytes: info.region_bytes,
        },
        Errno::EINVAL if align != 0 && (!align.is_power_of_two() || align > abi::MAX_ALIGN) => {
            Error::InvalidAlignment {
                requested: align,
                max: abi::MAX_ALIGN,
            }
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info::tests::raw;

    #[test]
    fn no_options_are_no_flags() {
        let options = AllocOptions::new();
        assert_eq!((options.flags(), options.align), (0, 0));
        assert_eq!(options, AllocOptions::default());
    }

    #[test]
    fn every_option_has_its_flag() {
        let flags = |options: AllocOptions| options.flags();
        let new = AllocOptions::new();
        assert_eq!(flags(new.write_combine(true)), abi::ALLOC_WRITE_COMBINE);
        assert_eq!(
            flags(new.coherency(Coherency::Coherent)),
            abi::ALLOC_COHERENT
        );
        assert_eq!(
            flags(new.coherency(Coherency::NonCoherent)),
            abi::ALLOC_NONCOHERENT
        );
    }

    #[test]
    fn coherency_overrides_that_of_the_pool() {
        let new = AllocOptions::new();
        assert!(new.is_coherent(true) && !new.is_coherent(false));
        assert!(new.coherency(Coherency::Coherent).is_coherent(false));
        assert!(!new.coherency(Coherency::NonCoherent).is_coherent(true));
    }

    #[test]
    fn exhaustion_tells_what_would_have_fitted() {
        let error = refusal(Errno::ENOMEM, 70_000, 65536, Ok(raw()));
        let Error::OutOfMemory {
            requested,
            align,
            free,
            largest_free,
            ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(
            (requested, align, free, largest_free),
            (70_000, 65536, 5000, 996)
        );
    }

    #[test]
    fn exhaustion_without_alignment_is_about_blocks() {
        let error = refusal(Errno::ENOMEM, 70_000, 0, Ok(raw()));
        assert!(matches!(
            error,
            Error::OutOfMemory {
                align: 16384,
                largest_free: 998,
                ..
            }
        ));
    }

    #[test]
    fn an_impossible_length_gives_the_region() {
        for len in [0, (1 << 30) + 1] {
            let error = refusal(Errno::EINVAL, len, 0, Ok(raw()));
            let Error::InvalidLength {
                requested,
                region_bytes,
            } = error
            else {
                panic!("{error}");
            };
            assert_eq!((requested, region_bytes), (len, 1 << 30));
        }
    }

    #[test]
    fn an_impossible_alignment_gives_the_largest() {
        for align in [3, abi::MAX_ALIGN * 2] {
            let error = refusal(Errno::EINVAL, 1, align, Ok(raw()));
            assert!(
                matches!(error, Error::InvalidAlignment { requested, .. } if requested == align)
            );
        }
    }

    #[test]
    fn a_refusal_without_numbers_is_still_told() {
        let error = refusal(Errno::ENOMEM, 1, 0, Err(Errno::ENODEV));
        assert!(matches!(
            error,
            Error::Ioctl {
                call: Call::Alloc,
                source: Errno::ENOMEM
            }
        ));
    }
}
