// SPDX-License-Identifier: GPL-2.0

//! Who is charged for blocks: a cgroup, and where the module has a limit for users, a user.
//!
//! The cgroup controller for device memory is the better tool. The limit for users is for kernels
//! that lack it.

use crate::kapi::{dmem, global::USERS, params, task};
use kernel::{prelude::*, sync::Arc, task::Kuid};

/// The bytes of each user who has any; the value of a global lock.
pub(crate) struct Users(KVec<(Kuid, u64)>);

impl Users {
    /// Nobody has any.
    pub(crate) const fn new() -> Self {
        Self(KVec::new())
    }

    fn entry(&mut self, user: Kuid) -> Option<&mut (Kuid, u64)> {
        self.0.iter_mut().find(|entry| entry.0 == user)
    }
}

/// Bytes that a user is charged with until this is dropped.
struct UserCharge {
    user: Kuid,
    bytes: u64,
}

impl UserCharge {
    /// Charges the caller; `None` if there is no limit for it.
    ///
    /// # Errors
    ///
    /// - `EAGAIN` if that exceeds the limit.
    /// - `ENOMEM` if the kernel's memory is exhausted.
    fn new(bytes: u64) -> Result<Option<Self>> {
        let limit = params::user_limit_bytes();
        if limit == 0 || task::may_exceed_limits() {
            return Ok(None);
        }
        let user = Kuid::current_euid();
        let mut users = USERS.lock();
        let has = users.entry(user).map_or(0, |entry| entry.1);
        let total = has.checked_add(bytes).filter(|total| *total <= limit);
        let total = total.ok_or(EAGAIN)?;
        match users.entry(user) {
            Some(entry) => entry.1 = total,
            None => users.0.push((user, total), GFP_KERNEL)?,
        }
        Ok(Some(Self { user, bytes }))
    }
}

impl Drop for UserCharge {
    fn drop(&mut self) {
        let mut users = USERS.lock();
        if let Some(entry) = users.entry(self.user) {
            entry.1 = entry.1.saturating_sub(self.bytes);
        }
        users.0.retain(|entry| entry.1 != 0);
        if users.0.is_empty() {
            // Nobody drops a static when the module goes: no memory may hang on it by then.
            users.0 = KVec::new();
        }
    }
}

/// What an allocation is charged with until this is dropped. It may be dropped under a pool's lock.
pub(crate) struct Charge {
    _user: Option<UserCharge>,
    _cgroup: dmem::Charge,
}

impl Charge {
    /// Charges the caller's cgroup and the caller.
    ///
    /// # Errors
    ///
    /// - `EAGAIN` if that exceeds a limit.
    /// - `ENOMEM` if the kernel's memory is exhausted.
    pub(crate) fn new(accounting: Arc<dmem::Accounting>, bytes: u64) -> Result<Self> {
        Ok(Self {
            _user: UserCharge::new(bytes)?,
            _cgroup: accounting.charge(bytes)?,
        })
    }
}
