// SPDX-License-Identifier: GPL-2.0-or-later

//! A QEMU plugin that gives the emulated board a data cache.
//!
//! QEMU has no cache: its devices see every store of the CPU at once, the CPU every write of a
//! device, and cache maintenance does nothing. With this plugin a device sees what the CPU stored
//! only after the line was cleaned, and the CPU sees what the device wrote only after it dropped its
//! own copy; and every access that hardware might get wrong is reported with its place.
//!
//! ```text
//!  QEMU ── plugin ── board ──┬── instruction, walk, cpu, filter   what the CPU does, and where
//!                            ├── zdma, transfer, accelerator      what bus masters do
//!                            ├── interrupt                        how one of them calls the CPU
//!                            ├── model, master, page, policy      the cache
//!                            ├── flights, barriers, unfinished    what is not over yet
//!                            └── process, symbols, report, output who did it
//! ```
//!
//! `qemu`, `registers` and `plugin` call QEMU or are called by it, `ddr` accesses the board's
//! memory; nothing else contains `unsafe`.

#![deny(unsafe_code)]

pub mod accelerator;
pub mod barriers;
pub mod board;
pub mod config;
pub mod counts;
pub mod cpu;
#[allow(unsafe_code, reason = "the board's memory is mapped into QEMU as well")]
pub mod ddr;
mod elf;
pub mod filter;
#[cfg(test)]
mod flight_tests;
mod flights;
pub mod instruction;
pub mod interrupt;
pub mod master;
pub mod memory;
pub mod model;
#[cfg(test)]
mod model_tests;
pub mod output;
mod page;
mod places;
#[cfg(not(test))]
#[allow(unsafe_code, reason = "QEMU calls in")]
pub mod plugin;
pub mod policy;
pub mod process;
#[cfg(not(test))]
#[allow(unsafe_code, reason = "calls QEMU")]
mod qemu;
#[cfg(not(test))]
#[allow(unsafe_code, reason = "calls QEMU")]
mod registers;
pub mod report;
pub mod symbols;
pub mod transfer;
mod unfinished;
pub mod unwind;
pub mod walk;
pub mod zdma;
