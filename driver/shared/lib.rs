// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the fpgamem kernel module and its users share: the ioctl ABI, the block map and the scrub map.
//!
//! The kernel module compiles the same files as modules of its own; this root exists for Cargo only.
//! They therefore use nothing but `core`, `super::` paths and no `unsafe`.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod abi;
#[cfg(test)]
mod abi_layout;
pub mod block_map;
#[cfg(test)]
mod block_map_costs;
#[cfg(test)]
mod block_map_properties;
#[cfg(test)]
mod block_map_tests;
pub mod paddle_abi;
pub mod scrub_map;
#[cfg(test)]
mod scrub_map_tests;
