// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device node and its ioctls, without any judgement of the arguments.

use crate::abi;
use crate::mapping::Mapping;
use crate::READ_WRITE;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The node that the tests use.
pub const PATH: &str = "/dev/fpgamem0";
/// A node of the test board whose pool has no quarantine.
pub const HASTY_PATH: &str = "/dev/fpgamem1";

/// A structure that an ioctl takes.
///
/// # Safety
///
/// The type is plain data of which every bit pattern is valid, and `COMMAND` makes the kernel access
/// no more than the structure and what the tests let it point to.
unsafe trait Argument {
    /// Bytes that the command number promises to the kernel.
    const BYTES: u32;
}

macro_rules! argument {
    ($($structure:ident $bytes:literal)*) => {$(
        // SAFETY: the structure has integer fields only; its size is asserted below.
        unsafe impl Argument for abi::$structure {
            const BYTES: u32 = $bytes;
        }
        const _: () = assert!(std::mem::size_of::<abi::$structure>() == $bytes);
    )*};
}

argument! { Info 248 Alloc 72 Free 8 Buffer 56 UserToPhys 48 PhysToUser 32 Range 24 Sync 24
SetOwner 24 }

/// An allocation of `len` bytes that asks for nothing else.
pub fn request(len: u64) -> abi::Alloc {
    abi::Alloc {
        len,
        ..Default::default()
    }
}

/// An open file of the node.
#[derive(Debug)]
pub struct Node(OwnedFd);

impl Node {
    /// Opens [`PATH`] for reading and writing.
    ///
    /// # Panics
    ///
    /// Where that fails.
    pub fn open() -> Self {
        Self::open_with(PATH, OpenOptions::new().read(true).write(true))
    }

    /// Opens [`HASTY_PATH`] for reading and writing.
    ///
    /// # Panics
    ///
    /// Where that fails.
    pub fn open_hasty() -> Self {
        Self::open_with(HASTY_PATH, OpenOptions::new().read(true).write(true))
    }

    /// Opens another node for reading and writing.
    ///
    /// # Panics
    ///
    /// Where that fails.
    pub fn open_path(path: &str) -> Self {
        Self::open_with(path, OpenOptions::new().read(true).write(true))
    }

    /// Opens [`PATH`] for reading only.
    ///
    /// # Panics
    ///
    /// Where that fails.
    pub fn open_read_only() -> Self {
        Self::open_with(PATH, OpenOptions::new().read(true))
    }

    fn open_with(path: &str, options: &OpenOptions) -> Self {
        let file = options
            .open(path)
            .unwrap_or_else(|error| panic!("cannot open {path}: {error}"));
        Self(file.into())
    }

    /// Another descriptor of the same open file.
    ///
    /// # Panics
    ///
    /// Where the process has no descriptor left.
    pub fn duplicate(&self) -> Self {
        Self(self.0.try_clone().expect("a descriptor is free"))
    }

    /// `FPGAMEM_IOC_INFO`.
    pub fn info(&self) -> Result<abi::Info, Errno> {
        self.call(abi::IOC_INFO, abi::Info::default())
    }

    /// `FPGAMEM_IOC_ALLOC`; gives back the structure as the kernel left it.
    pub fn alloc(&self, argument: abi::Alloc) -> Result<abi::Alloc, Errno> {
        self.call(abi::IOC_ALLOC, argument)
    }

    /// `FPGAMEM_IOC_FREE` of a handle.
    pub fn free(&self, handle: u32) -> Result<(), Errno> {
        self.free_with(abi::Free {
            handle,
            reserved: 0,
        })
    }

    /// `FPGAMEM_IOC_FREE` with every field.
    pub fn free_with(&self, argument: abi::Free) -> Result<(), Errno> {
        self.call(abi::IOC_FREE, argument).map(drop)
    }

    /// `FPGAMEM_IOC_QUERY` of a handle.
    pub fn query(&self, handle: u32) -> Result<abi::Buffer, Errno> {
        self.query_with(abi::Buffer {
            handle,
            ..Default::default()
        })
    }

    /// `FPGAMEM_IOC_QUERY` with every field.
    pub fn query_with(&self, argument: abi::Buffer) -> Result<abi::Buffer, Errno> {
        self.call(abi::IOC_QUERY, argument)
    }

    /// `FPGAMEM_IOC_USER_TO_PHYS` of a user address.
    pub fn user_to_phys(&self, user_addr: u64) -> Result<abi::UserToPhys, Errno> {
        self.user_to_phys_with(abi::UserToPhys {
            user_addr,
            ..Default::default()
        })
    }

    /// `FPGAMEM_IOC_USER_TO_PHYS` with every field.
    pub fn user_to_phys_with(&self, argument: abi::UserToPhys) -> Result<abi::UserToPhys, Errno> {
        self.call(abi::IOC_USER_TO_PHYS, argument)
    }

    /// `FPGAMEM_IOC_PHYS_TO_USER` of a physical address.
    pub fn phys_to_user(&self, phys_addr: u64) -> Result<abi::PhysToUser, Errno> {
        self.phys_to_user_with(abi::PhysToUser {
            phys_addr,
            ..Default::default()
        })
    }

    /// `FPGAMEM_IOC_PHYS_TO_USER` with every field.
    pub fn phys_to_user_with(&self, argument: abi::PhysToUser) -> Result<abi::PhysToUser, Errno> {
        self.call(abi::IOC_PHYS_TO_USER, argument)
    }

    /// `FPGAMEM_IOC_FLUSH`.
    pub fn flush(&self, range: abi::Range) -> Result<(), Errno> {
        self.call(abi::IOC_FLUSH, range).map(drop)
    }

    /// `FPGAMEM_IOC_INVALIDATE`.
    pub fn invalidate(&self, range: abi::Range) -> Result<(), Errno> {
        self.call(abi::IOC_INVALIDATE, range).map(drop)
    }

    /// `FPGAMEM_IOC_SYNC` of all `ranges`.
    pub fn sync(&self, op: u32, ranges: &[abi::Range]) -> Result<(), Errno> {
        let count = u32::try_from(ranges.len()).expect("a few ranges");
        self.sync_with(abi::Sync {
            ranges: ranges.as_ptr() as u64,
            count,
            op,
            reserved: 0,
        })
    }

    /// `FPGAMEM_IOC_SYNC` with every field; the kernel only reads what `ranges` points to.
    pub fn sync_with(&self, argument: abi::Sync) -> Result<(), Errno> {
        self.call(abi::IOC_SYNC, argument).map(drop)
    }

    /// `FPGAMEM_IOC_SET_OWNER` of the buffer of a handle.
    pub fn set_owner(&self, handle: u32, owner: u32) -> Result<(), Errno> {
        self.set_owner_with(abi::SetOwner {
            handle,
            owner,
            ..Default::default()
        })
    }

    /// `FPGAMEM_IOC_SET_OWNER` of the buffer behind a user address.
    pub fn set_owner_at(&self, addr: u64, owner: u32) -> Result<(), Errno> {
        self.set_owner_with(abi::SetOwner {
            addr,
            owner,
            ..Default::default()
        })
    }

    /// `FPGAMEM_IOC_SET_OWNER` with every field.
    pub fn set_owner_with(&self, argument: abi::SetOwner) -> Result<(), Errno> {
        self.call(abi::IOC_SET_OWNER, argument).map(drop)
    }

    /// `FPGAMEM_IOC_QUIET`.
    pub fn quiet(&self) -> Result<(), Errno> {
        // SAFETY: the command has no argument.
        unsafe { ioctl(self.0.as_fd(), abi::IOC_QUIET, std::ptr::null_mut()) }
    }

    /// Maps `len` bytes of the status area.
    pub fn map_status(&self, len: u64) -> Result<Mapping, Errno> {
        self.map_with(
            len,
            READ_WRITE,
            MapFlags::MAP_SHARED,
            abi::MMAP_STATUS_OFFSET,
        )
    }

    /// Any command with an argument that lies `offset` bytes into `memory`.
    ///
    /// # Panics
    ///
    /// Where the bytes that the command number promises do not lie in `memory`.
    pub fn command_at(&self, command: u32, memory: &Mapping, offset: u64) -> Result<(), Errno> {
        let bytes = u64::from(command >> 16 & 0x3fff);
        assert!(
            memory.is_mapped(offset..offset + bytes.max(1)),
            "the argument leaves the mapping"
        );
        let address = usize::try_from(memory.addr() + offset).expect("an address of this process");
        // SAFETY: the kernel accesses at most the bytes that the number promises, and they lie in a
        // mapping that is accessed through raw pointers only.
        unsafe {
            ioctl(
                self.0.as_fd(),
                command,
                std::ptr::with_exposed_provenance_mut(address),
            )
        }
    }

    /// Maps `len` bytes of the file at `offset`.
    pub fn map_with(
        &self,
        len: u64,
        protection: ProtFlags,
        flags: MapFlags,
        offset: u64,
    ) -> Result<Mapping, Errno> {
        Mapping::of(&self.0, len, protection, flags, offset)
    }

    /// Allocates `len` bytes by mapping them, shared, readable and writable.
    pub fn map(&self, len: u64) -> Result<Mapping, Errno> {
        self.map_with(len, READ_WRITE, MapFlags::MAP_SHARED, 0)
    }

    /// Maps the whole buffer of an allocation, shared, readable and writable.
    pub fn map_buffer(&self, buffer: &abi::Alloc) -> Result<Mapping, Errno> {
        self.map_with(
            buffer.alloc_bytes,
            READ_WRITE,
            MapFlags::MAP_SHARED,
            buffer.mmap_offset,
        )
    }

    /// The value of a line `key:<tab>value` of the file's fdinfo.
    ///
    /// # Panics
    ///
    /// Where there is no such line, or its value is no number.
    pub fn fdinfo(&self, key: &str) -> u64 {
        let path = format!("/proc/self/fdinfo/{}", self.0.as_raw_fd());
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
        let value = value.unwrap_or_else(|| panic!("no {key} in {text}"));
        value
            .parse()
            .unwrap_or_else(|e| panic!("{key} is {value}: {e}"))
    }

    fn call<T: Argument>(&self, command: u32, mut argument: T) -> Result<T, Errno> {
        assert_eq!(
            command >> 16 & 0x3fff,
            T::BYTES,
            "command {command:#x} has another argument"
        );
        let pointer = std::ptr::from_mut(&mut argument).cast();
        // SAFETY: the argument is exclusively ours for the call, has the size that the command
        // number promises, and by its trait any bytes that the kernel writes are valid for it.
        unsafe { ioctl(self.0.as_fd(), command, pointer) }.map(|()| argument)
    }
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Node {
    /// Takes a descriptor of the node that was made elsewhere.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl From<Node> for File {
    fn from(node: Node) -> Self {
        node.0.into()
    }
}

/// Issues an ioctl whose success is exactly 0.
///
/// # Safety
///
/// `argument` is null, or the kernel may access what `command` makes it access there.
unsafe fn ioctl(
    descriptor: BorrowedFd<'_>,
    command: u32,
    argument: *mut libc::c_void,
) -> Result<(), Errno> {
    // The C library's type of the command differs: int with musl, unsigned long with glibc.
    let command = libc::c_ulong::from(command);
    // SAFETY: the descriptor is open, and the caller vouches for the argument.
    let result =
        unsafe { libc::syscall(libc::SYS_ioctl, descriptor.as_raw_fd(), command, argument) };
    let result = Errno::result(result)?;
    assert_eq!(
        result, 0,
        "command {command:#x} succeeded with {result} instead of 0"
    );
    Ok(())
}
