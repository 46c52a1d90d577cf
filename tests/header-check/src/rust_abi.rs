// SPDX-License-Identifier: MIT OR Apache-2.0

//! The values that `abi.rs` gives to each name of the C header.

use fpgamem_shared::abi;
use std::mem::{offset_of, size_of};

/// A structure and its layout.
#[derive(Clone, Debug)]
pub struct Struct {
    /// Its name in Rust.
    pub rust_name: &'static str,
    /// Its tag in C.
    pub c_name: &'static str,
    /// Its size in bytes.
    pub size: usize,
    /// Its fields in the order of declaration.
    pub fields: Vec<Field>,
}

/// A field and its place.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name, the same in both languages.
    pub name: &'static str,
    /// Bytes from the start of the structure.
    pub offset: usize,
    /// Its size in bytes.
    pub size: usize,
}

/// A constant or command, whose name in C has a prefix.
#[derive(Clone, Debug)]
pub struct Constant {
    /// Its name in Rust.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
}

fn size_of_field<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

/// The pattern without `..` makes a field that the table lacks an error of the compiler.
macro_rules! layout {
    ($rust:ident, $c:literal, [$($field:ident),+ $(,)?]) => {{
        let abi::$rust { $($field: _),+ } = abi::$rust::default();
        Struct {
            rust_name: stringify!($rust),
            c_name: $c,
            size: size_of::<abi::$rust>(),
            fields: vec![$(Field {
                name: stringify!($field),
                offset: offset_of!(abi::$rust, $field),
                size: size_of_field(|whole: &abi::$rust| &whole.$field),
            }),+],
        }
    }};
}

/// All structures.
pub fn structs() -> Vec<Struct> {
    vec![
        layout!(
            Info,
            "fpgamem_info",
            [
                abi,
                flags,
                features,
                phys_addr,
                device_addr,
                region_bytes,
                block_bytes,
                free_bytes,
                nr_buffers,
                cache_line_bytes,
                largest_free_bytes,
                quarantined_bytes,
                quarantine_ms,
                reserved,
            ]
        ),
        layout!(
            Alloc,
            "fpgamem_alloc",
            [
                len,
                align,
                flags,
                handle,
                alloc_bytes,
                phys_addr,
                device_addr,
                mmap_offset,
                status_slot,
                reserved
            ]
        ),
        layout!(Free, "fpgamem_free", [handle, reserved]),
        layout!(
            Buffer,
            "fpgamem_buffer",
            [
                handle,
                flags,
                alloc_bytes,
                phys_addr,
                device_addr,
                mmap_offset,
                status_slot,
                reserved
            ]
        ),
        layout!(
            UserToPhys,
            "fpgamem_user_to_phys",
            [
                user_addr,
                phys_addr,
                device_addr,
                contiguous_bytes,
                flags,
                status_slot,
                reserved
            ]
        ),
        layout!(
            PhysToUser,
            "fpgamem_phys_to_user",
            [phys_addr, user_addr, contiguous_bytes, reserved]
        ),
        layout!(Range, "fpgamem_range", [addr, len, handle, reserved]),
        layout!(Sync, "fpgamem_sync", [ranges, count, op, reserved]),
        layout!(
            SetOwner,
            "fpgamem_set_owner",
            [addr, handle, owner, reserved]
        ),
    ]
}

macro_rules! constants {
    ($($name:ident),+ $(,)?) => {
        vec![$(Constant { name: stringify!($name), value: abi::$name as u64 }),+]
    };
}

/// All constants and commands.
pub fn constants() -> Vec<Constant> {
    constants![
        ABI,
        FEATURE_WRITE_COMBINE,
        FEATURE_COHERENCY,
        FEATURE_SYNC_VECTOR,
        FEATURE_QUARANTINE,
        BUFFER_WRITE_COMBINE,
        BUFFER_COHERENT,
        ALLOC_WRITE_COMBINE,
        ALLOC_COHERENT,
        ALLOC_NONCOHERENT,
        MMAP_OFFSET_BASE,
        MMAP_STATUS_OFFSET,
        MAX_STATUS_BYTES,
        NO_SLOT,
        OWNER_CPU,
        OWNER_DEVICE,
        NR_ALIGNMENTS,
        MIN_ALIGN_SHIFT,
        MAX_ALIGN,
        MAX_RANGES,
        SYNC_FLUSH,
        SYNC_INVALIDATE,
        IOC_TYPE,
        IOC_INFO,
        IOC_ALLOC,
        IOC_FREE,
        IOC_QUERY,
        IOC_USER_TO_PHYS,
        IOC_PHYS_TO_USER,
        IOC_FLUSH,
        IOC_INVALIDATE,
        IOC_SYNC,
        IOC_SET_OWNER,
        IOC_QUIET,
    ]
}
