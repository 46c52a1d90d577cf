// SPDX-License-Identifier: GPL-2.0-or-later

//! A QEMU plugin that counts for how many instructions modules of the kernel hold mutexes.
//!
//! ```text
//! -plugin libfpgamem_lock_holds.so,map=System.map,json=FILE
//! ```
//!
//! A hold begins with the first instruction after the call that locks, and ends with the call that
//! unlocks; what its processor executes between them is counted. Only calls from modules are looked at.
//! The program in the guest says what the holds that follow belong to: by the instruction `hint #127`,
//! which does nothing on hardware, with two numbers in x0 and x1.

#![deny(unsafe_code)]

pub mod holds;
pub mod kernel;
#[cfg(not(test))]
#[allow(unsafe_code, reason = "QEMU calls in")]
pub mod plugin;
#[cfg(not(test))]
#[path = "../../../cachemodel/src/qemu.rs"]
#[allow(
    unsafe_code,
    dead_code,
    reason = "calls QEMU, of which little is needed here"
)]
mod qemu;
