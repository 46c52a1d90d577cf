// SPDX-License-Identifier: MIT OR Apache-2.0

//! libfpgamem for C and C++: what `include/libfpgamem.h` declares, which is made from this crate.
//!
//! The texts of all public items are those of the header, written for users of C. What a call takes is
//! a reference where C may pass null or a valid pointer and nothing else, which the header says of all.

// The names are those of C.
#![allow(non_camel_case_types)]
// What the caller answers for is in the texts, for users of C.
#![allow(clippy::missing_safety_doc)]

pub mod version;

pub mod error;

pub mod device;

pub mod buffer;

pub mod owner;

pub mod access;

pub mod many;

pub mod parts;

pub mod arena;

pub mod emulated;

pub mod model;

pub mod registers;

mod guard;
mod pointer;
