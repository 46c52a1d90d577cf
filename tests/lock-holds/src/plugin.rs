// SPDX-License-Identifier: GPL-2.0-or-later

//! The callbacks that QEMU calls.

use crate::holds::Holds;
use crate::kernel::Kernel;
use crate::qemu::{self, Array, ByteArray, RegDescriptor};
use std::cell::Cell;
use std::ffi::{c_char, c_int, c_uint, c_void, CStr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The instruction `hint #127`.
const HINT: u32 = 0xd503_2fff;
/// The register with the return address of a call.
const LINK: usize = 30;

/// Tells QEMU which version of the interface the plugin was made for.
#[no_mangle]
#[used]
pub static qemu_plugin_version: c_int = qemu::VERSION;

static SETTINGS: OnceLock<Settings> = OnceLock::new();
static HOLDS: OnceLock<Mutex<Holds>> = OnceLock::new();
static REGISTERS: OnceLock<Registers> = OnceLock::new();

struct Settings {
    kernel: Kernel,
    json: PathBuf,
}

/// QEMU's handles of x0 to x30. They are numbers in disguise, the same for all processors.
struct Registers([usize; 31]);

fn holds() -> MutexGuard<'static, Holds> {
    let holds = HOLDS.get_or_init(Mutex::default);
    holds.lock().unwrap_or_else(PoisonError::into_inner)
}

/// QEMU calls this once, before it makes the board.
///
/// # Safety
///
/// Called by QEMU, with what it documents.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    argc: c_int,
    argv: *mut *mut c_char,
) -> c_int {
    // SAFETY: QEMU passes so many C strings.
    let arguments = unsafe { qemu::arguments(argc, argv) };
    match settings(&arguments) {
        Ok(settings) => {
            // Set once: QEMU calls once.
            let _ = SETTINGS.set(settings);
            // SAFETY: QEMU gave the number for this purpose; the callbacks are those it expects.
            unsafe { qemu::qemu_plugin_register_vcpu_init_cb(id, vcpu_init) };
            // SAFETY: as above.
            unsafe { qemu::qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
            // SAFETY: as above.
            unsafe { qemu::qemu_plugin_register_atexit_cb(id, exit, std::ptr::null_mut()) };
            0
        }
        Err(error) => {
            eprintln!("lock holds: {error}");
            1
        }
    }
}

fn settings(arguments: &[String]) -> Result<Settings, String> {
    let value = |key: &str| {
        let values = arguments
            .iter()
            .filter_map(|argument| argument.split_once('='));
        let mut values = values.filter(|(found, _)| *found == key);
        let value = values.next().map(|(_, value)| PathBuf::from(value));
        value.ok_or_else(|| format!("{key}=FILE is missing"))
    };
    let map = value("map")?;
    let text = std::fs::read_to_string(&map).map_err(|e| format!("{}: {e}", map.display()))?;
    Ok(Settings {
        kernel: Kernel::parse(&text)?,
        json: value("json")?,
    })
}

extern "C" fn vcpu_init(_id: u64, _vcpu: c_uint) {
    // SAFETY: QEMU calls for a processor, which is what the function needs.
    let array = unsafe { qemu::qemu_plugin_get_registers() };
    // SAFETY: QEMU returns a valid array.
    let Array { data, len } = unsafe { array.read() };
    let descriptors = data.cast::<RegDescriptor>();
    let mut found = [0; 31];
    for index in 0..usize::try_from(len).unwrap_or(0) {
        // SAFETY: the array has that many descriptors.
        let descriptor = unsafe { descriptors.add(index) };
        // SAFETY: as above.
        let descriptor = unsafe { descriptor.read_unaligned() };
        // SAFETY: the names are C strings that QEMU never frees.
        let name = unsafe { CStr::from_ptr(descriptor.name) }.to_string_lossy();
        let number = name
            .strip_prefix('x')
            .and_then(|number| number.parse::<usize>().ok());
        if let Some(handle) = number.and_then(|number| found.get_mut(number)) {
            *handle = descriptor.handle.addr();
        }
    }
    // SAFETY: the array belongs to the caller of the function that made it.
    unsafe { qemu::g_array_free(array, 1) };
    // The others have the same.
    let _ = REGISTERS.set(Registers(found));
}

/// A general register of the current processor, in a callback that may read registers.
fn register(number: usize) -> u64 {
    thread_local! {
        static BUFFER: Cell<*mut ByteArray> = const { Cell::new(std::ptr::null_mut()) };
    }
    let Some(handle) = REGISTERS
        .get()
        .and_then(|registers| registers.0.get(number))
    else {
        return 0;
    };
    if BUFFER.get().is_null() {
        // SAFETY: the function has no conditions.
        BUFFER.set(unsafe { qemu::g_byte_array_new() });
    }
    let buffer = BUFFER.get();
    // SAFETY: the buffer is a valid array; QEMU appends to it.
    unsafe { qemu::g_byte_array_set_size(buffer, 0) };
    let handle = std::ptr::without_provenance_mut(*handle);
    // SAFETY: the handle came from QEMU, and a processor is running.
    let len = unsafe { qemu::qemu_plugin_read_register(handle, buffer) };
    let mut bytes = [0; 8];
    let len = usize::try_from(len).unwrap_or(0).min(bytes.len());
    // SAFETY: the buffer is a valid array.
    let data = unsafe { (*buffer).data };
    // SAFETY: QEMU has just written so many bytes there.
    unsafe { data.copy_to_nonoverlapping(bytes.as_mut_ptr(), len) };
    u64::from_le_bytes(bytes)
}

extern "C" fn translated(_id: u64, tb: *mut c_void) {
    let Some(Settings { kernel, .. }) = SETTINGS.get() else {
        return;
    };
    // SAFETY: QEMU passes a block that is valid during the call.
    let count = unsafe { qemu::qemu_plugin_tb_n_insns(tb) };
    for index in 0..count {
        // SAFETY: as above; the block has so many instructions.
        let insn = unsafe { qemu::qemu_plugin_tb_get_insn(tb, index) };
        // SAFETY: the instruction is valid as long as the block.
        let pc = unsafe { qemu::qemu_plugin_insn_vaddr(insn) };
        let mut word = [0; 4];
        // SAFETY: as above; the buffer has the size that is passed.
        unsafe { qemu::qemu_plugin_insn_data(insn, word.as_mut_ptr().cast(), word.len()) };
        let userdata = std::ptr::without_provenance_mut(usize::try_from(pc).unwrap_or(0));
        let add = |callback: qemu::InsnCallback, flags| {
            // SAFETY: the instruction is valid, and each callback takes its address.
            unsafe {
                qemu::qemu_plugin_register_vcpu_insn_exec_cb(insn, callback, flags, userdata);
            }
        };
        add(executed, qemu::CB_NO_REGS);
        match pc {
            _ if u32::from_le_bytes(word) == HINT => add(hint, qemu::CB_R_REGS),
            _ if pc == kernel.lock => add(locks, qemu::CB_R_REGS),
            _ if pc == kernel.unlock => add(unlocks, qemu::CB_R_REGS),
            _ if pc == kernel.interrupt => add(interrupted, qemu::CB_NO_REGS),
            _ => {}
        }
    }
}

fn number(vcpu: c_uint) -> usize {
    usize::try_from(vcpu).unwrap_or(0)
}

extern "C" fn executed(vcpu: c_uint, userdata: *mut c_void) {
    holds().instruction(number(vcpu), userdata.addr() as u64);
}

extern "C" fn locks(vcpu: c_uint, _userdata: *mut c_void) {
    let returns_to = register(LINK);
    if SETTINGS
        .get()
        .is_some_and(|settings| settings.kernel.is_module(returns_to))
    {
        holds().locks(number(vcpu), register(0), returns_to);
    }
}

extern "C" fn unlocks(vcpu: c_uint, _userdata: *mut c_void) {
    holds().unlocks(number(vcpu), register(0));
}

extern "C" fn interrupted(vcpu: c_uint, _userdata: *mut c_void) {
    holds().interrupt(number(vcpu));
}

extern "C" fn hint(_vcpu: c_uint, _userdata: *mut c_void) {
    holds().begin((register(0), register(1)));
}

extern "C" fn exit(_id: u64, _userdata: *mut c_void) {
    let Some(Settings { json, .. }) = SETTINGS.get() else {
        return;
    };
    if let Err(error) = std::fs::write(json, holds().json()) {
        eprintln!("lock holds: {}: {error}", json.display());
    }
}
