// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ioctls: one safe wrapper each, over typed structures of the ABI.
//!
//! The proofs below rest on one fact about all commands: the command number carries the size of its
//! structure, and the driver accesses that many bytes and no others. A file of another driver
//! answers `ENOTTY` to a type byte that it does not know.

use crate::direction::Maintenance;
use crate::error::{Error, Result};
use fpgamem_shared::abi;
use nix::errno::Errno;
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

mod raw {
    //! The unsafe functions that nix derives from the command numbers.

    use fpgamem_shared::abi;

    nix::ioctl_read!(info, abi::IOC_TYPE, 0, abi::Info);
    nix::ioctl_readwrite!(alloc, abi::IOC_TYPE, 1, abi::Alloc);
    nix::ioctl_write_ptr!(free, abi::IOC_TYPE, 2, abi::Free);
    nix::ioctl_readwrite!(user_to_phys, abi::IOC_TYPE, 4, abi::UserToPhys);
    nix::ioctl_readwrite!(phys_to_user, abi::IOC_TYPE, 5, abi::PhysToUser);
    nix::ioctl_write_ptr!(flush, abi::IOC_TYPE, 6, abi::Range);
    nix::ioctl_write_ptr!(invalidate, abi::IOC_TYPE, 7, abi::Range);
    nix::ioctl_write_ptr!(sync, abi::IOC_TYPE, 8, abi::Sync);
    nix::ioctl_write_ptr!(set_owner, abi::IOC_TYPE, 9, abi::SetOwner);
}

/// An ioctl of the driver, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// `FPGAMEM_IOC_INFO`: describe the pool.
    Info,
    /// `FPGAMEM_IOC_ALLOC`: allocate a buffer.
    Alloc,
    /// `FPGAMEM_IOC_FREE`: drop a handle.
    Free,
    /// `FPGAMEM_IOC_USER_TO_PHYS`: translate a user address.
    UserToPhys,
    /// `FPGAMEM_IOC_PHYS_TO_USER`: translate a physical address.
    PhysToUser,
    /// `FPGAMEM_IOC_FLUSH`: clean one range.
    Flush,
    /// `FPGAMEM_IOC_INVALIDATE`: clean and invalidate one range.
    Invalidate,
    /// `FPGAMEM_IOC_SYNC`: maintain many ranges.
    Sync,
    /// `FPGAMEM_IOC_SET_OWNER`: say who owns a buffer.
    SetOwner,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "FPGAMEM_IOC_INFO",
            Self::Alloc => "FPGAMEM_IOC_ALLOC",
            Self::Free => "FPGAMEM_IOC_FREE",
            Self::UserToPhys => "FPGAMEM_IOC_USER_TO_PHYS",
            Self::PhysToUser => "FPGAMEM_IOC_PHYS_TO_USER",
            Self::Flush => "FPGAMEM_IOC_FLUSH",
            Self::Invalidate => "FPGAMEM_IOC_INVALIDATE",
            Self::Sync => "FPGAMEM_IOC_SYNC",
            Self::SetOwner => "FPGAMEM_IOC_SET_OWNER",
        })
    }
}

/// Describes the pool.
pub(crate) fn info(fd: BorrowedFd<'_>) -> Result<abi::Info, Errno> {
    let mut info = abi::Info::default();
    // SAFETY: The driver writes one `abi::Info`, for which `info` has room, and keeps no pointer.
    unsafe { raw::info(fd.as_raw_fd(), &mut info) }?;
    Ok(info)
}

/// Allocates a buffer without mapping it; fills in the outputs of `alloc`.
pub(crate) fn alloc(fd: BorrowedFd<'_>, alloc: &mut abi::Alloc) -> Result<(), Errno> {
    // SAFETY: The driver reads and writes one `abi::Alloc`, which `alloc` is, and keeps no pointer.
    unsafe { raw::alloc(fd.as_raw_fd(), alloc) }?;
    Ok(())
}

/// Drops a handle.
pub(crate) fn free(fd: BorrowedFd<'_>, handle: u32) -> Result<()> {
    let free = abi::Free {
        handle,
        reserved: 0,
    };
    // SAFETY: The driver reads one `abi::Free`, which `free` is, and keeps no pointer. Mappings of
    // the buffer stay valid, so no reference of anybody is left dangling.
    unsafe { raw::free(fd.as_raw_fd(), &free) }.map_err(|e| Error::ioctl(Call::Free, e))?;
    Ok(())
}

/// Translates a user address; `None` where no buffer is mapped there.
pub(crate) fn user_to_phys(fd: BorrowedFd<'_>, addr: u64) -> Result<Option<abi::UserToPhys>> {
    let mut answer = abi::UserToPhys {
        user_addr: addr,
        ..Default::default()
    };
    // SAFETY: The driver reads and writes one `abi::UserToPhys`, which `answer` is, and keeps no
    // pointer; `addr` is only looked up.
    match unsafe { raw::user_to_phys(fd.as_raw_fd(), &mut answer) } {
        Ok(_) => Ok(Some(answer)),
        Err(Errno::EFAULT) => Ok(None),
        Err(errno) => Err(Error::ioctl(Call::UserToPhys, errno)),
    }
}

/// Translates a physical address; `None` where the process has no mapping of it.
pub(crate) fn phys_to_user(fd: BorrowedFd<'_>, addr: u64) -> Result<Option<abi::PhysToUser>> {
    let mut answer = abi::PhysToUser {
        phys_addr: addr,
        ..Default::default()
    };
    // SAFETY: The driver reads and writes one `abi::PhysToUser`, which `answer` is, and keeps no
    // pointer.
    match unsafe { raw::phys_to_user(fd.as_raw_fd(), &mut answer) } {
        Ok(_) => Ok(Some(answer)),
        Err(Errno::EFAULT) => Ok(None),
        Err(errno) => Err(Error::ioctl(Call::PhysToUser, errno)),
    }
}

/// Says whether the device may access the buffer that is mapped at a user address.
pub(crate) fn set_owner(fd: BorrowedFd<'_>, addr: u64, device: bool) -> Result<()> {
    let owner = if device {
        abi::OWNER_DEVICE
    } else {
        abi::OWNER_CPU
    };
    let argument = abi::SetOwner {
        addr,
        owner,
        ..Default::default()
    };
    // SAFETY: The driver reads one `abi::SetOwner`, which `argument` is, and keeps no pointer;
    // `addr` is only looked up.
    unsafe { raw::set_owner(fd.as_raw_fd(), &argument) }
        .map_err(|errno| Error::ioctl(Call::SetOwner, errno))?;
    Ok(())
}

/// Maintains the cache lines of the ranges; checks all of them before it touches the first line.
///
/// Ranges may be any: maintenance never changes what memory reads as, and the driver touches its own
/// buffers only. At most [`abi::MAX_RANGES`]; none is nothing to do.
pub(crate) fn maintain(fd: BorrowedFd<'_>, op: Maintenance, ranges: &[abi::Range]) -> Result<()> {
    match ranges {
        [] => Ok(()),
        [range] => maintain_one(fd, op, range),
        _ => maintain_many(fd, op, ranges),
    }
}

fn maintain_one(fd: BorrowedFd<'_>, op: Maintenance, range: &abi::Range) -> Result<()> {
    let (call, result) = match op {
        Maintenance::Clean => {
            // SAFETY: The driver reads one `abi::Range`, which `range` is, and keeps no pointer.
            (Call::Flush, unsafe { raw::flush(fd.as_raw_fd(), range) })
        }
        Maintenance::CleanInvalidate => {
            // SAFETY: As above.
            (Call::Invalidate, unsafe {
                raw::invalidate(fd.as_raw_fd(), range)
            })
        }
    };
    result.map_err(|errno| Error::ioctl(call, errno))?;
    Ok(())
}

fn maintain_many(fd: BorrowedFd<'_>, op: Maintenance, ranges: &[abi::Range]) -> Result<()> {
    let error = |errno| Error::ioctl(Call::Sync, errno);
    let sync = abi::Sync {
        ranges: ranges.as_ptr() as usize as u64,
        count: u32::try_from(ranges.len()).map_err(|_| error(Errno::EINVAL))?,
        op: match op {
            Maintenance::Clean => abi::SYNC_FLUSH,
            Maintenance::CleanInvalidate => abi::SYNC_INVALIDATE,
        },
        reserved: 0,
    };
    // SAFETY: The driver reads one `abi::Sync`, which `sync` is, and `sync.count` ranges at
    // `sync.ranges`, which are those of the slice; it keeps neither pointer.
    unsafe { raw::sync(fd.as_raw_fd(), &sync) }.map_err(error)?;
    Ok(())
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    /// A file that is no fpgamem node.
    fn stranger() -> std::fs::File {
        std::fs::File::open("/dev/null").unwrap()
    }

    #[test]
    fn command_numbers_are_those_of_the_abi() {
        // The C library's type: int with musl, unsigned long with glibc.
        let of = |command: u32| command as nix::sys::ioctl::ioctl_num_type;
        let ty = abi::IOC_TYPE;
        let info = nix::request_code_read!(ty, 0, std::mem::size_of::<abi::Info>());
        let alloc = nix::request_code_readwrite!(ty, 1, std::mem::size_of::<abi::Alloc>());
        let sync = nix::request_code_write!(ty, 8, std::mem::size_of::<abi::Sync>());
        assert_eq!(info, of(abi::IOC_INFO));
        assert_eq!(alloc, of(abi::IOC_ALLOC));
        assert_eq!(sync, of(abi::IOC_SYNC));
    }

    #[test]
    fn a_strange_file_does_not_know_the_commands() {
        assert_eq!(info(stranger().as_fd()).err(), Some(Errno::ENOTTY));
    }

    #[test]
    fn maintenance_of_one_range_names_its_own_call() {
        let range = [abi::Range::default()];
        let error = maintain(stranger().as_fd(), Maintenance::Clean, &range).unwrap_err();
        assert!(matches!(
            error,
            Error::Ioctl {
                call: Call::Flush,
                source: Errno::ENOTTY
            }
        ));
        let error = maintain(stranger().as_fd(), Maintenance::CleanInvalidate, &range).unwrap_err();
        assert!(matches!(
            error,
            Error::Ioctl {
                call: Call::Invalidate,
                source: Errno::ENOTTY
            }
        ));
    }

    #[test]
    fn maintenance_of_many_ranges_is_one_call() {
        let ranges = [abi::Range::default(); 2];
        let error = maintain(stranger().as_fd(), Maintenance::Clean, &ranges).unwrap_err();
        assert!(matches!(
            error,
            Error::Ioctl {
                call: Call::Sync,
                source: Errno::ENOTTY
            }
        ));
    }

    #[test]
    fn maintenance_of_nothing_is_no_call() {
        assert!(maintain(stranger().as_fd(), Maintenance::Clean, &[]).is_ok());
    }
}
