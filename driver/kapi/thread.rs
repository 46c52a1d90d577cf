// SPDX-License-Identifier: GPL-2.0

//! A kernel thread of low priority.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)
//!
//! Would be replaced by an abstraction over kthreads in `rust/kernel`.

use core::ptr::NonNull;
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{c_char, c_int, c_long, c_void},
    prelude::*,
    sync::Arc,
};

/// The nice value that yields to all others.
const MAX_NICE: c_long = 19;

// `<linux/kthread.h>` is not among the headers that the kernel generates bindings for.
extern "C" {
    fn kthread_create_on_node(
        threadfn: unsafe extern "C" fn(*mut c_void) -> c_int,
        data: *mut c_void,
        node: c_int,
        namefmt: *const c_char,
        ...
    ) -> *mut bindings::task_struct;
    fn kthread_stop(k: *mut bindings::task_struct) -> c_int;
    fn set_user_nice(p: *mut bindings::task_struct, nice: c_long);
}

/// What a thread does.
pub(crate) trait Work: Send + Sync {
    /// Runs in the thread, and returns soon after [`Self::stop`] was called.
    fn run(&self);

    /// Makes [`Self::run`] return.
    fn stop(&self);
}

/// A thread that runs until this is dropped, which waits for its end.
///
/// # Invariants
///
/// `task` is a thread of which this value has a reference, and which accesses `*work`.
pub(crate) struct Thread<W: Work> {
    task: NonNull<bindings::task_struct>,
    work: Arc<W>,
}

// SAFETY: A task may be stopped from any other, and `work` may be shared.
unsafe impl<W: Work> Send for Thread<W> {}
// SAFETY: Nothing can be done with a shared reference.
unsafe impl<W: Work> Sync for Thread<W> {}

impl<W: Work> Thread<W> {
    /// Starts a thread of the lowest priority that does `work`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the kernel's memory is exhausted, `EINTR` if a fatal signal came first.
    pub(crate) fn start(name: &CStr, work: Arc<W>) -> Result<Self> {
        let data: *const W = &*work;
        // SAFETY: The format takes one string, and the name is copied. `work` lives until the thread has
        // ended: it goes with this value, whose drop waits for that.
        let task = from_err_ptr(unsafe {
            kthread_create_on_node(
                run::<W>,
                data.cast_mut().cast(),
                bindings::NUMA_NO_NODE,
                kernel::c_str!("%s").as_char_ptr(),
                name.as_char_ptr(),
            )
        })?;
        let task = NonNull::new(task).ok_or(ENOMEM)?;
        // SAFETY: The thread exists: it has not been woken yet. With this reference it does so until drop,
        // whether or not its function has returned.
        unsafe { bindings::get_task_struct(task.as_ptr()) };
        // SAFETY: As above.
        unsafe { set_user_nice(task.as_ptr(), MAX_NICE) };
        // SAFETY: As above.
        unsafe { bindings::wake_up_process(task.as_ptr()) };
        // INVARIANT: Just made so.
        Ok(Self { task, work })
    }
}

impl<W: Work> Drop for Thread<W> {
    fn drop(&mut self) {
        self.work.stop();
        // Else its end would wait for everybody else.
        // SAFETY: By the type invariant the thread exists.
        unsafe { set_user_nice(self.task.as_ptr(), 0) };
        // SAFETY: By the type invariant this is a thread that was not stopped before.
        unsafe { kthread_stop(self.task.as_ptr()) };
        // SAFETY: The reference is this value's, and nothing uses it any more.
        unsafe { bindings::put_task_struct(self.task.as_ptr()) };
    }
}

/// What the kernel calls in the new thread.
///
/// # Safety
///
/// `data` points to a `W` that lives until the thread has ended.
unsafe extern "C" fn run<W: Work>(data: *mut c_void) -> c_int {
    // SAFETY: By the contract of this function.
    let work = unsafe { &*data.cast::<W>() };
    work.run();
    0
}
