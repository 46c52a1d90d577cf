// SPDX-License-Identifier: GPL-2.0

//! What `include/fpgamem/pe.h` declares: drivers of accelerators register for the commands that
//! Paddle's clients have for them. `pe.c` exports the functions.
//!
//! The contract of each function is in the header; callers are C.

use super::module::ModuleRef;
use crate::paddle::pe::{self, Call, Hold, Place};
use core::{mem, ptr::NonNull};
use kernel::{
    bindings,
    ffi::{c_int, c_uint, c_void},
    new_condvar, new_mutex,
    prelude::*,
    sync::{Arc, CondVar, Mutex},
};

/// `struct fpgamem_pe_ops`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Operations {
    owner: *mut bindings::module,
    ioctl: Option<IoctlFn>,
}

type IoctlFn =
    unsafe extern "C" fn(*mut c_void, call: *const Call<'_>, c_uint, arg: *mut c_void) -> c_int;

const _: () = {
    assert!(mem::size_of::<Operations>() == 16);
    assert!(mem::offset_of!(Operations, ioctl) == 8);
};

/// A reference on the device-tree node of a pool.
///
/// # Invariants
///
/// Owns a reference on the node.
struct NodeRef(NonNull<bindings::fwnode_handle>);

impl NodeRef {
    /// # Safety
    ///
    /// `node` is a valid node.
    unsafe fn new(node: NonNull<bindings::fwnode_handle>) -> Self {
        // SAFETY: By the contract of this function.
        unsafe { bindings::fwnode_handle_get(node.as_ptr()) };
        // INVARIANT: Just taken.
        Self(node)
    }

    /// Whether it is a pool that serves Paddle's clients when it is bound.
    fn serves_paddle(&self) -> bool {
        let name = kernel::c_str!("fpgamem,paddle").as_char_ptr();
        // SAFETY: The node is valid by the type invariant, the name is a C string.
        unsafe { bindings::fwnode_property_present(self.0.as_ptr(), name) }
    }
}

impl Drop for NodeRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this owns the reference.
        unsafe { bindings::fwnode_handle_put(self.0.as_ptr()) };
    }
}

/// How many calls are being carried out.
struct Calls {
    running: usize,
    /// No call may begin any more.
    ended: bool,
}

/// A registered driver.
///
/// # Invariants
///
/// Until [`end`](Self::end) has returned, `owner` is null or a module whose memory is there, and
/// `ioctl` may be called with `context` by any task.
#[pin_data]
pub(crate) struct Registration {
    pool: NodeRef,
    owner: *mut bindings::module,
    ioctl: IoctlFn,
    context: *mut c_void,
    #[pin]
    calls: Mutex<Calls>,
    #[pin]
    idle: CondVar,
}

// SAFETY: The context is the driver's business, which lets any task pass it, by the type invariant;
// the node and the module are counted atomically.
unsafe impl Send for Registration {}
// SAFETY: As above.
unsafe impl Sync for Registration {}

impl Registration {
    /// Names the pool; to be compared with that of [`BoundPool`](crate::driver::BoundPool).
    pub(crate) fn pool(&self) -> usize {
        self.pool.0.as_ptr() as usize
    }

    /// Begins a call; `None` if the driver has left or is being unloaded.
    pub(crate) fn enter(self: Arc<Self>) -> Option<Running> {
        let mut calls = self.calls.lock();
        if calls.ended {
            return None;
        }
        // SAFETY: `end` takes the same lock before it returns, so the module's memory is there by
        // the type invariant.
        let module = unsafe { ModuleRef::new(self.owner) }?;
        calls.running = calls.running.checked_add(1)?;
        drop(calls);
        // INVARIANT: Just counted.
        Some(Running {
            registration: self,
            _module: module,
        })
    }

    /// Lets no call begin any more and waits for those that are being carried out.
    fn end(&self) {
        let mut calls = self.calls.lock();
        calls.ended = true;
        while calls.running != 0 {
            self.idle.wait(&mut calls);
        }
    }
}

/// A call that is being carried out.
///
/// # Invariants
///
/// It is counted in `registration`, so that [`Registration::end`] does not return.
pub(crate) struct Running {
    registration: Arc<Registration>,
    _module: ModuleRef,
}

impl Running {
    /// Has the driver carry out a command; the result is the driver's.
    pub(crate) fn ioctl(&self, call: &Call<'_>, command: u32, arg: usize) -> c_int {
        let Registration { ioctl, context, .. } = *self.registration;
        // SAFETY: `end` has not returned, by the type invariant, so the driver's promise holds.
        unsafe { ioctl(context, call, command, arg as *mut c_void) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut calls = self.registration.calls.lock();
        calls.running = calls.running.saturating_sub(1);
        if calls.running == 0 {
            self.registration.idle.notify_all();
        }
    }
}

/// Whether `pointer` is what `ERR_PTR()` makes, or null.
fn is_err_or_null<T>(pointer: *const T) -> bool {
    // SAFETY: The function compares numbers.
    pointer.is_null() || unsafe { bindings::IS_ERR(pointer.cast()) }
}

fn errno(result: Result) -> c_int {
    result.map_or_else(Error::to_errno, |()| 0)
}

fn pointer<T>(result: Result<*mut T>) -> *mut T {
    result.unwrap_or_else(Error::to_ptr)
}

/// # Safety
///
/// `pool` is null or valid. `operations` is null or valid for reads; its module stays, and its callback
/// may be called, until the registration is given back.
#[no_mangle]
unsafe extern "C" fn fpgamem_pe_register(
    pool: *mut bindings::fwnode_handle,
    operations: *const Operations,
    context: *mut c_void,
) -> *mut Registration {
    let register = || {
        let pool = NonNull::new(pool).ok_or(EINVAL)?;
        // SAFETY: By the contract of this function.
        let operations = unsafe { operations.as_ref() }.ok_or(EINVAL)?;
        let ioctl = operations.ioctl.ok_or(EINVAL)?;
        // SAFETY: As above.
        let pool = unsafe { NodeRef::new(pool) };
        if !pool.serves_paddle() {
            return Err(ENODEV);
        }
        // INVARIANT: By the contract of this function, and `fpgamem_pe_unregister` calls `end`.
        let registration = Arc::pin_init(
            pin_init!(Registration {
                pool,
                owner: operations.owner,
                ioctl,
                context,
                calls <- new_mutex!(Calls { running: 0, ended: false }, "fpgamem::Registration"),
                idle <- new_condvar!("fpgamem::Registration::idle"),
            }),
            GFP_KERNEL,
        )?;
        pe::enlist(registration.clone())?;
        Ok(Arc::into_raw(registration).cast_mut())
    };
    pointer(register())
}

/// # Safety
///
/// `registration` is null, an error, or what [`fpgamem_pe_register`] returned, and is not used again.
#[no_mangle]
unsafe extern "C" fn fpgamem_pe_unregister(registration: *mut Registration) {
    if is_err_or_null(registration) {
        return;
    }
    // SAFETY: `fpgamem_pe_register` made the pointer, and it is given back once.
    let registration = unsafe { Arc::from_raw(registration) };
    pe::strike(&registration);
    registration.end();
}

/// # Safety
///
/// `call` is null or valid, `place` is null or valid for writes.
#[no_mangle]
unsafe extern "C" fn fpgamem_pe_translate(
    call: *const Call<'_>,
    user_addr: u64,
    len: u64,
    place: *mut Place,
) -> c_int {
    let translate = || {
        let place = NonNull::new(place).ok_or(EINVAL)?;
        // SAFETY: By the contract of this function.
        let call = unsafe { call.as_ref() }.ok_or(EINVAL)?;
        let answer = call.translate(user_addr, len)?;
        // SAFETY: As above.
        unsafe { place.as_ptr().write(answer) };
        Ok(())
    };
    errno(translate())
}

/// # Safety
///
/// `call` is null or valid.
#[no_mangle]
unsafe extern "C" fn fpgamem_pe_sync(
    call: *const Call<'_>,
    user_addr: u64,
    len: u64,
    operation: c_uint,
) -> c_int {
    // SAFETY: By the contract of this function.
    let call = unsafe { call.as_ref() }.ok_or(EINVAL);
    errno(call.and_then(|call| call.sync(user_addr, len, operation)))
}

/// # Safety
///
/// `call` is null or valid.
#[no_mangle]
unsafe extern "C" fn fpgamem_pe_hold(call: *const Call<'_>, user_addr: u64, len: u64) -> *mut Hold {
    // SAFETY: By the contract of this function.
    let call = unsafe { call.as_ref() }.ok_or(EINVAL);
    let hold = call.and_then(|call| call.hold(user_addr, len));
    pointer(hold.and_then(|hold| Ok(KBox::into_raw(KBox::new(hold, GFP_KERNEL)?))))
}

/// # Safety
///
/// `hold` is what [`fpgamem_pe_hold`] returned, `place` is valid for writes.
#[no_mangle]
unsafe extern "C" fn fpgamem_pe_hold_place(hold: *const Hold, place: *mut Place) {
    // SAFETY: By the contract of this function.
    let answer = unsafe { &*hold }.place();
    // SAFETY: As above.
    unsafe { place.write(answer) };
}

/// # Safety
///
/// `hold` is null, or what [`fpgamem_pe_hold`] returned.
#[no_mangle]
unsafe extern "C" fn fpgamem_pe_hold_sync(
    hold: *const Hold,
    offset: u64,
    len: u64,
    operation: c_uint,
) -> c_int {
    // SAFETY: By the contract of this function.
    let hold = unsafe { hold.as_ref() }.ok_or(EINVAL);
    errno(hold.and_then(|hold| hold.sync(offset, len, operation)))
}

/// # Safety
///
/// `hold` is null, an error, or what [`fpgamem_pe_hold`] returned, and is not used again.
#[no_mangle]
unsafe extern "C" fn fpgamem_pe_release(hold: *mut Hold) {
    if is_err_or_null(hold) {
        return;
    }
    // SAFETY: `fpgamem_pe_hold` made the pointer, and it is released once.
    drop(unsafe { KBox::from_raw(hold) });
}
