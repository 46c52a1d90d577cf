// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers, which are the CPU's until they are handed over.

use crate::device::fpgamem_device_t;
use crate::error::{fpgamem_error_t, Failure};
use crate::guard::{self, required};
use fpgamem::{AllocOptions, Buffer, Coherency, DeviceBuffer, Error, Process};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A buffer: memory that is contiguous for the FPGA, with an owner at any time. It is the CPU's when it
/// is new, and changes hands by fpgamem_hand_over() and fpgamem_take_back_unsafe().
///
/// Every call may be made from any thread, also at the same time; fpgamem_free() is the last one. What
/// fpgamem_data() gave is the program's own affair.
///
/// In a child of fork no call reaches the buffer of its parent: it fails with FPGAMEM_E_FORKED, or, if
/// it cannot fail, does nothing.
#[derive(Debug)]
pub struct fpgamem_buffer_t {
    /// Read without the lock: a child of fork may have inherited it locked.
    process: Process,
    pid: u32,
    /// Written under the lock, by a split and a join.
    bytes: AtomicUsize,
    capacity: AtomicUsize,
    phys_addr: u64,
    device_addr: u64,
    owner: Mutex<Owner>,
}

/// Whose a buffer is.
#[derive(Debug)]
pub(crate) enum Owner {
    Cpu(Buffer),
    Device(DeviceBuffer),
    /// Nobody's: a change of owner panicked.
    Lost,
}

impl Owner {
    pub(crate) fn into_cpu_owned(self) -> Result<Buffer, Self> {
        match self {
            Self::Cpu(buffer) => Ok(buffer),
            other => Err(other),
        }
    }

    pub(crate) fn into_device_owned(self) -> Result<DeviceBuffer, Self> {
        match self {
            Self::Device(buffer) => Ok(buffer),
            other => Err(other),
        }
    }
}

impl From<Buffer> for Owner {
    fn from(buffer: Buffer) -> Self {
        Self::Cpu(buffer)
    }
}

impl From<DeviceBuffer> for Owner {
    fn from(buffer: DeviceBuffer) -> Self {
        Self::Device(buffer)
    }
}

impl fpgamem_buffer_t {
    pub(crate) fn new(buffer: Buffer) -> Self {
        Self {
            process: Process::current(),
            pid: std::process::id(),
            bytes: AtomicUsize::new(buffer.len()),
            capacity: AtomicUsize::new(buffer.capacity()),
            phys_addr: buffer.phys_addr().as_u64(),
            device_addr: buffer.device_addr().as_u64(),
            owner: Mutex::new(Owner::Cpu(buffer)),
        }
    }

    /// Whether this is the process that allocated the buffer.
    fn is_ours(&self) -> bool {
        self.process == Process::current()
    }

    pub(crate) fn check_fork(&self) -> Result<(), Failure> {
        if self.is_ours() {
            return Ok(());
        }
        let (owner, child) = (self.pid, std::process::id());
        Err(Error::Forked { owner, child }.into())
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Has the handle stand for a longer or shorter buffer with the same first byte.
    pub(crate) fn resize(&self, owner: &mut MutexGuard<'_, Owner>, buffer: Buffer) {
        self.bytes.store(buffer.len(), Ordering::Relaxed);
        self.capacity.store(buffer.capacity(), Ordering::Relaxed);
        **owner = Owner::Cpu(buffer);
    }

    pub(crate) fn phys_addr(&self) -> u64 {
        self.phys_addr
    }

    pub(crate) fn device_addr(&self) -> u64 {
        self.device_addr
    }

    /// Whose the buffer is, while nobody else changes that.
    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, Owner>, Failure> {
        self.check_fork()?;
        Ok(self.owner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The offset, if there is such a byte.
    pub(crate) fn check_offset(&self, offset: usize) -> Result<u64, Failure> {
        self.check_fork()?;
        let len = self.size();
        if offset < len {
            return Ok(offset as u64);
        }
        let (start, end) = (offset, offset.saturating_add(1));
        Err(Error::OutOfRange { start, end, len }.into())
    }
}

/// The port that the device uses is as the device tree says for the pool.
pub const FPGAMEM_PORT_DEFAULT: u32 = 0;
/// The port snoops the CPU's caches: handing over is a memory barrier.
pub const FPGAMEM_PORT_COHERENT: u32 = 1;
/// The port does not snoop: handing over maintains the cache lines of the buffer.
pub const FPGAMEM_PORT_NONCOHERENT: u32 = 2;

/// How a buffer is to be, apart from its length. All 0 is what fpgamem_alloc() does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct fpgamem_alloc_options_t {
    /// Alignment of the first physical address: a power of two up to 1 GiB, 0 for the block size.
    pub align: u64,
    /// One of FPGAMEM_PORT_*.
    pub port: u32,
    /// Mapped write-combine instead of cached: for what the CPU writes once, front to back, and hardly
    /// reads.
    pub write_combine: bool,
    /// Must be 0.
    pub reserved: [u64; 4],
}

impl fpgamem_alloc_options_t {
    pub(crate) fn checked(&self) -> Result<AllocOptions, Failure> {
        let coherency = match self.port {
            FPGAMEM_PORT_DEFAULT => Coherency::Default,
            FPGAMEM_PORT_COHERENT => Coherency::Coherent,
            FPGAMEM_PORT_NONCOHERENT => Coherency::NonCoherent,
            other => {
                return Err(Failure::argument(format!(
                    "port = {other}, which is no FPGAMEM_PORT_*"
                )))
            }
        };
        if self.reserved != [0; 4] {
            return Err(Failure::argument("a reserved field is not 0".to_owned()));
        }
        let options = AllocOptions::new().align(self.align).coherency(coherency);
        Ok(options.write_combine(self.write_combine))
    }
}

/// Allocates a buffer of `bytes`, all 0, cached, aligned to the block size. *buffer is a new handle, for
/// fpgamem_free().
///
/// Fails with FPGAMEM_E_NO_ROOM, FPGAMEM_E_LENGTH, FPGAMEM_E_MAP, FPGAMEM_E_UNBOUND; in a child of fork
/// on its parent's emulated device, with FPGAMEM_E_FORKED.
#[no_mangle]
pub extern "C" fn fpgamem_alloc(
    device: Option<&fpgamem_device_t>,
    bytes: usize,
    buffer: Option<&mut MaybeUninit<Option<Box<fpgamem_buffer_t>>>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let device = &required(device, "the device")?.device;
        guard::put(buffer, || Ok(fpgamem_buffer_t::new(device.alloc(bytes)?)))
    })
}

/// Allocates a buffer as the options say, which may be null. Otherwise as fpgamem_alloc(); fails also
/// with FPGAMEM_E_ALIGNMENT and FPGAMEM_E_ARGUMENT.
#[no_mangle]
pub extern "C" fn fpgamem_alloc_with(
    device: Option<&fpgamem_device_t>,
    bytes: usize,
    options: Option<&fpgamem_alloc_options_t>,
    buffer: Option<&mut MaybeUninit<Option<Box<fpgamem_buffer_t>>>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let device = &required(device, "the device")?.device;
        let options =
            options.map_or_else(|| Ok(AllocOptions::new()), |options| options.checked())?;
        guard::put(buffer, || {
            Ok(fpgamem_buffer_t::new(device.alloc_with(bytes, options)?))
        })
    })
}

/// Frees a buffer. Null is nothing to do.
///
/// One that the device owns is not given to anybody else, because nobody has said that the device is
/// done with it: it stays mapped until the process ends, fpgamem_abandoned() counts it, and after the
/// end of the process the driver keeps it back for fpgamem_info_t.quarantine_ms.
#[no_mangle]
pub extern "C" fn fpgamem_free(buffer: Option<Box<fpgamem_buffer_t>>) {
    guard::or((), || {
        let buffer = buffer?;
        // Another thread of the parent may have been changing its owner.
        if !buffer.is_ours() {
            std::mem::forget(buffer);
        }
        Some(())
    })
}

/// *data is the first byte of a buffer that the CPU owns. It may be used until the buffer is handed
/// over or freed, and is the same whenever the CPU owns the buffer.
///
/// Fails with FPGAMEM_E_BUSY while the device owns the buffer (fpgamem_read() and fpgamem_write() do
/// not), and with FPGAMEM_E_FORKED.
#[no_mangle]
pub extern "C" fn fpgamem_data(
    buffer: Option<&fpgamem_buffer_t>,
    data: Option<&mut MaybeUninit<*mut c_void>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let data = required(data, "the place for the answer")?;
        match &mut *required(buffer, "the buffer")?.lock()? {
            Owner::Cpu(buffer) => data.write(buffer.as_mut_ptr().cast()),
            Owner::Device(_) => {
                return Err(Failure::busy(
                    "the device owns the buffer; take it back before its bytes are used",
                ))
            }
            Owner::Lost => return Err(Failure::lost()),
        };
        Ok(())
    })
}

/// Length in bytes, as it was asked for, or as a split or a join has left it. 0 for null.
#[no_mangle]
pub extern "C" fn fpgamem_size(buffer: Option<&fpgamem_buffer_t>) -> usize {
    guard::or(0, || Some(buffer?.size()))
}

/// Bytes that the buffer takes in the pool: its length rounded up to whole blocks, or, of a part, to its
/// end. 0 for null.
#[no_mangle]
pub extern "C" fn fpgamem_capacity(buffer: Option<&fpgamem_buffer_t>) -> usize {
    guard::or(0, || Some(buffer?.capacity.load(Ordering::Relaxed)))
}

/// First address as the FPGA uses it: what goes into its registers. 0 for null.
#[no_mangle]
pub extern "C" fn fpgamem_device_addr(buffer: Option<&fpgamem_buffer_t>) -> u64 {
    guard::or(0, || Some(buffer?.device_addr))
}

/// First physical address: what the CPU puts on the bus. 0 for null.
#[no_mangle]
pub extern "C" fn fpgamem_phys_addr(buffer: Option<&fpgamem_buffer_t>) -> u64 {
    guard::or(0, || Some(buffer?.phys_addr))
}
