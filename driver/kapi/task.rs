// SPDX-License-Identifier: GPL-2.0

//! The task that runs: how it ends, what it may do, and waiting.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/capability.h`](srctree/include/linux/capability.h)

use kernel::{bindings, ffi::c_int, prelude::*, task::Task};

/// The part of an exit code that names the signal which ended the task.
const SIGNAL_MASK: c_int = 0x7f;

fn current() -> *mut bindings::task_struct {
    Task::current_raw()
}

/// Whether what is being let go now is let go because of a crash: by a task that a signal killed,
/// or by a kernel thread, which cleans up after one that nobody can ask any more.
pub(crate) fn cleans_up_after_a_crash() -> bool {
    let task = current();
    // SAFETY: The current task is valid; nobody else writes these flags.
    let flags = unsafe { (*task).flags };
    if flags & bindings::PF_KTHREAD != 0 {
        return true;
    }
    // SAFETY: As above; the task itself sets the code in `do_exit`.
    flags & bindings::PF_EXITING != 0 && unsafe { (*task).exit_code } & SIGNAL_MASK != 0
}

/// Whether the current task takes down an address space that is not, and was not, its own: somebody
/// who inspected a process, and let go of it last.
pub(crate) fn is_stranger_to(mm: *mut bindings::mm_struct) -> bool {
    let task = current();
    // SAFETY: The current task is valid; nobody else writes these fields.
    let (flags, own) = unsafe { ((*task).flags, (*task).mm) };
    // SAFETY: As above.
    let in_execve = unsafe { (*task).in_execve() } != 0;
    // An exiting task has let go of its own before that is taken down, and exec has replaced it.
    own != mm && !in_execve && flags & bindings::PF_EXITING == 0
}

/// Whether the current task may access devices directly.
pub(crate) fn may_access_hardware() -> bool {
    // CAST: the number of a capability is small.
    // SAFETY: Any capability may be asked for in the context of a task.
    unsafe { bindings::capable(bindings::CAP_SYS_RAWIO as c_int) }
}

/// Whether limits of what a user may have do not hold for the current task.
pub(crate) fn may_exceed_limits() -> bool {
    // CAST: the number of a capability is small.
    // SAFETY: Any capability may be asked for in the context of a task.
    unsafe { bindings::capable(bindings::CAP_SYS_RESOURCE as c_int) }
}

/// Sleeps for `milliseconds`, rounded up to the timer's tick.
///
/// # Errors
///
/// `EINTR` if a fatal signal came first.
pub(crate) fn sleep_killable(milliseconds: u32) -> Result {
    let jiffies = kernel::time::msecs_to_jiffies(milliseconds);
    let timeout = isize::try_from(jiffies)?.saturating_add(1);
    // SAFETY: The caller is a task that may sleep.
    if unsafe { bindings::schedule_timeout_killable(timeout) } > 0 {
        return Err(EINTR);
    }
    Ok(())
}

/// Sleeps for `milliseconds`, rounded up to the timer's tick, whatever signals come. For kernel threads.
pub(crate) fn sleep(milliseconds: u32) {
    let jiffies = kernel::time::msecs_to_jiffies(milliseconds);
    let timeout = isize::try_from(jiffies).unwrap_or(isize::MAX);
    // SAFETY: The caller is a task that may sleep.
    unsafe { bindings::schedule_timeout_idle(timeout) };
}
