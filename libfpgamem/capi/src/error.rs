// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a failed call tells.

use fpgamem::mmio::RegisterError;
use fpgamem::{Errno, Error};
use std::ffi::{c_char, c_int};
use std::fmt;
use std::io;

/// A null pointer, an unknown number, or a reserved field that is not 0. EINVAL
pub const FPGAMEM_E_ARGUMENT: u32 = 1;
/// The call is for a buffer that the other side owns. EBUSY
pub const FPGAMEM_E_BUSY: u32 = 2;
/// The node could not be opened; errno_value is that of open(2).
pub const FPGAMEM_E_OPEN: u32 = 3;
/// The file is no node of the driver that it should be of. ENOTTY
pub const FPGAMEM_E_NOT_A_NODE: u32 = 4;
/// Library and driver speak different versions of the ABI. EPROTONOSUPPORT
pub const FPGAMEM_E_ABI: u32 = 5;
/// The pool has no room. ENOMEM
pub const FPGAMEM_E_NO_ROOM: u32 = 6;
/// No buffer has such a length. EINVAL
pub const FPGAMEM_E_LENGTH: u32 = 7;
/// No buffer has such an alignment. EINVAL
pub const FPGAMEM_E_ALIGNMENT: u32 = 8;
/// The range is not inside the buffer. ERANGE
pub const FPGAMEM_E_RANGE: u32 = 9;
/// The memory could not be mapped; errno_value is that of mmap(2) or madvise(2).
pub const FPGAMEM_E_MAP: u32 = 10;
/// No emulated region has such sizes. EINVAL
pub const FPGAMEM_E_REGION: u32 = 11;
/// The address is in no live buffer of this process. EFAULT
pub const FPGAMEM_E_NOT_FOUND: u32 = 12;
/// The device has been unbound from its driver. ENODEV
pub const FPGAMEM_E_UNBOUND: u32 = 13;
/// The handle belongs to the process that this one was forked from. EPERM
pub const FPGAMEM_E_FORKED: u32 = 14;
/// The emulated accelerator accessed what is no buffer. EIO
pub const FPGAMEM_E_BUS: u32 = 15;
/// The model of the emulated accelerator says that it failed. EIO
pub const FPGAMEM_E_MODEL: u32 = 16;
/// The device is not an emulated one. EOPNOTSUPP
pub const FPGAMEM_E_NOT_EMULATED: u32 = 17;
/// The driver refused the call for another reason; errno_value is its answer.
pub const FPGAMEM_E_IOCTL: u32 = 18;
/// The driver answered what cannot be. EPROTO
pub const FPGAMEM_E_ANSWER: u32 = 19;
/// Another process has the node of u-dma-buf. EBUSY
pub const FPGAMEM_E_IN_USE: u32 = 20;
/// The device has no such buffers. EOPNOTSUPP
pub const FPGAMEM_E_UNSUPPORTED: u32 = 21;
/// An error inside of the library. ENOTRECOVERABLE
pub const FPGAMEM_E_INTERNAL: u32 = 22;
/// No buffer is split there. EINVAL
pub const FPGAMEM_E_SPLIT: u32 = 23;
/// The second buffer does not begin where the first one ends, or is of another allocation. EINVAL
pub const FPGAMEM_E_NOT_ADJACENT: u32 = 24;
/// No UIO device has the name (ENODEV), or more than one has it (ENOTUNIQ).
pub const FPGAMEM_E_NO_REGISTERS: u32 = 25;
/// The window has no register of such a width at the offset. ERANGE
pub const FPGAMEM_E_REGISTER: u32 = 26;
/// The device has no interrupt (EOPNOTSUPP), or errno_value is that of poll(2), read(2) or write(2).
pub const FPGAMEM_E_INTERRUPT: u32 = 27;
/// What was waited for has not happened in time. ETIMEDOUT
pub const FPGAMEM_E_TIMEOUT: u32 = 28;

/// Bytes of a message, its end included.
pub const FPGAMEM_MESSAGE_BYTES: usize = 504;

/// What went wrong. A call that fails fills it in; one that succeeds leaves it alone. Every call takes
/// a null pointer instead.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct fpgamem_error_t {
    /// One of FPGAMEM_E_*.
    pub code: u32,
    /// What the call returned: a number of errno.h.
    pub errno_value: i32,
    /// The same for people, with the numbers involved and, where there is one, the way out: one line,
    /// UTF-8, which ends with a zero.
    pub message: [c_char; FPGAMEM_MESSAGE_BYTES],
}

impl fmt::Debug for fpgamem_error_t {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("fpgamem_error_t")
            .field("code", &self.code)
            .field("errno_value", &self.errno_value)
            .finish_non_exhaustive()
    }
}

/// A failed call, before C hears of it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u32,
    pub(crate) errno: c_int,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: u32, errno: Errno, message: String) -> Self {
        Self {
            code,
            errno: errno as c_int,
            message,
        }
    }

    pub(crate) fn argument(message: String) -> Self {
        Self::new(FPGAMEM_E_ARGUMENT, Errno::EINVAL, message)
    }

    pub(crate) fn busy(message: &str) -> Self {
        Self::new(FPGAMEM_E_BUSY, Errno::EBUSY, message.to_owned())
    }

    pub(crate) fn not_found(addr: u64) -> Self {
        let text = format!("the address {addr:#x} is in no live buffer of this process");
        Self::new(FPGAMEM_E_NOT_FOUND, Errno::EFAULT, text)
    }

    pub(crate) fn timeout(message: String) -> Self {
        Self::new(FPGAMEM_E_TIMEOUT, Errno::ETIMEDOUT, message)
    }

    /// A handle of the parent, used in a child.
    pub(crate) fn forked() -> Self {
        let text = "the handle belongs to the process that this one was forked from; make one here";
        Self::new(FPGAMEM_E_FORKED, Errno::EPERM, text.to_owned())
    }

    /// A call panicked.
    pub(crate) fn panicked() -> Self {
        let text = "an error inside of libfpgamem; standard error has the details";
        Self::new(FPGAMEM_E_INTERNAL, Errno::ENOTRECOVERABLE, text.to_owned())
    }

    /// A buffer that an earlier panic has taken.
    pub(crate) fn lost() -> Self {
        let text = "the buffer was lost in an earlier error inside of libfpgamem";
        Self::new(FPGAMEM_E_INTERNAL, Errno::ENOTRECOVERABLE, text.to_owned())
    }
}

/// What the system said.
fn errno_of(error: &io::Error) -> Errno {
    let other = match error.kind() {
        io::ErrorKind::Unsupported => Errno::EOPNOTSUPP,
        _ => Errno::EIO,
    };
    error.raw_os_error().map_or(other, Errno::from_raw)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (code, errno) = match &error {
            Error::Open { source, .. } | Error::UDmaBuf { source, .. } => {
                (FPGAMEM_E_OPEN, errno_of(source))
            }
            Error::NotFpgamem { .. } | Error::NotUDmaBuf { .. } => {
                (FPGAMEM_E_NOT_A_NODE, Errno::ENOTTY)
            }
            Error::InUse { .. } => (FPGAMEM_E_IN_USE, Errno::EBUSY),
            Error::NoWriteCombine { .. } => (FPGAMEM_E_UNSUPPORTED, Errno::EOPNOTSUPP),
            Error::AbiMismatch { .. } => (FPGAMEM_E_ABI, Errno::EPROTONOSUPPORT),
            Error::OutOfMemory { .. } => (FPGAMEM_E_NO_ROOM, Errno::ENOMEM),
            Error::InvalidLength { .. } => (FPGAMEM_E_LENGTH, Errno::EINVAL),
            Error::InvalidAlignment { .. } => (FPGAMEM_E_ALIGNMENT, Errno::EINVAL),
            Error::OutOfRange { .. } => (FPGAMEM_E_RANGE, Errno::ERANGE),
            Error::InvalidSplit { .. } => (FPGAMEM_E_SPLIT, Errno::EINVAL),
            Error::NotAdjacent { .. } => (FPGAMEM_E_NOT_ADJACENT, Errno::EINVAL),
            Error::Map { source, .. } => (FPGAMEM_E_MAP, errno_of(source)),
            Error::InvalidRegion { .. } => (FPGAMEM_E_REGION, Errno::EINVAL),
            Error::Unbound { .. } => (FPGAMEM_E_UNBOUND, Errno::ENODEV),
            Error::Forked { .. } => (FPGAMEM_E_FORKED, Errno::EPERM),
            Error::Bus { .. } => (FPGAMEM_E_BUS, Errno::EIO),
            Error::AcceleratorPanicked { .. } => (FPGAMEM_E_MODEL, Errno::EIO),
            Error::Ioctl { source, .. } => (FPGAMEM_E_IOCTL, *source),
            Error::UnexpectedResponse { .. } => (FPGAMEM_E_ANSWER, Errno::EPROTO),
            // Those of calls that this interface lacks; the test `errors` knows them.
            _ => (FPGAMEM_E_INTERNAL, Errno::ENOTRECOVERABLE),
        };
        Self::new(code, errno, with_sources(&error))
    }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        let (code, errno) = match error {
            RegisterError::NotFound { .. } => (FPGAMEM_E_NO_REGISTERS, Errno::ENODEV),
            RegisterError::Ambiguous { .. } => (FPGAMEM_E_NO_REGISTERS, Errno::ENOTUNIQ),
            RegisterError::NotUio { .. } => (FPGAMEM_E_NOT_A_NODE, Errno::ENOTTY),
            RegisterError::Open { ref source, .. } => (FPGAMEM_E_OPEN, errno_of(source)),
            RegisterError::Outside { .. } => (FPGAMEM_E_REGISTER, Errno::ERANGE),
            RegisterError::Interrupt { ref source, .. } => (FPGAMEM_E_INTERRUPT, errno_of(source)),
            RegisterError::NotEmulated { .. } => (FPGAMEM_E_NOT_EMULATED, Errno::EOPNOTSUPP),
            RegisterError::Model(error) => return error.into(),
            // The test `errors` sees to it that there is no other.
            _ => (FPGAMEM_E_INTERNAL, Errno::ENOTRECOVERABLE),
        };
        Self::new(code, errno, with_sources(&error))
    }
}

/// The message with those of its causes.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

impl From<Failure> for fpgamem_error_t {
    fn from(failure: Failure) -> Self {
        let mut message = [0; FPGAMEM_MESSAGE_BYTES];
        let text = &failure.message;
        let fits = |end: &usize| *end < FPGAMEM_MESSAGE_BYTES && text.is_char_boundary(*end);
        let end = (0..=text.len()).rev().find(fits).unwrap_or(0);
        for (to, byte) in message.iter_mut().zip(text.bytes().take(end)) {
            // CAST: C's characters are bytes, with a sign or without.
            *to = byte as c_char;
        }
        Self {
            code: failure.code,
            errno_value: failure.errno,
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: &fpgamem_error_t) -> String {
        let bytes = error.message.iter().take_while(|byte| **byte != 0);
        String::from_utf8(bytes.map(|byte| *byte as u8).collect()).unwrap()
    }

    #[test]
    fn a_message_keeps_what_the_library_said() {
        let error = Error::InvalidLength {
            requested: 7,
            region_bytes: 5,
        };
        let said = error.to_string();
        let error = fpgamem_error_t::from(Failure::from(error));
        assert_eq!(
            (error.code, error.errno_value),
            (FPGAMEM_E_LENGTH, Errno::EINVAL as i32)
        );
        assert_eq!(text(&error), said);
    }

    #[test]
    fn a_long_message_ends_between_characters() {
        let failure = Failure::argument("ä".repeat(400));
        let error = fpgamem_error_t::from(failure);
        assert_eq!(text(&error), "ä".repeat(251));
        assert_eq!(error.message[FPGAMEM_MESSAGE_BYTES - 1], 0);
    }

    #[test]
    fn a_device_without_an_interrupt_is_told_apart() {
        let error = |source| RegisterError::Interrupt {
            name: "vadd".to_owned(),
            source,
        };
        let none = Failure::from(error(io::ErrorKind::Unsupported.into()));
        assert_eq!(
            (none.code, none.errno),
            (FPGAMEM_E_INTERRUPT, Errno::EOPNOTSUPP as i32)
        );
        let refused = Failure::from(error(io::Error::from_raw_os_error(Errno::EPERM as i32)));
        assert_eq!(refused.errno, Errno::EPERM as i32);
    }

    #[test]
    fn causes_are_told() {
        let error = Error::Ioctl {
            call: fpgamem::Call::Alloc,
            source: Errno::EINTR,
        };
        let failure = Failure::from(error);
        assert!(failure.message.starts_with("FPGAMEM_IOC_ALLOC failed: "));
        assert_eq!(failure.errno, Errno::EINTR as i32);
    }
}
