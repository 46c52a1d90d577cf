// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ioctl ABI as `driver/shared/abi.rs` and as `driver/uapi/fpgamem.h` have it, as data.
//!
//! The tests compare the names that both sides define, and let a C compiler compare the values.
//! An item that is new in one of the files fails them until it is in the other, and in the table
//! of [`rust_abi`].

pub mod compiler;
pub mod header;
pub mod rust_abi;
