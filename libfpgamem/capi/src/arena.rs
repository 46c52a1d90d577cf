// SPDX-License-Identifier: MIT OR Apache-2.0

//! Small buffers that share allocations.

use crate::buffer::{fpgamem_alloc_options_t, fpgamem_buffer_t};
use crate::device::fpgamem_device_t;
use crate::error::{fpgamem_error_t, Failure};
use crate::guard::{self, required};
use fpgamem::{Arena, ArenaOptions, Process};
use std::ffi::c_int;
use std::mem::MaybeUninit;

/// Buffers that share allocations, so that a thousand small tensors do not take a thousand blocks.
///
/// They are the same buffers as those of fpgamem_alloc(), with an owner and addresses each, cut from
/// chunks in whole cache lines. A buffer keeps its chunk, and the arena need not outlive it.
///
/// Every call may be made from any thread, also at the same time; fpgamem_arena_close() is the last one.
#[derive(Debug)]
pub struct fpgamem_arena_t {
    arena: Arena,
    process: Process,
}

/// How an arena is to be. All 0 is chunks of 512 KiB and pieces of at most 256 KiB, cached.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct fpgamem_arena_options_t {
    /// Bytes of a chunk, at most 2 MiB; 0 for 512 KiB.
    pub chunk_bytes: usize,
    /// Longest buffer that is a piece of a chunk, longer ones are allocations of their own; 0 for 256
    /// KiB.
    pub largest_piece: usize,
    /// How all buffers are mapped and reached. An alignment is that of chunks and of allocations of
    /// their own.
    pub alloc: fpgamem_alloc_options_t,
    /// Bytes of freed buffers that are kept, 32 of them at most, for the next ones of the same capacity; 0
    /// for none. Where it is not 0 buffers are not cleared: they have what an earlier one of this arena left.
    pub reuse_bytes: u64,
    /// Must be 0.
    pub reserved: [u64; 3],
}

impl fpgamem_arena_options_t {
    fn checked(&self) -> Result<ArenaOptions, Failure> {
        if self.reserved != [0; 3] {
            return Err(Failure::argument("a reserved field is not 0".to_owned()));
        }
        let reuse_bytes = usize::try_from(self.reuse_bytes).unwrap_or(usize::MAX);
        let mut options = ArenaOptions::new().alloc(self.alloc.checked()?);
        options = options.reuse_bytes(reuse_bytes);
        if self.chunk_bytes != 0 {
            options = options.chunk_bytes(self.chunk_bytes);
        }
        if self.largest_piece != 0 {
            options = options.largest_piece(self.largest_piece);
        }
        Ok(options)
    }
}

/// Makes an arena that holds nothing yet. The options may be null. *arena is a new handle, for
/// fpgamem_arena_close().
///
/// Fails with FPGAMEM_E_ARGUMENT.
#[no_mangle]
pub extern "C" fn fpgamem_arena_open(
    device: Option<&fpgamem_device_t>,
    options: Option<&fpgamem_arena_options_t>,
    arena: Option<&mut MaybeUninit<Option<Box<fpgamem_arena_t>>>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let device = &required(device, "the device")?.device;
        let options =
            options.map_or_else(|| Ok(ArenaOptions::new()), |options| options.checked())?;
        guard::put(arena, || {
            Ok(fpgamem_arena_t {
                arena: Arena::with_options(device, options),
                process: Process::current(),
            })
        })
    })
}

/// Closes an arena. Its buffers stay what they are. Null is nothing to do, and so is the arena of a
/// parent in a child of fork.
#[no_mangle]
pub extern "C" fn fpgamem_arena_close(arena: Option<Box<fpgamem_arena_t>>) {
    guard::or((), || {
        let arena = arena?;
        // Another thread of the parent may have been changing it.
        if arena.process != Process::current() {
            std::mem::forget(arena);
        }
        Some(())
    })
}

/// Allocates a buffer of `bytes`, all 0 unless the arena reuses buffers, aligned to a cache line. It takes a
/// system call only where a chunk is allocated. *buffer is a new handle, for fpgamem_free().
///
/// Fails as fpgamem_alloc(), and in a child of fork with FPGAMEM_E_FORKED.
#[no_mangle]
pub extern "C" fn fpgamem_arena_alloc(
    arena: Option<&fpgamem_arena_t>,
    bytes: usize,
    buffer: Option<&mut MaybeUninit<Option<Box<fpgamem_buffer_t>>>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let arena = &required(arena, "the arena")?.arena;
        guard::put(buffer, || Ok(fpgamem_buffer_t::new(arena.alloc(bytes)?)))
    })
}

/// Gives chunks that are empty, and buffers that are kept for reuse, back to the pool. In a child of fork it does
/// nothing.
#[no_mangle]
pub extern "C" fn fpgamem_arena_trim(arena: Option<&fpgamem_arena_t>) {
    guard::or((), || {
        arena?.arena.trim();
        Some(())
    })
}

/// What an arena holds now.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct fpgamem_arena_usage_t {
    /// Live buffers.
    pub buffers: usize,
    /// Bytes that were asked for by them.
    pub bytes: usize,
    /// Bytes held from the pool: whole blocks.
    pub held_bytes: usize,
    /// Mappings that hold them.
    pub mappings: usize,
    /// Allocations from the pool so far.
    pub allocations: u64,
    /// 0 so far.
    pub reserved: [u64; 4],
}

/// Tells what an arena holds now. Fails in a child of fork, with FPGAMEM_E_FORKED.
#[no_mangle]
pub extern "C" fn fpgamem_arena_usage(
    arena: Option<&fpgamem_arena_t>,
    usage: Option<&mut MaybeUninit<fpgamem_arena_usage_t>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let arena = required(arena, "the arena")?;
        let usage = required(usage, "the place for the answer")?;
        if arena.process != Process::current() {
            return Err(Failure::forked());
        }
        let now = arena.arena.usage();
        usage.write(fpgamem_arena_usage_t {
            buffers: now.buffers,
            bytes: now.bytes,
            held_bytes: now.held_bytes,
            mappings: now.mappings,
            allocations: now.allocations,
            reserved: [0; 4],
        });
        Ok(())
    })
}
