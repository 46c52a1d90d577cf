// SPDX-License-Identifier: GPL-2.0-or-later

//! The callbacks that QEMU calls, and what they share.
//!
//! The board must have one processor (`-smp 1`). With more, another one would change memory during a
//! callback; and if QEMU runs them by turns in one thread, it says of each that it is the same.

use crate::board::{Board, MemoryAccess};
use crate::config::Config;
use crate::cpu::Registers;
use crate::ddr::Ddr;
use crate::filter::Filter;
use crate::instruction::{decode, CacheOperation, Special};
use crate::model::Model;
use crate::output::Output;
use crate::qemu;
use crate::registers::Handles;
use crate::symbols::Symbols;
use std::ffi::{c_char, c_int, c_uint, c_void, CStr};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Tells QEMU which version of the interface the plugin was made for.
#[no_mangle]
#[used]
pub static qemu_plugin_version: c_int = qemu::VERSION;

static FILTER: Filter = Filter::new();
static BOARD: OnceLock<Mutex<Board<Ddr>>> = OnceLock::new();
static HANDLES: OnceLock<Handles> = OnceLock::new();
/// Where the report goes as JSON, and whether it is printed too.
static REPORT: OnceLock<(Option<PathBuf>, bool)> = OnceLock::new();
/// Whether lines were maintained since the last barrier.
static MAINTAINED: AtomicBool = AtomicBool::new(false);
/// Whether the CPU stored to a page that matters since the last ordering barrier.
static STORED: AtomicBool = AtomicBool::new(false);

/// Addresses of the kernel's code for interrupts, and for calls and faults, of processes; 0 if it is
/// not known.
static INTERRUPT_ENTRY: AtomicU64 = AtomicU64::new(0);
static FAULT_ENTRY: AtomicU64 = AtomicU64::new(0);
/// Whether a process calls the kernel.
static CALLED: AtomicBool = AtomicBool::new(false);
/// Whether a process was interrupted and has not gone on yet.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Whether a process may have started a bus master and has not asked yet what became of it.
static STARTED: AtomicBool = AtomicBool::new(false);

fn board() -> Option<MutexGuard<'static, Board<Ddr>>> {
    let board = BOARD.get()?;
    Some(board.lock().unwrap_or_else(PoisonError::into_inner))
}

/// QEMU calls this once, before it makes the board.
///
/// # Safety
///
/// Called by QEMU, with what it documents.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    info: *const c_void,
    argc: c_int,
    argv: *mut *mut c_char,
) -> c_int {
    // SAFETY: QEMU passes so many C strings.
    let arguments = unsafe { qemu::arguments(argc, argv) };
    // SAFETY: QEMU passes a valid structure.
    let info = unsafe { &*info.cast::<qemu::Info>() };
    match install(info, &arguments) {
        Ok(()) => {
            // SAFETY: QEMU gave the number for this purpose; the callbacks are those it expects.
            unsafe { qemu::qemu_plugin_register_vcpu_init_cb(id, vcpu_init) };
            // SAFETY: as above.
            unsafe { qemu::qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
            // SAFETY: as above.
            unsafe { qemu::qemu_plugin_register_atexit_cb(id, exit, std::ptr::null_mut()) };
            0
        }
        Err(error) => {
            eprintln!("cache model: {error}");
            1
        }
    }
}

fn install(info: &qemu::Info, arguments: &[String]) -> Result<(), String> {
    // SAFETY: QEMU passes a C string.
    let target = unsafe { CStr::from_ptr(info.target_name) };
    if target != c"aarch64" || !info.system_emulation {
        return Err("this is for qemu-system-aarch64".to_owned());
    }
    if !(info.min_version..=info.cur_version).contains(&qemu::VERSION) {
        return Err(format!(
            "this QEMU takes plugins of version {} to {}, not {}; use QEMU 10.0",
            info.min_version,
            info.cur_version,
            qemu::VERSION
        ));
    }
    if info.smp_vcpus != 1 {
        return Err(format!(
            "the board has {} processors; use -smp 1",
            info.smp_vcpus
        ));
    }
    let config = Config::parse(arguments.iter().map(String::as_str))?;
    let failed = |path: &PathBuf, error| format!("{}: {error}", path.display());
    let ddr = Ddr::open(&config.ddr).map_err(|error| failed(&config.ddr, error))?;
    let mut symbols = Symbols::default();
    if let Some(map) = &config.system_map {
        let read = symbols.add_system_map(map);
        read.map_err(|error| failed(map, error))?;
    }
    for object in config.symbols {
        symbols.add_object(object);
    }
    let model = Model::new(ddr, config.region, config.policy);
    let mut board = Board::new(model, symbols);
    if let Some(base) = config.accelerator {
        board.add_accelerator(base, config.interrupt);
    }
    let [interrupts, faults] = board.kernel_entries();
    INTERRUPT_ENTRY.store(interrupts, Relaxed);
    FAULT_ENTRY.store(faults, Relaxed);
    // Set once: QEMU calls once.
    let _ = REPORT.set((config.json, !config.quiet));
    BOARD
        .set(Mutex::new(board))
        .map_err(|_| "QEMU loads the plugin twice".to_owned())
}

extern "C" fn vcpu_init(_id: u64, _vcpu: c_uint) {
    // SAFETY: QEMU calls for a processor.
    match unsafe { Handles::find() } {
        Ok(handles) => {
            // A processor that is reset keeps its handles.
            let _ = HANDLES.set(handles);
        }
        Err(error) => eprintln!("cache model: {error}"),
    }
}

/// The two halves of a callback's userdata: address of the instruction and register, packed.
///
/// Instructions are aligned to 4 bytes and have 48 significant bits of address and the bit that
/// tells the kernel's half.
fn pack(pc: u64, register: u8) -> *mut c_void {
    let pc = pc >> 2 & ((1 << 46) - 1) | (pc >> 55 & 1) << 46;
    let packed = pc | u64::from(register) << 47;
    std::ptr::without_provenance_mut(crate::memory::host(packed))
}

fn unpack(userdata: *mut c_void) -> (u64, u8) {
    let packed = userdata.addr() as u64;
    let low = (packed & ((1 << 46) - 1)) << 2;
    let pc = if packed >> 46 & 1 != 0 {
        low | 0xffff << 48
    } else {
        low
    };
    (pc, u8::try_from(packed >> 47 & 0x1f).unwrap_or(31))
}

extern "C" fn translated(_id: u64, tb: *mut c_void) {
    // SAFETY: QEMU passes a block that is valid during the call.
    let count = unsafe { qemu::qemu_plugin_tb_n_insns(tb) };
    for index in 0..count {
        // SAFETY: as above; the block has so many instructions.
        let insn = unsafe { qemu::qemu_plugin_tb_get_insn(tb, index) };
        // SAFETY: the instruction is valid as long as the block.
        let pc = unsafe { qemu::qemu_plugin_insn_vaddr(insn) };
        let mut word = [0; 4];
        // SAFETY: as above; the buffer has the size that is passed.
        let len =
            unsafe { qemu::qemu_plugin_insn_data(insn, word.as_mut_ptr().cast(), word.len()) };
        let userdata = pack(pc, 31);
        // SAFETY: the instruction is valid, and the callback takes the packed address.
        unsafe {
            qemu::qemu_plugin_register_vcpu_mem_cb(
                insn,
                memory_accessed,
                qemu::CB_NO_REGS,
                qemu::MEM_RW,
                userdata,
            );
        };
        if len != word.len() {
            continue;
        }
        let entry: Option<qemu::InsnCallback> = match pc {
            0 => None,
            _ if pc == INTERRUPT_ENTRY.load(Relaxed) => Some(process_interrupted),
            _ if pc == FAULT_ENTRY.load(Relaxed) => Some(process_calls_or_faults),
            _ => None,
        };
        if let Some(entry) = entry {
            // SAFETY: the instruction is valid, and the callback takes the packed address.
            unsafe {
                qemu::qemu_plugin_register_vcpu_insn_exec_cb(
                    insn,
                    entry,
                    qemu::CB_R_REGS,
                    userdata,
                );
            };
        }
        let Some(special) = decode(u32::from_le_bytes(word)) else {
            continue;
        };
        let (callback, register): (qemu::InsnCallback, u8) = match special {
            Special::Cache(CacheOperation::Cvac, register) => (cvac, register),
            Special::Cache(CacheOperation::Civac, register) => (civac, register),
            Special::Cache(CacheOperation::Ivac, register) => (ivac, register),
            Special::Cache(CacheOperation::Zva, register) => (zva, register),
            Special::Cache(CacheOperation::Cvau, register) => (cvau, register),
            Special::Barrier => (barrier, 31),
            Special::OrderingBarrier => (ordering_barrier, 31),
            Special::TlbInvalidation => (tlb_invalidation, 31),
            Special::Tables { lower_only: true } => (lower_half_changes, 31),
            Special::Tables { lower_only: false } => (tables_change, 31),
            Special::TaskSwitch => (task_switches, 31),
            Special::Sleep => (sleeps, 31),
            Special::SystemCall => (system_call, 31),
            Special::ExceptionReturn => (exception_returns, 31),
        };
        // SAFETY: as above.
        unsafe {
            qemu::qemu_plugin_register_vcpu_insn_exec_cb(
                insn,
                callback,
                qemu::CB_R_REGS,
                pack(pc, register),
            );
        };
    }
}

extern "C" fn memory_accessed(_vcpu: c_uint, info: c_uint, address: u64, userdata: *mut c_void) {
    // SAFETY: QEMU passes a valid description of the access.
    let size = || 1_u64 << unsafe { qemu::qemu_plugin_mem_size_shift(info) };
    let in_page = address & 0xfff;
    let crosses = in_page > 0xff0 && in_page + size() > 0x1000;
    if !crosses && FILTER.passes(address) {
        return;
    }
    // SAFETY: as above.
    let is_store = unsafe { qemu::qemu_plugin_mem_is_store(info) };
    let value = || {
        // SAFETY: as above; a processor is running.
        let value = unsafe { qemu::qemu_plugin_mem_get_value(info) };
        u128::from(value.high) << 64 | u128::from(value.low)
    };
    let access = MemoryAccess {
        pc: unpack(userdata).0,
        address,
        len: size(),
        is_store,
    };
    if is_store {
        STORED.store(true, Relaxed);
    }
    if let (Some(mut board), Some(registers)) = (board(), HANDLES.get()) {
        board.access(&FILTER, registers, &access, value);
        if is_store {
            STARTED.store(board.has_starters(), Relaxed);
        }
    }
}

fn on_line(userdata: *mut c_void, operation: CacheOperation) {
    let Some(registers) = HANDLES.get() else {
        return;
    };
    let (pc, register) = unpack(userdata);
    let address = registers.general(register);
    if operation == CacheOperation::Zva && FILTER.passes(address) {
        return;
    }
    MAINTAINED.store(true, Relaxed);
    if let Some(mut board) = board() {
        board.cache_operation(&FILTER, registers, pc, (operation, address));
    }
}

extern "C" fn cvac(_vcpu: c_uint, userdata: *mut c_void) {
    on_line(userdata, CacheOperation::Cvac);
}

extern "C" fn civac(_vcpu: c_uint, userdata: *mut c_void) {
    on_line(userdata, CacheOperation::Civac);
}

extern "C" fn ivac(_vcpu: c_uint, userdata: *mut c_void) {
    on_line(userdata, CacheOperation::Ivac);
}

extern "C" fn zva(_vcpu: c_uint, userdata: *mut c_void) {
    on_line(userdata, CacheOperation::Zva);
}

extern "C" fn cvau(_vcpu: c_uint, userdata: *mut c_void) {
    on_line(userdata, CacheOperation::Cvau);
}

extern "C" fn ordering_barrier(_vcpu: c_uint, _userdata: *mut c_void) {
    if STORED.swap(false, Relaxed) {
        if let Some(mut board) = board() {
            board.model.ordering_barrier();
        }
    }
}

extern "C" fn barrier(_vcpu: c_uint, _userdata: *mut c_void) {
    // Neither is skipped.
    if MAINTAINED.swap(false, Relaxed) | STORED.swap(false, Relaxed) {
        if let Some(mut board) = board() {
            board.model.barrier();
        }
    }
}

extern "C" fn tlb_invalidation(_vcpu: c_uint, _userdata: *mut c_void) {
    FILTER.forget();
}

extern "C" fn lower_half_changes(_vcpu: c_uint, _userdata: *mut c_void) {
    FILTER.forget_lower_half();
    if let Some(mut board) = board() {
        board.tables_change();
    }
}

extern "C" fn tables_change(_vcpu: c_uint, _userdata: *mut c_void) {
    FILTER.forget();
    if let Some(mut board) = board() {
        board.tables_change();
    }
}

extern "C" fn process_interrupted(_vcpu: c_uint, userdata: *mut c_void) {
    if !MAINTAINED.load(Relaxed) && !STORED.load(Relaxed) {
        return;
    }
    if let (Some(mut board), Some(registers)) = (board(), HANDLES.get()) {
        board.interrupted(registers, unpack(userdata).0);
        INTERRUPTED.store(true, Relaxed);
    }
}

extern "C" fn process_calls_or_faults(vcpu: c_uint, userdata: *mut c_void) {
    // A barrier that a fault comes by is luck too.
    if !CALLED.swap(false, Relaxed) {
        process_interrupted(vcpu, userdata);
    }
}

extern "C" fn system_call(_vcpu: c_uint, userdata: *mut c_void) {
    CALLED.store(true, Relaxed);
    if !STARTED.load(Relaxed) {
        return;
    }
    if let (Some(mut board), Some(registers)) = (board(), HANDLES.get()) {
        board.system_call(registers, unpack(userdata).0);
        STARTED.store(board.has_starters(), Relaxed);
    }
}

extern "C" fn exception_returns(_vcpu: c_uint, userdata: *mut c_void) {
    if !INTERRUPTED.load(Relaxed) {
        return;
    }
    if let (Some(mut board), Some(registers)) = (board(), HANDLES.get()) {
        if board.returns(registers, unpack(userdata).0) {
            MAINTAINED.store(true, Relaxed);
            STORED.store(true, Relaxed);
        }
        INTERRUPTED.store(board.has_interrupted(), Relaxed);
    }
}

extern "C" fn task_switches(_vcpu: c_uint, _userdata: *mut c_void) {
    if let Some(mut board) = board() {
        board.task_switches();
    }
}

extern "C" fn sleeps(_vcpu: c_uint, _userdata: *mut c_void) {
    if let (Some(mut board), Some(registers)) = (board(), HANDLES.get()) {
        board.sleep(registers);
    }
}

extern "C" fn exit(_id: u64, _userdata: *mut c_void) {
    let (Some(board), Some((path, printed))) = (board(), REPORT.get()) else {
        return;
    };
    let output = Output::new(&board);
    if *printed {
        eprint!("{}", output.text());
    }
    let Some(path) = path else {
        return;
    };
    let written = serde_json::to_vec_pretty(&output)
        .map_err(|error| error.to_string())
        .and_then(|json| fs::write(path, json).map_err(|error| error.to_string()));
    if let Err(error) = written {
        eprintln!("cache model: {}: {error}", path.display());
    }
}
