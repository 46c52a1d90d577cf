// SPDX-License-Identifier: MIT OR Apache-2.0

//! Registers of a UIO device, as `Documentation/driver-api/uio-howto.rst` of the kernel describes them.

use super::sysfs::{find, Which};
use super::{RegisterError, Registers, Result, Source};
use crate::cache;
use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::unistd::{sysconf, SysconfVar};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

impl Registers {
    /// Maps the first register window of the UIO device with the name `name`.
    ///
    /// # Safety
    ///
    /// As long as the registers are used, the device that they belong to
    /// * accesses of this process's memory only what it may: the buffers that are handed over to it and
    ///   not taken back (a [`DeviceBuffer`](crate::DeviceBuffer)),
    /// * writes to no memory but that and its own.
    ///
    /// The program sees to it by what it writes to the registers.
    ///
    /// # Errors
    ///
    /// * [`RegisterError::NotFound`]: no UIO device has the name; those that there are, are named.
    /// * [`RegisterError::Ambiguous`]: more than one has it.
    /// * [`RegisterError::Open`]: its file cannot be opened or mapped, or what the system says of it cannot
    ///   be understood.
    pub unsafe fn open(name: &str) -> Result<Self> {
        // SAFETY: The caller promises what this asks for.
        unsafe { Self::open_window(name, 0) }
    }

    /// Maps another register window of a UIO device: that of its `index`-th `reg`, counted from 0.
    ///
    /// # Safety
    ///
    /// As for [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub unsafe fn open_window(name: &str, index: usize) -> Result<Self> {
        let uio = Uio::open(Path::new("/"), Which::Name(name), index)?;
        Ok(Self {
            source: Source::Uio(uio),
        })
    }

    /// Maps a register window of the UIO device whose node is at `path`, like `/dev/uio0` or a link of
    /// udev to it: that of its `index`-th `reg`, counted from 0. For devices that share a name.
    ///
    /// # Safety
    ///
    /// As for [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// * [`RegisterError::NotUio`]: the file is no node of a UIO device.
    /// * [`RegisterError::Open`]: as for [`open`](Self::open).
    pub unsafe fn open_node(path: impl AsRef<Path>, index: usize) -> Result<Self> {
        let uio = Uio::open(Path::new("/"), Which::Node(path.as_ref()), index)?;
        Ok(Self {
            source: Source::Uio(uio),
        })
    }
}

/// A window of a UIO device, and its interrupt.
#[derive(Debug)]
pub(super) struct Uio {
    name: String,
    mapping: MmapRaw,
    /// First register: a multiple of 8, from the start of the mapping.
    start: usize,
    /// Bytes of registers; they end where the mapping does, or before.
    bytes: usize,
    file: File,
}

impl Uio {
    /// Opens a device of the system below `root`, and maps the window.
    pub(super) fn open(root: &Path, which: Which<'_>, index: usize) -> Result<Self> {
        let window = find(root, which, index)?;
        let error = |source| RegisterError::Open {
            path: window.node.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&window.node);
        let file = file.map_err(error)?;
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        let page = page
            .and_then(|page| u64::try_from(page).ok())
            .unwrap_or(4096);
        // The window is chosen by the offset.
        let mapping = MmapOptions::new()
            .offset(page * index as u64)
            .len(window.start + window.bytes)
            .map_raw(&file)
            .map_err(error)?;
        Ok(Self {
            name: window.name,
            mapping,
            start: window.start,
            bytes: window.bytes,
            file,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// A register, which is in the window.
    fn register(&self, offset: usize) -> *mut u8 {
        self.mapping.as_mut_ptr().wrapping_add(self.start + offset)
    }

    /// Reads a register that is in the window, at a multiple of 4.
    pub(super) fn read32(&self, offset: usize) -> u32 {
        // SAFETY: `Registers` has checked that the register is in the mapped window, and aligned.
        let value = unsafe { self.register(offset).cast::<u32>().read_volatile() };
        cache::after_register_read();
        value
    }

    /// Writes a register that is in the window, at a multiple of 4.
    pub(super) fn write32(&mut self, offset: usize, value: u32) {
        cache::before_register_write();
        // SAFETY: As in `read32`. What the device does upon it, whoever opened the registers answers
        // for.
        unsafe { self.register(offset).cast::<u32>().write_volatile(value) };
    }

    /// Reads a register that is in the window, at a multiple of 8.
    pub(super) fn read64(&self, offset: usize) -> u64 {
        // SAFETY: As in `read32`.
        let value = unsafe { self.register(offset).cast::<u64>().read_volatile() };
        cache::after_register_read();
        value
    }

    /// Writes a register that is in the window, at a multiple of 8.
    pub(super) fn write64(&mut self, offset: usize, value: u64) {
        cache::before_register_write();
        // SAFETY: As in `write32`.
        unsafe { self.register(offset).cast::<u64>().write_volatile(value) };
    }

    fn interrupt_error(&self, source: impl Into<io::Error>) -> RegisterError {
        RegisterError::Interrupt {
            name: self.name.clone(),
            source: source.into(),
        }
    }

    pub(super) fn enable_interrupt(&mut self) -> Result<()> {
        let written = self.file.write_all(&1_u32.to_ne_bytes());
        written.map_err(|error| self.interrupt_error(error))
    }

    pub(super) fn wait_interrupt(&mut self, limit: Duration) -> Result<bool> {
        match is_readable(&self.file, limit) {
            Ok(true) => {
                // How many there have been, which does not matter.
                let taken = self.file.read_exact(&mut [0; 4]);
                taken.map_err(|error| self.interrupt_error(error))?;
                cache::after_register_read();
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(error) => Err(self.interrupt_error(error)),
        }
    }
}

/// Waits until a file can be read, for at most that long.
fn is_readable(file: &impl AsFd, limit: Duration) -> io::Result<bool> {
    let end = Instant::now().checked_add(limit);
    loop {
        let rest = end.map_or(Duration::MAX, |end| {
            end.saturating_duration_since(Instant::now())
        });
        // Rounded up, so that a short rest is not none.
        let millis = rest.saturating_add(Duration::from_micros(999)).as_millis();
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        let mut files = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut files, timeout) {
            // A rest that is too long for one call goes on.
            Ok(0) if !rest.is_zero() && timeout == PollTimeout::MAX => {}
            Ok(0) => return Ok(false),
            Ok(_) if files[0].revents() == Some(PollFlags::POLLIN) => return Ok(true),
            // A device without an interrupt.
            Ok(_) => return Err(io::ErrorKind::Unsupported.into()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
