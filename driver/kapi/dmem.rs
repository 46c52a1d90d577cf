// SPDX-License-Identifier: GPL-2.0

//! The cgroup controller for device memory: who allocated how much of a region, and up to which
//! limit.
//!
//! C header: [`include/linux/cgroup_dmem.h`](srctree/include/linux/cgroup_dmem.h)
//!
//! A kernel without `CONFIG_CGROUP_DMEM` knows no limits: there, registering and charging do nothing.

use kernel::{prelude::*, str::CString, sync::Arc};

#[cfg(CONFIG_CGROUP_DMEM)]
mod controller {
    use core::ptr::{self, NonNull};
    use kernel::{
        c_str,
        error::{from_err_ptr, to_result},
        ffi::{c_char, c_int, c_void},
        prelude::*,
        str::CString,
    };

    // `<linux/cgroup_dmem.h>` is not among the headers that the kernel generates bindings for. The
    // structures are opaque to users of the controller.
    extern "C" {
        fn dmem_cgroup_register_region(size: u64, fmt: *const c_char, ...) -> *mut c_void;
        fn dmem_cgroup_unregister_region(region: *mut c_void);
        fn dmem_cgroup_try_charge(
            region: *mut c_void,
            size: u64,
            ret_pool: *mut *mut c_void,
            ret_limit_pool: *mut *mut c_void,
        ) -> c_int;
        fn dmem_cgroup_uncharge(pool: *mut c_void, size: u64);
    }

    /// A `struct dmem_cgroup_region`, or null for a region that is not accounted.
    ///
    /// # Invariants
    ///
    /// Registered until drop.
    pub(super) struct Handle(*mut c_void);

    // SAFETY: The controller has locks of its own.
    unsafe impl Send for Handle {}
    // SAFETY: As above.
    unsafe impl Sync for Handle {}

    impl Handle {
        pub(super) fn register(name: &CString, bytes: u64) -> Result<Self> {
            let format = c_str!("%s").as_char_ptr();
            // SAFETY: The format takes one string, and the function copies it.
            let region = unsafe { dmem_cgroup_register_region(bytes, format, name.as_char_ptr()) };
            // INVARIANT: Just registered.
            Ok(Self(from_err_ptr(region)?))
        }

        pub(super) fn charge(&self, bytes: u64) -> Result<Account> {
            let mut account = ptr::null_mut();
            // SAFETY: Registered, by the type invariant; the function writes `account` alone, and
            // takes null where the limiting cgroup is not asked for.
            to_result(unsafe {
                dmem_cgroup_try_charge(self.0, bytes, &mut account, ptr::null_mut())
            })?;
            Ok(Account(NonNull::new(account)))
        }
    }

    impl Drop for Handle {
        fn drop(&mut self) {
            // SAFETY: Registered, by the type invariant, and every charge is gone, because each holds
            // the region.
            unsafe { dmem_cgroup_unregister_region(self.0) };
        }
    }

    /// The `struct dmem_cgroup_pool_state` that was charged.
    pub(super) struct Account(Option<NonNull<c_void>>);

    // SAFETY: The controller has locks of its own.
    unsafe impl Send for Account {}
    // SAFETY: As above.
    unsafe impl Sync for Account {}

    impl Account {
        pub(super) fn uncharge(&mut self, bytes: u64) {
            if let Some(account) = self.0.take() {
                // SAFETY: `charge` charged it with as many bytes, and it is uncharged once.
                unsafe { dmem_cgroup_uncharge(account.as_ptr(), bytes) };
            }
        }
    }
}

#[cfg(not(CONFIG_CGROUP_DMEM))]
mod controller {
    use kernel::{prelude::*, str::CString};

    pub(super) struct Handle;

    impl Handle {
        pub(super) fn register(_name: &CString, _bytes: u64) -> Result<Self> {
            Ok(Self)
        }

        pub(super) fn charge(&self, _bytes: u64) -> Result<Account> {
            Ok(Account)
        }
    }

    pub(super) struct Account;

    impl Account {
        pub(super) fn uncharge(&mut self, _bytes: u64) {}
    }
}

/// A region that is accounted.
pub(crate) struct Accounting(controller::Handle);

impl Accounting {
    /// Makes the region known to the controller by `name`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the kernel's memory is exhausted.
    pub(crate) fn register(name: &CString, bytes: u64) -> Result<Arc<Self>> {
        let handle = controller::Handle::register(name, bytes)?;
        Ok(Arc::new(Self(handle), GFP_KERNEL)?)
    }

    /// Charges `bytes` to the cgroup of the calling task.
    ///
    /// # Errors
    ///
    /// - `EAGAIN` if that exceeds a limit.
    /// - `ENOMEM` if the kernel's memory is exhausted.
    pub(crate) fn charge(self: Arc<Self>, bytes: u64) -> Result<Charge> {
        Ok(Charge {
            account: self.0.charge(bytes)?,
            bytes,
            _region: self,
        })
    }
}

/// Bytes that a cgroup is charged with until this is dropped. It may be dropped under a lock.
pub(crate) struct Charge {
    account: controller::Account,
    bytes: u64,
    /// Registered for as long as there is a charge.
    _region: Arc<Accounting>,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.uncharge(self.bytes);
    }
}
