// SPDX-License-Identifier: GPL-2.0

//! References on modules.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use kernel::{bindings, prelude::*};

/// A reference that keeps a module loaded.
///
/// # Invariants
///
/// The module is built in, for which the pointer is null, or this owns one of its references.
pub(crate) struct ModuleRef(*mut bindings::module);

// SAFETY: References are counted atomically and belong to no task.
unsafe impl Send for ModuleRef {}
// SAFETY: As above.
unsafe impl Sync for ModuleRef {}

impl ModuleRef {
    /// A reference on `module`, or on nothing if it is null; `None` if it is being unloaded.
    ///
    /// # Safety
    ///
    /// `module` is null, or a module whose memory is not given back during the call.
    pub(super) unsafe fn new(module: *mut bindings::module) -> Option<Self> {
        // SAFETY: By the contract of this function.
        let got = unsafe { bindings::try_module_get(module) };
        // INVARIANT: Just taken.
        got.then_some(Self(module))
    }

    /// A reference on this module.
    ///
    /// # Errors
    ///
    /// `ENODEV` if it is being unloaded.
    pub(crate) fn this() -> Result<Self> {
        // SAFETY: The code that runs belongs to this module.
        unsafe { Self::new(crate::THIS_MODULE.as_ptr()) }.ok_or(ENODEV)
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this owns the reference.
        unsafe { bindings::module_put(self.0) };
    }
}
