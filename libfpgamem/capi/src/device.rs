// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices.

use crate::error::{fpgamem_error_t, Failure};
use crate::guard::{self, required};
use crate::pointer;
use fpgamem::{Device, Features, Guarantees, PhysAddr, Process};
use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;

/// An open device: one pool of the driver, or an emulated one.
///
/// Every call may be made from any thread, also at the same time; fpgamem_close() is the last one.
#[derive(Debug)]
pub struct fpgamem_device_t {
    pub(crate) device: Device,
    process: Process,
}

impl fpgamem_device_t {
    pub(crate) fn new(device: Device) -> Self {
        let process = Process::current();
        Self { device, process }
    }
}

/// Opens the node that the environment variable FPGAMEM_DEVICE names, or /dev/fpgamem0 where it is not
/// set or empty. *device is a new handle, for fpgamem_close().
///
/// Fails with FPGAMEM_E_OPEN, FPGAMEM_E_NOT_A_NODE, FPGAMEM_E_ABI.
#[no_mangle]
pub extern "C" fn fpgamem_open(
    device: Option<&mut MaybeUninit<Option<Box<fpgamem_device_t>>>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        guard::put(device, || Ok(fpgamem_device_t::new(Device::open()?)))
    })
}

/// Opens /dev/fpgamemN, N being `index`. Otherwise as fpgamem_open().
#[no_mangle]
pub extern "C" fn fpgamem_open_index(
    index: u32,
    device: Option<&mut MaybeUninit<Option<Box<fpgamem_device_t>>>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        guard::put(device, || {
            Ok(fpgamem_device_t::new(Device::open_index(index)?))
        })
    })
}

/// Opens a node by its path. Otherwise as fpgamem_open().
#[no_mangle]
pub unsafe extern "C" fn fpgamem_open_path(
    path: *const c_char,
    device: Option<&mut MaybeUninit<Option<Box<fpgamem_device_t>>>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        // SAFETY: C passes null or a string, which it leaves alone during the call.
        let path = unsafe { pointer::path(path) }?;
        guard::put(device, || {
            Ok(fpgamem_device_t::new(Device::open_path(path)?))
        })
    })
}

/// Opens a node of the u-dma-buf driver, like /dev/udmabuf0, to cut buffers from its one buffer: for
/// boards whose kernel cannot load the fpgamem driver. Nothing ever chooses it but this call. Every
/// program that may open the node sees all of its memory, one process at a time allocates, and the
/// memory of a process that dies is given to the next one at once: fpgamem_info_t.guarantees.
///
/// Fails with FPGAMEM_E_OPEN, FPGAMEM_E_NOT_A_NODE, FPGAMEM_E_IN_USE, FPGAMEM_E_REGION.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_open_u_dma_buf(
    path: *const c_char,
    device: Option<&mut MaybeUninit<Option<Box<fpgamem_device_t>>>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        // SAFETY: C passes null or a string, which it leaves alone during the call.
        let path = unsafe { pointer::path(path) }?;
        guard::put(device, || {
            Ok(fpgamem_device_t::new(Device::open_u_dma_buf(path)?))
        })
    })
}

/// Closes a device. Its buffers stay what they are; the node is closed with the last of them.
///
/// Null is nothing to do. In a child of fork, the device of a parent that is an emulated one stays.
#[no_mangle]
pub extern "C" fn fpgamem_close(device: Option<Box<fpgamem_device_t>>) {
    guard::or((), || {
        let device = device?;
        // Another thread of the parent may have been changing what an emulated device consists of.
        if device.process != Process::current() && device.device.emulator().is_some() {
            std::mem::forget(device);
        }
        Some(())
    })
}

/// The driver can make write-combine buffers.
pub const FPGAMEM_HAS_WRITE_COMBINE: u64 = 1 << 0;
/// The coherency of the port can be chosen per buffer.
pub const FPGAMEM_HAS_COHERENCY: u64 = 1 << 1;
/// Many ranges can be synchronised in one call into the driver.
pub const FPGAMEM_HAS_SYNC_VECTOR: u64 = 1 << 2;
/// Memory that the device may still write to is kept back when its user goes.
pub const FPGAMEM_HAS_QUARANTINE: u64 = 1 << 3;

/// No other process can access the memory of a buffer.
pub const FPGAMEM_GUARANTEES_ISOLATION: u32 = 1 << 0;
/// Many processes can allocate at the same time.
pub const FPGAMEM_GUARANTEES_SHARING: u32 = 1 << 1;
/// Memory that the device may still write to is kept back when its process dies.
pub const FPGAMEM_GUARANTEES_QUARANTINE: u32 = 1 << 2;

/// A pool, at the moment of the call. Sizes are in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct fpgamem_info_t {
    /// Bits FPGAMEM_HAS_*, and others that this library does not know.
    pub features: u64,
    /// First physical address of the region.
    pub phys_addr: u64,
    /// The address that the FPGA uses for it.
    pub device_addr: u64,
    /// Size of the region.
    pub region_bytes: u64,
    /// Allocation unit: every buffer takes whole ones.
    pub block_bytes: u64,
    /// In free blocks.
    pub free_bytes: u64,
    /// Kept back because the device may still write to it: neither free nor in a live buffer.
    pub quarantined_bytes: u64,
    /// For how long, in milliseconds; 0 if never.
    pub quarantine_ms: u32,
    /// Live buffers of all processes.
    pub nr_buffers: u32,
    /// ABI number of the driver.
    pub abi: u32,
    /// Smallest data cache line; 0 where the driver does not know it.
    pub cache_line_bytes: u32,
    /// Ranges that start and end at multiples of this share no cache line: 64 on ZynqMP.
    pub line_bytes: u32,
    /// Bits FPGAMEM_GUARANTEES_*: what the device promises beyond contiguous memory that is 0.
    pub guarantees: u32,
    /// The port snoops the CPU's caches, for a buffer that does not say otherwise.
    pub coherent: bool,
    /// 0 so far.
    pub reserved: [u64; 8],
}

/// Describes the pool.
///
/// Fails with FPGAMEM_E_UNBOUND; in a child of fork on its parent's emulated device, with
/// FPGAMEM_E_FORKED.
#[no_mangle]
pub extern "C" fn fpgamem_get_info(
    device: Option<&fpgamem_device_t>,
    info: Option<&mut MaybeUninit<fpgamem_info_t>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let device = &required(device, "the device")?.device;
        let info = required(info, "the place for the answer")?;
        let now = device.info()?;
        info.write(fpgamem_info_t {
            features: now.features.bits(),
            phys_addr: now.phys_addr.as_u64(),
            device_addr: now.device_addr.as_u64(),
            region_bytes: now.region_bytes,
            block_bytes: now.block_bytes,
            free_bytes: now.free_bytes,
            quarantined_bytes: now.quarantined_bytes,
            quarantine_ms: now.quarantine_ms,
            nr_buffers: now.nr_buffers,
            abi: now.abi,
            cache_line_bytes: now.cache_line_bytes.unwrap_or(0),
            line_bytes: u32::try_from(device.line_bytes()).unwrap_or(u32::MAX),
            guarantees: device.guarantees().bits(),
            coherent: now.coherent,
            reserved: [0; 8],
        });
        Ok(())
    })
}

/// The longest buffer that can be allocated now at an alignment of `align` bytes, a power of two up to
/// 1 GiB. Fails as fpgamem_get_info(), and with FPGAMEM_E_ARGUMENT.
#[no_mangle]
pub extern "C" fn fpgamem_largest_free(
    device: Option<&fpgamem_device_t>,
    align: u64,
    bytes: Option<&mut MaybeUninit<u64>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let info = required(device, "the device")?.device.info()?;
        let largest = info.largest_free(align);
        let largest = largest.ok_or_else(|| {
            Failure::argument(format!("an alignment of {align} bytes is impossible"))
        })?;
        required(bytes, "the place for the answer")?.write(largest);
        Ok(())
    })
}

/// Buffers that were freed while the device owned them, through this open file, and the bytes that they
/// take in the pool. Above 0, the program forgets fpgamem_take_back_unsafe(). Either pointer may be
/// null.
#[no_mangle]
pub extern "C" fn fpgamem_abandoned(
    device: Option<&fpgamem_device_t>,
    buffers: Option<&mut MaybeUninit<u64>>,
    bytes: Option<&mut MaybeUninit<u64>>,
) {
    guard::or((), || {
        let abandoned = device?.device.abandoned();
        if let Some(buffers) = buffers {
            buffers.write(abandoned.buffers);
        }
        if let Some(bytes) = bytes {
            bytes.write(abandoned.bytes);
        }
        Some(())
    })
}

/// Where memory lies that the program has a pointer to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct fpgamem_place_t {
    /// Physical address.
    pub phys_addr: u64,
    /// The same as the FPGA uses it.
    pub device_addr: u64,
    /// Bytes from there on that are contiguous in both.
    pub contiguous_bytes: u64,
}

/// Looks up where a pointer into a buffer of this device, or to anywhere inside one, leads. It takes no
/// system call. A buffer knows its own addresses: fpgamem_device_addr().
///
/// Fails with FPGAMEM_E_NOT_FOUND.
#[no_mangle]
pub extern "C" fn fpgamem_place_of(
    device: Option<&fpgamem_device_t>,
    pointer: *const c_void,
    place: Option<&mut MaybeUninit<fpgamem_place_t>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let device = &required(device, "the device")?.device;
        let place = required(place, "the place for the answer")?;
        let found = device.phys_of(pointer);
        let found = found.ok_or_else(|| Failure::not_found(pointer as usize as u64))?;
        place.write(fpgamem_place_t {
            phys_addr: found.phys_addr.as_u64(),
            device_addr: found.device_addr.as_u64(),
            contiguous_bytes: found.contiguous_bytes,
        });
        Ok(())
    })
}

/// Looks up where this process has a physical address, which is in a buffer of this device or anywhere
/// inside one. It takes no system call. *address says nothing about who owns the memory;
/// *contiguous_bytes are contiguous from there on, and `contiguous_bytes` may be null.
///
/// Fails with FPGAMEM_E_NOT_FOUND.
#[no_mangle]
pub extern "C" fn fpgamem_address_of(
    device: Option<&fpgamem_device_t>,
    phys_addr: u64,
    address: Option<&mut MaybeUninit<*mut c_void>>,
    contiguous_bytes: Option<&mut MaybeUninit<u64>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let device = &required(device, "the device")?.device;
        let address = required(address, "the place for the answer")?;
        let found = device.user_of(PhysAddr::new(phys_addr));
        let found = found.ok_or_else(|| Failure::not_found(phys_addr))?;
        let user_addr = usize::try_from(found.user_addr);
        let user_addr = user_addr.map_err(|_| Failure::not_found(phys_addr))?;
        // CAST: The address is that of a mapping whose pointer C may have.
        address.write(user_addr as *mut c_void);
        if let Some(contiguous_bytes) = contiguous_bytes {
            contiguous_bytes.write(found.contiguous_bytes);
        }
        Ok(())
    })
}

// The bits are those of the library.
const _: () = assert!(
    FPGAMEM_HAS_WRITE_COMBINE == Features::WRITE_COMBINE.bits()
        && FPGAMEM_HAS_COHERENCY == Features::COHERENCY.bits()
        && FPGAMEM_HAS_SYNC_VECTOR == Features::SYNC_VECTOR.bits()
        && FPGAMEM_HAS_QUARANTINE == Features::QUARANTINE.bits()
        && FPGAMEM_GUARANTEES_ISOLATION == Guarantees::ISOLATION.bits()
        && FPGAMEM_GUARANTEES_SHARING == Guarantees::SHARING.bits()
        && FPGAMEM_GUARANTEES_QUARANTINE == Guarantees::QUARANTINE.bits()
);
