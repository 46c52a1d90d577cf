// SPDX-License-Identifier: MIT OR Apache-2.0

//! Versions.

use crate::guard;
use std::ffi::{c_char, CStr};

/// Number of this interface. It is raised when something is added; a library with a higher number
/// runs programs that were built with a lower one.
pub const FPGAMEM_API_VERSION: u32 = 1;

/// Number of the interface of the library that runs: at least FPGAMEM_API_VERSION of the header that
/// the program was built with, or it lacks what the program may call.
#[no_mangle]
pub extern "C" fn fpgamem_api_version() -> u32 {
    guard::or(0, || Some(FPGAMEM_API_VERSION))
}

/// Release of the library that runs, as text: "0.1.0".
#[no_mangle]
pub extern "C" fn fpgamem_version() -> *const c_char {
    guard::or(std::ptr::null(), || {
        let text = CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes());
        Some(text.ok()?.as_ptr())
    })
}
