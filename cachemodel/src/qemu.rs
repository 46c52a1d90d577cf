// SPDX-License-Identifier: GPL-2.0-or-later

//! The part of QEMU's plugin interface that is used: version 4, of QEMU 9.2 to 11.0.
//!
//! QEMU, `include/qemu/qemu-plugin.h`. The functions are in the program that loads the plugin, as
//! are those of GLib, which it links.

use std::ffi::{c_char, c_int, c_uint, c_void, CStr};

/// The version of the interface that this is.
pub(crate) const VERSION: c_int = 4;

/// `enum qemu_plugin_cb_flags`: the callback reads general registers, or does not.
pub(crate) const CB_NO_REGS: c_int = 0;
pub(crate) const CB_R_REGS: c_int = 1;

/// `enum qemu_plugin_mem_rw`: loads and stores.
pub(crate) const MEM_RW: c_int = 3;

/// `qemu_info_t`, of which only the beginning is read.
#[repr(C)]
pub(crate) struct Info {
    pub(crate) target_name: *const c_char,
    pub(crate) min_version: c_int,
    pub(crate) cur_version: c_int,
    pub(crate) system_emulation: bool,
    pub(crate) smp_vcpus: c_int,
    max_vcpus: c_int,
}

/// `qemu_plugin_mem_value`: the type of the value, and the value in the lowest bytes.
#[repr(C)]
pub(crate) struct MemValue {
    kind: c_uint,
    pub(crate) low: u64,
    pub(crate) high: u64,
}

/// `qemu_plugin_reg_descriptor`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RegDescriptor {
    pub(crate) handle: *mut c_void,
    pub(crate) name: *const c_char,
    pub(crate) feature: *const c_char,
}

/// `GArray`
#[repr(C)]
pub(crate) struct Array {
    pub(crate) data: *mut c_char,
    pub(crate) len: c_uint,
}

/// `GByteArray`
#[repr(C)]
pub(crate) struct ByteArray {
    pub(crate) data: *mut u8,
    pub(crate) len: c_uint,
}

pub(crate) type VcpuCallback = extern "C" fn(id: u64, vcpu: c_uint);
pub(crate) type TbCallback = extern "C" fn(id: u64, tb: *mut c_void);
pub(crate) type InsnCallback = extern "C" fn(vcpu: c_uint, userdata: *mut c_void);
pub(crate) type MemCallback =
    extern "C" fn(vcpu: c_uint, info: c_uint, address: u64, userdata: *mut c_void);
pub(crate) type ExitCallback = extern "C" fn(id: u64, userdata: *mut c_void);

extern "C" {
    pub(crate) fn qemu_plugin_register_vcpu_init_cb(id: u64, callback: VcpuCallback);
    pub(crate) fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, callback: TbCallback);
    pub(crate) fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut c_void,
        callback: InsnCallback,
        flags: c_int,
        userdata: *mut c_void,
    );
    pub(crate) fn qemu_plugin_register_vcpu_mem_cb(
        insn: *mut c_void,
        callback: MemCallback,
        flags: c_int,
        rw: c_int,
        userdata: *mut c_void,
    );
    pub(crate) fn qemu_plugin_register_atexit_cb(
        id: u64,
        callback: ExitCallback,
        userdata: *mut c_void,
    );

    pub(crate) fn qemu_plugin_tb_n_insns(tb: *const c_void) -> usize;
    pub(crate) fn qemu_plugin_tb_get_insn(tb: *const c_void, index: usize) -> *mut c_void;
    pub(crate) fn qemu_plugin_insn_data(insn: *const c_void, to: *mut c_void, len: usize) -> usize;
    pub(crate) fn qemu_plugin_insn_vaddr(insn: *const c_void) -> u64;

    pub(crate) fn qemu_plugin_mem_size_shift(info: c_uint) -> c_uint;
    pub(crate) fn qemu_plugin_mem_is_store(info: c_uint) -> bool;
    pub(crate) fn qemu_plugin_mem_get_value(info: c_uint) -> MemValue;

    pub(crate) fn qemu_plugin_get_registers() -> *mut Array;
    pub(crate) fn qemu_plugin_read_register(register: *mut c_void, to: *mut ByteArray) -> c_int;

    pub(crate) fn g_array_free(array: *mut Array, free_data: c_int) -> *mut c_char;
    pub(crate) fn g_byte_array_new() -> *mut ByteArray;
    pub(crate) fn g_byte_array_set_size(array: *mut ByteArray, len: c_uint) -> *mut ByteArray;
}

/// What was written behind the plugin's name: what `qemu_plugin_install` is called with.
///
/// # Safety
///
/// `argv` points to `argc` C strings.
pub(crate) unsafe fn arguments(argc: c_int, argv: *mut *mut c_char) -> Vec<String> {
    let mut arguments = Vec::new();
    for index in 0..usize::try_from(argc).unwrap_or(0) {
        // SAFETY: By the contract of this function.
        let argument = unsafe { argv.add(index) };
        // SAFETY: As above.
        let argument = unsafe { *argument };
        // SAFETY: As above.
        let argument = unsafe { CStr::from_ptr(argument) };
        arguments.push(argument.to_string_lossy().into_owned());
    }
    arguments
}
