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

    /// A node of u-dma-buf, or a file of it in sysfs, could not be opened, read or written.
    #[error("cannot use {}: {}", .path.display(), u_dma_buf_remedy(.source))]
    UDmaBuf {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },

    /// The file could be opened, but no u-dma-buf driver is behind it.
    #[error("{} is not a node of u-dma-buf; give a path like /dev/udmabuf0", .path.display())]
    NotUDmaBuf {
        /// The file.
        path: PathBuf,
    },

    /// A node of u-dma-buf serves one device of one process at a time.
    #[error(
        "{} is in use by another process, or by another device of this one; end it, or open \
         another node", .path.display()
    )]
    InUse {
        /// The node.
        path: PathBuf,
    },

    /// Buffers of u-dma-buf are cached.
    #[error(
        "{} is a node of u-dma-buf, which has no write-combine buffers; allocate a cached one",
        .path.display()
    )]
    NoWriteCombine {
        /// The node.
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

    /// A buffer is split between cache lines, and both parts have bytes.
    #[error(
        "a buffer of {len} bytes cannot be split at {mid}; multiples of {line_bytes} below its \
         length are possible"
    )]
    InvalidSplit {
        /// Where it was to be split.
        mid: usize,
        /// Length of the buffer.
        len: usize,
        /// Bytes that no part may share with another: those of a cache line.
        line_bytes: usize,
    },

    /// Buffers are joined that were split from one, in their order.
    #[error(
        "the second buffer, at {next:#x}, does not follow the first, which ends at {end:#x}, in the \
         same allocation"
    )]
    NotAdjacent {
        /// End of the first buffer, as physical address.
        end: u64,
        /// First physical address of the second.
        next: u64,
    },

    /// A buffer of elements has whole ones, and the first is aligned for them.
    #[error(
        "a buffer of {len} bytes does not hold whole elements of {size} bytes, the first aligned to \
         {align}"
    )]
    InvalidElements {
        /// Length of the buffer in bytes.
        len: usize,
        /// Bytes of an element.
        size: usize,
        /// Alignment of an element.
        align: usize,
    },

    /// The buffer has been allocated and could not be mapped; it has been freed again.
    #[error("cannot map a buffer of {len} bytes")]
    Map {
        /// Length of the mapping.
        len: usize,
        /// What mmap(2) or madvise(2) answered.
        source: io::Error,
    },

    /// A region has whole blocks, at least one, and those are powers of two from 4 KiB to 2 MiB.
    #[error(
        "a region of {region_bytes} bytes in blocks of {block_bytes} is impossible; blocks are \
         powers of two from 4096 to 2097152, and the region has whole ones"
    )]
    InvalidRegion {
        /// Size of the region.
        region_bytes: u64,
        /// Size of a block.
        block_bytes: u64,
    },

    /// The emulated accelerator gave up because it accessed what is no buffer.
    #[error(
        "the accelerator accessed {len} bytes at {addr:#x}, which are not all of one live buffer; \
         check the address and length that it was given"
    )]
    Bus {
        /// First device address of the access.
        addr: u64,
        /// Its length.
        len: usize,
    },

    /// The model of the emulated accelerator panicked.
    #[error("the accelerator's model panicked: {message}")]
    AcceleratorPanicked {
        /// What the panic said.
        message: String,
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

fn u_dma_buf_remedy(source: &io::Error) -> &'static str {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => {
            "there is no such file; load the module (modprobe u-dma-buf) and see that it made the \
             node"
        }
        Some(Errno::EACCES | Errno::EPERM) => {
            "not permitted; give the user the node, and sync_for_cpu and sync_for_device of it in \
             sysfs, by a udev rule"
        }
        _ => "the system refused, or the driver of the node is another one than expected",
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
            Error::Open { source, .. }
            | Error::Map { source, .. }
            | Error::UDmaBuf { source, .. } => source.kind(),
            Error::Ioctl { source, .. } => io::Error::from(*source).kind(),
            Error::OutOfMemory { .. } => io::ErrorKind::OutOfMemory,
            Error::AbiMismatch { .. }
            | Error::NotFpgamem { .. }
            | Error::NotUDmaBuf { .. }
            | Error::NoWriteCombine { .. } => io::ErrorKind::Unsupported,
            Error::InvalidLength { .. }
            | Error::InvalidAlignment { .. }
            | Error::InvalidSplit { .. }
            | Error::InvalidElements { .. }
            | Error::InvalidRegion { .. }
            | Error::NotAdjacent { .. }
            | Error::OutOfRange { .. } => io::ErrorKind::InvalidInput,
            Error::UnexpectedResponse { .. } => io::ErrorKind::InvalidData,
            Error::Unbound { .. }
            | Error::Forked { .. }
            | Error::InUse { .. }
            | Error::Bus { .. }
            | Error::AcceleratorPanicked { .. } => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// A call that takes a buffer and failed, with the buffer.
///
/// Nothing has happened to the buffer: its owner is still who it was, so the call may be tried
/// again. For a call on many buffers `B` has all of them, in their order.
#[derive(Debug)]
pub struct HandOverError<B> {
    /// Why it failed.
    pub error: Error,
    /// What was to be handed over, taken back, split or joined.
    pub buffer: B,
}

impl<B> fmt::Display for HandOverError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the buffer is as it was: {}", self.error)
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
#[cfg(not(miri))]
mod messages;
#[cfg(test)]
mod tests;
