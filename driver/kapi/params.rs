// SPDX-License-Identifier: GPL-2.0

//! The module's parameters.
//!
//! `module!` of Linux 6.18 has none, so `params.c` defines them.

extern "C" {
    static fpgamem_user_limit_bytes: u64;
}

/// Most bytes that one user may have in all pools; 0 for no limit.
pub(crate) fn user_limit_bytes() -> u64 {
    // SAFETY: The variable is aligned and always valid; root may change it at any time, by one store.
    unsafe { (&raw const fpgamem_user_limit_bytes).read_volatile() }
}
