// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module's limit of what one user may have.

use nix::unistd::{setgid, setgroups, setuid, Gid, Uid};

const PARAMETER: &str = "/sys/module/fpgamem/parameters/user_limit_bytes";

/// A limit that ends when this is dropped.
#[derive(Debug)]
pub struct UserLimit(());

impl UserLimit {
    /// Limits every user without privileges to that many bytes.
    ///
    /// # Panics
    ///
    /// Where the parameter cannot be written.
    pub fn new(bytes: u64) -> Self {
        std::fs::write(PARAMETER, bytes.to_string()).expect("root may set the limit");
        Self(())
    }
}

impl Drop for UserLimit {
    fn drop(&mut self) {
        // Tests after this one would fail loudly.
        let _ = std::fs::write(PARAMETER, "0");
    }
}

/// Makes this process one of that user, without privileges.
///
/// # Panics
///
/// Where it may not.
pub fn become_user(id: u32) {
    setgroups(&[]).expect("root may");
    setgid(Gid::from_raw(id)).expect("root may");
    setuid(Uid::from_raw(id)).expect("root may");
}
