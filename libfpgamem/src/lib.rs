// SPDX-License-Identifier: MIT OR Apache-2.0

//! Physically contiguous buffers that CPU and FPGA share, through the fpgamem driver.
//!
//! The FPGA reads and writes the same DDR as the CPU, by its own addresses and past the CPU's caches. A
//! buffer therefore has an owner at any time, and changing the owner maintains the caches:
//!
//! ```text
//!  Device ──alloc(len)──▶ Buffer ──into_device(Direction)──▶ DeviceBuffer
//!                           ▲    CPU owns: a slice of bytes       │   device owns: addresses, no slice
//!                           └───────── unsafe into_cpu() ◀────────┘
//!                                      "the hardware has finished"
//! ```
//!
//! The two states are two types, so a program that reads a buffer while the device writes it does not
//! compile. The library cannot know when the hardware has finished: [`DeviceBuffer::into_cpu`] is where
//! a program says so, once, and that is the only thing that `unsafe` is needed for.
//!
//! ```no_run
//! use fpgamem::{Device, Direction};
//!
//! # fn start_and_wait(from: fpgamem::DeviceAddr, to: fpgamem::DeviceAddr, bytes: usize) {}
//! # fn main() -> Result<(), fpgamem::Error> {
//! let device = Device::open()?;
//! let mut input = device.alloc(1 << 20)?;
//! input.fill(0x5a);
//! let output = device.alloc(1 << 20)?;
//!
//! let input = input.into_device(Direction::ToDevice)?;
//! let output = output.into_device(Direction::FromDevice)?;
//! start_and_wait(input.device_addr(), output.device_addr(), output.len());
//!
//! // What `unsafe` promises: the accelerator has reported that it is done.
//! let output = unsafe { output.into_cpu() }?;
//! let input = unsafe { input.into_cpu() }?;
//! assert_eq!(input[..], output[..]);
//! # Ok(())
//! # }
//! ```
//!
//! # Words and units
//!
//! Lengths, offsets and sizes are in bytes; ranges are half-open, `[start, end)`. A *block* is the unit
//! of allocation ([`Info::block_bytes`]); every buffer takes whole blocks. A [`PhysAddr`] is what the
//! CPU puts on the bus, a [`DeviceAddr`] what the FPGA puts there; registers of the FPGA take the
//! latter.
//!
//! # Many small buffers
//!
//! An [`Arena`] cuts them from allocations that they share, in whole cache lines. They are the same
//! buffers, with an owner each.
//!
//! # Caches
//!
//! [`Direction`] has the table of what handing over and taking back do. Parts of a buffer are
//! synchronised by [`Buffer::sync_for_device`] and [`Buffer::sync_for_cpu`], parts of many by [`Ranges`].
//! A buffer for a port that snoops the caches ([`Coherency::Coherent`]) needs barriers only. Cache lines
//! are never shared between buffers, nor between the parts of one that is [split](Buffer::split_at).
//!
//! On aarch64 none of this is a system call: the library executes the cache instructions itself. Nor is
//! translation: a buffer knows its addresses ([`Buffer::phys_of`]), and the device its buffers
//! ([`Device::phys_of`], [`Device::user_of`]).
//!
//! # Without a board
//!
//! [`Device::emulated`] is a device inside the process, with the same API. Its FPGA is a model that the
//! program has ([`Accelerator`]), which sees a copy of memory that only maintenance of the caches, and
//! what a [`Policy`] lets them do unasked, brings up to date. Tests of a program with it run anywhere,
//! in seconds, and a forgotten sync makes them fail.
//!
//! # Without the driver
//!
//! [`Device::open_u_dma_buf`] cuts buffers from the one buffer of a u-dma-buf node, for boards whose
//! kernel cannot load the driver. [`Device::guarantees`] says what is lost.
//!
//! # Registers
//!
//! Module [`mmio`] has what else an accelerator needs: its registers and its interrupt, on a board and on
//! the emulated device.
//!
//! # End of a buffer
//!
//! A [`Buffer`] that is dropped is unmapped and its blocks return to the pool. A [`DeviceBuffer`] that is
//! dropped keeps its memory to the end of the process, since the device may still use it;
//! [`Device::abandoned`] counts them. A process that ends, however it ends, leaves nothing in the pool.
//!
//! Children of fork do not inherit buffers: see [`Buffer`]. They may use the [`Device`].
//!
//! # Errors
//!
//! [`Error`] says which call failed, with its numbers and the way out. A failed change of owner gives the
//! buffer back ([`HandOverError`]). No destructor panics.

#![deny(unsafe_code)]

mod addr;
mod alloc;
mod arena;
mod backend;
// Slices of a buffer.
#[allow(unsafe_code)]
mod buffer;
// Cache maintenance by instructions, which only aarch64 has.
#[allow(unsafe_code)]
#[cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]
mod cache;
mod device;
mod direction;
mod driver;
mod emulated;
mod error;
// A page that is cleared in children.
#[allow(unsafe_code)]
mod fork;
// Where the promise about the hardware is made.
#[allow(unsafe_code)]
mod hand_over;
mod info;
mod inner;
// The end of a mapping.
#[allow(unsafe_code)]
mod map;
mod memory;
pub mod mmio;
mod parts;
mod pool;
mod ranges;
mod status;
mod sync;
// The ioctls.
#[allow(unsafe_code)]
mod sys;
mod translate;
mod u_dma_buf;
// The promise about the hardware, passed on.
#[allow(unsafe_code)]
mod typed;
// Volatile accesses.
#[allow(unsafe_code)]
mod view;

#[doc(no_inline)]
pub use bytemuck::{AnyBitPattern, NoUninit};

pub use addr::{DeviceAddr, PhysAddr};
pub use alloc::{AllocOptions, Coherency};
pub use arena::{Arena, ArenaOptions, ArenaUsage};
pub use backend::Guarantees;
pub use buffer::{Buffer, DeviceBuffer};
pub use device::{Abandoned, Device, DEVICE_VARIABLE};
pub use direction::Direction;
pub use emulated::{Accelerator, BusError, Counts, EmulatedOptions, Emulator, FpgaMemory, Policy};
pub use error::{Error, HandOverError, Result};
pub use fork::Process;
pub use info::{Features, Info};
pub use nix::errno::Errno;
pub use ranges::Ranges;
pub use sys::Call;
pub use translate::{PhysRange, UserRange};
pub use typed::{TypedBuffer, TypedDeviceBuffer};
pub use view::{View, ViewMut};
