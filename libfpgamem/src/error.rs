// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can go wrong, with the numbers and the way out.

use crate::sys::Call;
use nix::errno::Errno;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// What a call of this library answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// Messages carry the numbers involved and, where there is one, the remedy. Sizes are in bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device node could not be opened.
    #[error("cannot open {}: {}", .path.display(), open_remedy(.source))]
    Open {
        /// The node.
        path: PathBuf,
        /// What open(2) answered.
        source: io::Error,
    },

    /// The file could be opened, but no fpgamem driver is behind it.
    #[error(
        "{} is not a node of the fpgamem driver; give a path like /dev/fpgamem0", .path.display()
    )]
    NotFpgamem {
        /// The file.
        path: PathBuf,
    },

    /// Driver and library speak different versions of the ABI.
    #[error(
        "the library speaks ABI {library}, the driver behind {} speaks ABI {driver}; \
         install module and library of the same release", .path.display()
    )]
    AbiMismatch {
        /// The node.
        path: PathBuf,
        /// The ABI number of this library.
        library: u32,
        /// The ABI number of the driver.
        driver: u32,
    },

    /// The pool has no room for the buffer.
    #[error(
        "no room for {requested} bytes aligned to {align}: {free} bytes are free, {largest_free} \
         in one piece so aligned, {quarantined} are in quarantine; {}",
        room_remedy(*.requested, *.free, *.largest_free, *.quarantined)
    )]
    OutOfMemory {
        /// Length that was asked for.
        requested: u64,
        /// Alignment that applied: what was asked for, at least the block size.
        align: u64,
        /// Bytes in free blocks of the pool, right after the failure.
        free: u64,
        /// Longest buffer of that alignment that would have fitted, right after the failure.
        largest_free: u64,
        /// Bytes that are kept back because the device may still write to them: they are free after
        /// [`Info::quarantine_ms`](crate::Info::quarantine_ms).
        quarantined: u64,
    },

    /// A buffer has at least 1 byte and at most those of the region.
    #[error("a buffer of {requested} bytes is impossible; 1 to {region_bytes} are possible")]
    InvalidLength {
        /// Length that was asked for.
        requested: u64,
        /// Size of the region.
        region_bytes: u64,
    },

    /// An alignment is a power of two and not above the largest that the driver takes.
    #[error(
        "an alignment of {requested} bytes is impossible; powers of two up to {max} are possible"
    )]
    InvalidAlignment {
        /// Alignment that was asked for.
        requested: u64,
        /// Largest alignment.
        max: u64,
    },

    /// A range is not inside the buffer.
    #[error("range [{start}, {end}) is not inside the buffer of {len} bytes")]
    OutOfRange {
        /// First byte of the range.
        start: usize,
        /// End of the range, exclusive; `usize::MAX` also where the end is not a number.
        end: usize,
        /// Length of the buffer.
        len: usize,
    },

    /// The buffer has been allocated and could not be mapped; it has been freed again.
    #[error("cannot map a buffer of {len} bytes")]
    Map {
        /// Length of the mapping.
        len: usize,
        /// What mmap(2) or madvise(2) answered.
        source: io::Error,
    },

    /// The device behind the open file has been unbound from its driver.
    ///
    /// Buffers that are mapped stay valid. Neither allocation nor synchronisation is possible.
    #[error(
        "{call}: the device has been unbound from its driver; bind it and open the node again"
    )]
    Unbound {
        /// The call that was refused.
        call: Call,
    },

    /// The buffer was allocated by another process, of which this one is a forked child.
    #[error(
        "the buffer belongs to process {owner} and is not mapped in its forked child {child}; \
         allocate a buffer in the child"
    )]
    Forked {
        /// Process that allocated the buffer.
        owner: u32,
        /// The process that made the call.
        child: u32,
    },

    /// The driver refused a call for another reason.
    #[error("{call} failed")]
    Ioctl {
        /// The call.
        call: Call,
        /// The driver's answer.
        source: Errno,
    },

    /// The driver answered something that cannot be.
    #[error(
        "the driver answered {field} = {value:#x}, which cannot be; library and module may not fit"
    )]
    UnexpectedResponse {
        /// Field of the answer.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

fn open_remedy(source: &io::Error) -> &'static str {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => {
            "there is no such node; load the module (modprobe fpgamem) and see in the kernel log \
             whether it found its node (compatible = \"fpgamem,memory-pool\") in the device tree"
        }
        Some(Errno::EACCES | Errno::EPERM) => {
            "not permitted; add the user to the group of the node (usermod -aG fpgamem USER) and \
             log in again"
        }
        Some(Errno::ENXIO | Errno::ENODEV) => {
            "no driver is behind the node; load the module (modprobe fpgamem) or bind the device"
        }
        _ => "the system refused",
    }
}

fn room_remedy(requested: u64, free: u64, largest_free: u64, quarantined: u64) -> &'static str {
    if requested <= largest_free {
        "there is room now, so try again, and if that fails look for a limit or for a kernel out \
         of memory"
    } else if requested <= free.saturating_add(quarantined) && quarantined != 0 {
        "processes ended while the device used that memory: try again when the quarantine is over, \
         or, if the device is quiet, end it by FPGAMEM_IOC_QUIET"
    } else if requested <= free {
        "the pool is fragmented: allocate large buffers first, or free what lies between"
    } else {
        "free other buffers or reserve a larger region in the device tree"
    }
}

impl Error {
    /// The error for an ioctl that answered `source`.
    pub(crate) fn ioctl(call: Call, source: Errno) -> Self {
        match source {
            Errno::ENODEV => Self::Unbound { call },
            _ => Self::Ioctl { call, source },
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Open { source, .. } | Error::Map { source, .. } => source.kind(),
            Error::Ioctl { source, .. } => io::Error::from(*source).kind(),
            Error::OutOfMemory { .. } => io::ErrorKind::OutOfMemory,
            Error::AbiMismatch { .. } | Error::NotFpgamem { .. } => io::ErrorKind::Unsupported,
            Error::InvalidLength { .. }
            | Error::InvalidAlignment { .. }
            | Error::OutOfRange { .. } => io::ErrorKind::InvalidInput,
            Error::UnexpectedResponse { .. } => io::ErrorKind::InvalidData,
            Error::Unbound { .. } | Error::Forked { .. } => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// A change of owner that failed, with the buffer that was to change it.
///
/// Nothing has happened to the buffer: its owner is still who it was, so the call may be tried
/// again. For a call on many buffers `B` is the vector of all of them, in their order.
#[derive(Debug)]
pub struct HandOverError<B> {
    /// Why it failed.
    pub error: Error,
    /// What was to be handed over.
    pub buffer: B,
}

impl<B> fmt::Display for HandOverError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the buffer keeps its owner: {}", self.error)
    }
}

impl<B: fmt::Debug> std::error::Error for HandOverError<B> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

/// Gives the buffer up, so that `?` works in a function that has no use for it.
impl<B> From<HandOverError<B>> for Error {
    fn from(failed: HandOverError<B>) -> Self {
        failed.error
    }
}

/// Gives the buffer up, so that `?` works in a function that has no use for it.
impl<B> From<HandOverError<B>> for io::Error {
    fn from(failed: HandOverError<B>) -> Self {
        failed.error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn open_error(errno: Errno) -> String {
        let path = PathBuf::from("/dev/fpgamem3");
        Error::Open {
            path,
            source: errno.into(),
        }
        .to_string()
    }

    fn room_error(requested: u64, free: u64, largest_free: u64) -> String {
        quarantine_error(requested, free, largest_free, 0)
    }

    fn quarantine_error(requested: u64, free: u64, largest_free: u64, quarantined: u64) -> String {
        Error::OutOfMemory {
            requested,
            align: 16384,
            free,
            largest_free,
            quarantined,
        }
        .to_string()
    }

    #[test]
    fn quarantined_memory_is_named_with_the_way_out() {
        let message = quarantine_error(30, 10, 10, 20);
        assert!(message.contains("20 are in quarantine"), "{message}");
        assert!(message.contains("FPGAMEM_IOC_QUIET"), "{message}");
        let message = quarantine_error(31, 10, 10, 20);
        assert!(!message.contains("FPGAMEM_IOC_QUIET"), "{message}");
    }

    #[test]
    fn a_missing_node_names_the_module_and_the_device_tree() {
        let message = open_error(Errno::ENOENT);
        assert!(message.starts_with("cannot open /dev/fpgamem3: there is no such node"));
        assert!(message.contains("modprobe fpgamem"));
        assert!(message.contains("fpgamem,memory-pool"));
    }

    #[test]
    fn a_forbidden_node_names_the_group() {
        assert!(open_error(Errno::EACCES).contains("usermod -aG fpgamem"));
    }

    #[test]
    fn an_exhausted_pool_gives_all_numbers() {
        let message = room_error(65536, 32768, 16384);
        assert_eq!(
            message,
            "no room for 65536 bytes aligned to 16384: 32768 bytes are free, 16384 in one piece \
             so aligned, 0 are in quarantine; free other buffers or reserve a larger region in the device tree"
        );
    }

    #[test]
    fn a_fragmented_pool_is_told_from_an_exhausted_one() {
        assert!(room_error(32768, 65536, 16384).contains("fragmented"));
    }

    #[test]
    fn failure_with_room_points_at_limits() {
        assert!(room_error(16384, 65536, 65536).contains("look for a limit"));
    }

    #[test]
    fn an_abi_mismatch_gives_both_numbers() {
        let path = PathBuf::from("/dev/fpgamem0");
        let message = Error::AbiMismatch {
            path,
            library: 1,
            driver: 7,
        }
        .to_string();
        assert!(message.contains("library speaks ABI 1"));
        assert!(message.contains("/dev/fpgamem0 speaks ABI 7"));
    }

    #[test]
    fn an_ioctl_error_names_the_call_and_keeps_the_errno() {
        let error = Error::ioctl(Call::Flush, Errno::EFAULT);
        assert_eq!(error.to_string(), "FPGAMEM_IOC_FLUSH failed");
        let source = error.source().and_then(|s| s.downcast_ref::<Errno>());
        assert_eq!(source, Some(&Errno::EFAULT));
    }

    #[test]
    fn an_unbound_device_is_told_apart() {
        let error = Error::ioctl(Call::Alloc, Errno::ENODEV);
        assert!(matches!(error, Error::Unbound { call: Call::Alloc }));
    }

    #[test]
    fn becomes_an_io_error_of_the_same_kind_and_text() {
        let error = Error::InvalidLength {
            requested: 0,
            region_bytes: 1 << 30,
        };
        let text = error.to_string();
        let io = io::Error::from(error);
        assert_eq!(io.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(io.to_string(), text);
        let io = io::Error::from(Error::ioctl(Call::Flush, Errno::EACCES));
        assert_eq!(io.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_failed_hand_over_gives_the_buffer_back() {
        let error = Error::Forked {
            owner: 10,
            child: 11,
        };
        let failed = HandOverError {
            error,
            buffer: vec![1_u8, 2],
        };
        assert!(failed.to_string().contains("process 10"));
        assert_eq!(failed.buffer, [1, 2]);
        assert!(matches!(
            Error::from(failed),
            Error::Forked {
                owner: 10,
                child: 11
            }
        ));
    }
}
