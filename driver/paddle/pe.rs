// SPDX-License-Identifier: GPL-2.0

//! The commands of family A that configure the accelerator: they go to the driver that has registered
//! for the pool, with services for the memory of the caller.

use crate::{
    buffer::Buffer,
    driver::BoundPool,
    kapi::{
        cache::{self, Operation},
        global::ACCELERATORS,
        module::ModuleRef,
        pe::Registration,
    },
    pool::Pool,
    shared::paddle_abi as abi,
    translate,
};
use core::mem;
use kernel::{prelude::*, sync::Arc};

/// The largest errno that there can be, as `MAX_ERRNO` of the kernel.
const MAX_ERRNO: i32 = 4095;

const CLEAN: u32 = 1;
const INVALIDATE: u32 = 2;

/// The registered drivers, at most one for each pool; the value of a global lock.
pub(crate) struct Accelerators(KVec<Arc<Registration>>);

impl Accelerators {
    /// Nobody has registered.
    pub(crate) const fn new() -> Self {
        Self(KVec::new())
    }

    fn of(&self, pool: usize) -> Option<&Arc<Registration>> {
        self.0.iter().find(|entry| entry.pool() == pool)
    }
}

/// Enters a driver for its pool.
///
/// # Errors
///
/// - `EBUSY` if there is one for that pool.
/// - `ENOMEM` if the kernel's memory is exhausted.
pub(crate) fn enlist(registration: Arc<Registration>) -> Result {
    let mut accelerators = ACCELERATORS.lock();
    if accelerators.of(registration.pool()).is_some() {
        return Err(EBUSY);
    }
    Ok(accelerators.0.push(registration, GFP_KERNEL)?)
}

/// Takes a driver out again.
pub(crate) fn strike(registration: &Arc<Registration>) {
    let mut accelerators = ACCELERATORS.lock();
    let list = &mut accelerators.0;
    let removed = list
        .iter()
        .position(|entry| Arc::ptr_eq(entry, registration))
        .and_then(|at| list.remove(at).ok());
    // Nothing drops a static when the module goes, so an empty list must not keep memory.
    let emptied = list.is_empty().then(|| mem::replace(list, KVec::new()));
    drop(accelerators);
    drop((removed, emptied));
}

/// Passes a command on to the accelerator's driver.
///
/// # Errors
///
/// - `ENOTTY` if there is no driver, or the command is none of an accelerator.
/// - `EIO` for what clients take for something else: a result above 0, `EINVAL` and `ENOMEM`.
/// - What the driver says.
pub(crate) fn ioctl(bound: &BoundPool, pool: &Pool, command: u32, arg: usize) -> Result {
    if ![abi::A_TYPE, abi::OLD_TYPE].contains(&(command >> 8 & 0xff)) {
        return Err(ENOTTY);
    }
    let driver = ACCELERATORS.lock().of(bound.node()).cloned();
    let running = driver.and_then(Registration::enter).ok_or(ENOTTY)?;
    let call = Call {
        pool,
        mm: translate::address_space().ok_or(EFAULT)?,
    };
    match running.ioctl(&call, command, arg) {
        0 => Ok(()),
        errno if !(-MAX_ERRNO..=0).contains(&errno) => Err(EIO),
        errno => match Error::from_errno(errno) {
            EINVAL | ENOMEM => Err(EIO),
            error => Err(error),
        },
    }
}

/// A command that is being carried out. It answers for the memory of the process that gave it.
pub(crate) struct Call<'a> {
    pool: &'a Pool,
    /// Names the address space of the caller.
    mm: usize,
}

/// Where memory is: `struct fpgamem_pe_place`.
#[repr(C)]
pub(crate) struct Place {
    phys_addr: u64,
    device_addr: u64,
    bytes: u64,
    flags: u32,
    reserved: u32,
}

const _: () = {
    assert!(mem::size_of::<Place>() == 32);
    assert!(mem::offset_of!(Place, flags) == 24);
};

impl Place {
    /// `bytes` from `offset` of `buffer` on.
    fn new(buffer: &Buffer, offset: u64, bytes: u64) -> Self {
        // In range: the offset is within the buffer.
        Self {
            phys_addr: buffer.phys_addr().saturating_add(offset),
            device_addr: buffer.device_addr().saturating_add(offset),
            bytes,
            flags: buffer.flags(),
            reserved: 0,
        }
    }
}

impl Call<'_> {
    /// The buffer that maps all of `len` bytes from `user_addr` on, the offset there, and how many
    /// bytes there are in all.
    fn resolve(&self, user_addr: u64, len: u64) -> Result<(Arc<Buffer>, u64, u64)> {
        if len == 0 {
            return Err(EINVAL);
        }
        // The handle of the call is no licence for the memory of whoever got hold of it.
        if translate::address_space() != Some(self.mm) {
            return Err(EFAULT);
        }
        let address = usize::try_from(user_addr).map_err(|_| EFAULT)?;
        let (buffer, offset, bytes) = translate::span_behind(self.pool, address)?;
        if bytes < len {
            return Err(EFAULT);
        }
        Ok((buffer, offset, bytes))
    }

    /// Where the memory is.
    pub(crate) fn translate(&self, user_addr: u64, len: u64) -> Result<Place> {
        let (buffer, offset, bytes) = self.resolve(user_addr, len)?;
        Ok(Place::new(&buffer, offset, bytes))
    }

    /// Maintains every line of the range.
    pub(crate) fn sync(&self, user_addr: u64, len: u64, operation: u32) -> Result {
        let operation = operation_of(operation)?;
        let (buffer, offset, _) = self.resolve(user_addr, len)?;
        sync(&buffer, offset, len, operation)
    }

    /// Holds the range.
    pub(crate) fn hold(&self, user_addr: u64, len: u64) -> Result<Hold> {
        let (buffer, offset, _) = self.resolve(user_addr, len)?;
        Ok(Hold {
            buffer,
            offset,
            len,
            _module: ModuleRef::this()?,
        })
    }
}

/// Memory that a device may access: a reference on a buffer.
pub(crate) struct Hold {
    buffer: Arc<Buffer>,
    offset: u64,
    len: u64,
    /// A hold that is forgotten must not let the blocks be given to others by loading again.
    _module: ModuleRef,
}

impl Hold {
    /// Where the memory is.
    pub(crate) fn place(&self) -> Place {
        Place::new(&self.buffer, self.offset, self.len)
    }

    /// Maintains every line of `len` bytes from `offset` on.
    pub(crate) fn sync(&self, offset: u64, len: u64, operation: u32) -> Result {
        let operation = operation_of(operation)?;
        if len == 0 {
            return Err(EINVAL);
        }
        if offset > self.len || len > self.len - offset {
            return Err(EFAULT);
        }
        let start = self.offset.checked_add(offset).ok_or(EFAULT)?;
        sync(&self.buffer, start, len, operation)
    }
}

fn sync(buffer: &Buffer, offset: u64, len: u64, operation: Operation) -> Result {
    let lines = buffer.sync(offset, len, operation)?;
    cache::barrier();
    buffer.pool().count_sync(operation, 1, lines);
    Ok(())
}

/// The operation that `FPGAMEM_PE_*` bits ask for.
fn operation_of(bits: u32) -> Result<Operation> {
    match bits {
        CLEAN => Ok(Operation::Clean),
        _ if bits == INVALIDATE || bits == CLEAN | INVALIDATE => Ok(Operation::CleanInvalidate),
        _ => Err(EINVAL),
    }
}
