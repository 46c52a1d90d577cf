// SPDX-License-Identifier: GPL-2.0

//! Memory for FPGA accelerators: physically contiguous buffers out of a reserved region.
//!
//! - `driver` binds device-tree nodes; `registry` remembers the pool of each region beyond unbind.
//! - `pool` hands out blocks, `state` knows who has them and which are quarantined; `buffer` is what
//!   one allocation is while anything refers to it.
//! - `scrub` clears freed blocks in the background.
//! - `file` is an open node: handles, mmap and the dispatch of ioctls. `translate` and `sync` are
//!   the ioctls on user addresses.
//! - `paddle` is the compatibility with Paddle-Lite: a node of its own, what the native one adds, and
//!   what drivers of accelerators register for.
//! - `debug` is what debugfs shows.
//! - `shared` is plain Rust that user space and host tests compile too.
//! - `kapi` is the only place that says `unsafe` or `bindings`.
//!
//! Lock order, outermost first:
//!
//! 1. the registry lock (probe and unbind only),
//! 2. the mmap lock of a process,
//! 3. the handle table of an open file,
//! 4. the state of a pool,
//! 5. the status area of a file, and the slots of that area; what users are charged with; the turn of the
//!    scrubber.
//!
//! Under 2, a fault takes the lock of a buffer's page tables and nothing else.
//!
//! No user memory is accessed under 2 to 5, and no block is cleared or synced under 3 to 5, but
//! that the scrubber clears 32 KiB at most in its turn.
//! Buffers are dropped under none of 3 to 5, because the last reference takes 4 and 5.
//!
//! Which accelerators are registered, and how many calls each carries out, have locks of their own,
//! which are taken under none of these and with none of these after them.

/// Plain Rust shared with user space.
pub mod shared {
    pub mod abi;
    pub mod abi_layout;
    pub mod block_map;
    pub mod paddle_abi;
    pub mod scrub_map;
}

mod kapi {
    pub(crate) mod cache;
    pub(crate) mod dmem;
    pub(crate) mod global;
    mod huge;
    pub(crate) mod misc;
    pub(crate) mod module;
    pub(crate) mod params;
    pub(crate) mod pe;
    pub(crate) mod region;
    pub(crate) mod registers;
    pub(crate) mod shared_pages;
    pub(crate) mod task;
    pub(crate) mod thread;
    pub(crate) mod trace;
    pub(crate) mod uaccess;
    pub(crate) mod vma;
}

mod blocks;
mod buffer;
mod debug;
mod driver;
mod file;
mod limit;
mod paddle {
    pub(crate) mod info;
    pub(crate) mod native;
    pub(crate) mod node;
    pub(crate) mod pe;
    pub(crate) mod registers;
    pub(crate) mod sync;
}
mod poison;
mod pool;
mod registry;
mod scrub;
mod state;
mod status;
mod sync;
mod translate;

use kernel::{driver::Registration, platform, prelude::*, InPlaceModule};

/// The loaded module. The driver goes before the registry is emptied: fields drop in order.
#[pin_data]
struct Module {
    #[pin]
    _driver: Registration<platform::Adapter<driver::MemoryPool>>,
    _registry: registry::Registry,
}

impl InPlaceModule for Module {
    fn init(module: &'static kernel::ThisModule) -> impl PinInit<Self, Error> {
        let registry = registry::Registry::init();
        try_pin_init!(Self {
            _driver <- Registration::new(<Self as kernel::ModuleMetadata>::NAME, module),
            _registry: registry,
        })
    }
}

module! {
    type: Module,
    name: "fpgamem",
    authors: ["fpgamem maintainers"],
    description: "Physically contiguous buffers for FPGA accelerators",
    license: "GPL",
}
