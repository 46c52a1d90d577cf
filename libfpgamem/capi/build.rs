// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names the shared library for the dynamic linker.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Raised by each release that breaks programs which were built with the one before.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libfpgamem.so.0");
}
