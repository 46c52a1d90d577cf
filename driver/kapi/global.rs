// SPDX-License-Identifier: GPL-2.0

//! The global locks of the module.
//!
//! What outlives a bound device has to be found again by the next bind, and a platform driver's
//! probe gets no data of its module.

use crate::{limit::Users, paddle::pe::Accelerators, registry::Pools};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;

kernel::sync::global_lock! {
    // SAFETY: `init` runs in the module's init function, before the driver that uses it exists.
    pub(crate) unsafe(uninit) static POOLS: Mutex<Pools> = Pools::new();
}

kernel::sync::global_lock! {
    // SAFETY: As above.
    pub(crate) unsafe(uninit) static USERS: Mutex<Users> = Users::new();
}

kernel::sync::global_lock! {
    // SAFETY: `init` runs before any module that uses the exported functions can be loaded.
    pub(crate) unsafe(uninit) static ACCELERATORS: Mutex<Accelerators> = Accelerators::new();
}

/// Readies the locks; later calls do nothing.
pub(crate) fn init() {
    static READY: AtomicBool = AtomicBool::new(false);
    if !READY.swap(true, Ordering::Relaxed) {
        // SAFETY: Once per load of the module, as `READY` sees to.
        unsafe { POOLS.init() };
        // SAFETY: As above.
        unsafe { USERS.init() };
        // SAFETY: As above.
        unsafe { ACCELERATORS.init() };
    }
}
