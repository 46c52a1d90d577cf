// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device without a board.

use crate::device::fpgamem_device_t;
use crate::error::{fpgamem_error_t, Failure, FPGAMEM_E_MODEL, FPGAMEM_E_NOT_EMULATED};
use crate::guard::{self, required};
use crate::pointer;
use fpgamem::{BusError, Device, DeviceAddr, EmulatedOptions, Emulator, Errno, FpgaMemory, Policy};
use std::ffi::{c_int, c_void};
use std::fmt;
use std::mem::MaybeUninit;

/// The emulated caches do nothing unasked.
pub const FPGAMEM_POLICY_NEVER: u32 = 0;
/// They write dirty lines back at any time, by chance from the seed.
pub const FPGAMEM_POLICY_EVICT: u32 = 1;
/// They drop clean lines and fetch them again at any time, by chance from the seed.
pub const FPGAMEM_POLICY_PREFETCH: u32 = 2;

/// How an emulated device is to be. All 0 is 64 MiB in blocks of 16 KiB at 0x40000000, of a port that
/// does not snoop, with caches that do nothing unasked.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct fpgamem_emulated_options_t {
    /// Size of the region: whole blocks; 0 for 64 MiB. Memory is taken for what is touched of it.
    pub region_bytes: u64,
    /// Allocation unit: a power of two, 4 KiB to 2 MiB; 0 for 16 KiB.
    pub block_bytes: u64,
    /// What chance starts from.
    pub seed: u64,
    /// One of FPGAMEM_POLICY_*: what the caches do unasked to memory that the device owns. A right
    /// program computes the same under all; one that forgets a sync does not under at least one.
    pub policy: u32,
    /// The port snoops the caches, for a buffer that does not say otherwise.
    pub coherent: bool,
    /// Must be 0.
    pub reserved: [u64; 4],
}

impl fpgamem_emulated_options_t {
    fn checked(&self) -> Result<EmulatedOptions, Failure> {
        let policy = match self.policy {
            FPGAMEM_POLICY_NEVER => Policy::Never,
            FPGAMEM_POLICY_EVICT => Policy::Evict(self.seed),
            FPGAMEM_POLICY_PREFETCH => Policy::Prefetch(self.seed),
            other => {
                return Err(Failure::argument(format!(
                    "policy = {other}, which is no FPGAMEM_POLICY_*"
                )))
            }
        };
        if self.reserved != [0; 4] {
            return Err(Failure::argument("a reserved field is not 0".to_owned()));
        }
        let mut options = Device::emulated().policy(policy).coherent(self.coherent);
        if self.region_bytes != 0 {
            options = options.region_bytes(self.region_bytes);
        }
        if self.block_bytes != 0 {
            options = options.block_bytes(self.block_bytes);
        }
        Ok(options)
    }
}

/// Makes a device without a board: a pool inside the process, whose FPGA is a model that the program
/// has. The options may be null. For developing and testing on any machine; nothing ever chooses it but
/// this call.
///
/// What the CPU sees and what the FPGA sees are two copies, exchanged by the same calls that maintain
/// the caches of a board, so a forgotten one is a wrong result.
///
/// Fails with FPGAMEM_E_REGION, FPGAMEM_E_ARGUMENT, FPGAMEM_E_OPEN.
#[no_mangle]
pub extern "C" fn fpgamem_open_emulated(
    options: Option<&fpgamem_emulated_options_t>,
    device: Option<&mut MaybeUninit<Option<Box<fpgamem_device_t>>>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let options =
            options.map_or_else(|| Ok(Device::emulated()), |options| options.checked())?;
        guard::put(device, || Ok(fpgamem_device_t::new(options.open()?)))
    })
}

/// Says whether a device is an emulated one. False for null.
#[no_mangle]
pub extern "C" fn fpgamem_is_emulated(device: Option<&fpgamem_device_t>) -> bool {
    guard::or(false, || Some(device?.device.emulator().is_some()))
}

/// Memory as the emulated FPGA sees it, during a run of a model.
pub struct fpgamem_fpga_memory_t<'a, 'b> {
    memory: &'a mut FpgaMemory<'b>,
    /// The first access that failed.
    failed: Option<BusError>,
}

impl fmt::Debug for fpgamem_fpga_memory_t<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("fpgamem_fpga_memory_t")
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// A model of what the FPGA computes: does the work of one start. It sees memory by the addresses that a
/// program puts into the FPGA's registers, through fpgamem_fpga_read() and fpgamem_fpga_write(). It
/// returns 0, or another number if it failed, and must not throw.
pub type fpgamem_model_t =
    Option<unsafe extern "C" fn(context: *mut c_void, memory: *mut fpgamem_fpga_memory_t) -> c_int>;

/// Starts a model on an emulated device and waits until it is done. `context` is passed to the model.
///
/// Fails with FPGAMEM_E_BUS if the model failed and accessed what is no buffer, with FPGAMEM_E_MODEL if
/// it failed otherwise, and with FPGAMEM_E_NOT_EMULATED, FPGAMEM_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_emulated_run(
    device: Option<&fpgamem_device_t>,
    model: fpgamem_model_t,
    context: *mut c_void,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let emulator = emulator(required(device, "the device")?)?;
        let model = required(model, "the model")?;
        let mut status = 0;
        emulator.run(&mut |memory: &mut FpgaMemory<'_>| {
            // SAFETY: C passes a function that may be called with its context.
            let done = unsafe { call(model, context, memory) };
            status = done.0;
            done.1
        })?;
        check_status(status)
    })
}

/// Lets a model work; what it returned, and, if that says that it failed, its first access that did.
///
/// # Safety
///
/// The model may be called with its context and, until it returns, with the memory.
pub(crate) unsafe fn call(
    model: unsafe extern "C" fn(*mut c_void, *mut fpgamem_fpga_memory_t) -> c_int,
    context: *mut c_void,
    memory: &mut FpgaMemory<'_>,
) -> (c_int, Result<(), BusError>) {
    let mut memory = fpgamem_fpga_memory_t {
        memory,
        failed: None,
    };
    // SAFETY: By the contract of this function.
    let status = unsafe { model(context, &mut memory) };
    let failed = memory.failed.filter(|_| status != 0);
    (status, failed.map_or(Ok(()), Err))
}

/// The error of a model that returned a number other than 0.
pub(crate) fn check_status(status: c_int) -> Result<(), Failure> {
    if status == 0 {
        return Ok(());
    }
    let text = format!("the accelerator's model returned {status}");
    Err(Failure::new(FPGAMEM_E_MODEL, Errno::EIO, text))
}

/// Reads what memory holds from a device address on: not what is still in the CPU's caches. 0, or EIO
/// where the bytes are not all of one live buffer.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_fpga_read(
    memory: Option<&mut fpgamem_fpga_memory_t<'_, '_>>,
    device_addr: u64,
    to: *mut c_void,
    bytes: usize,
) -> c_int {
    guard::run(None, || {
        let memory = required(memory, "the memory")?;
        // SAFETY: C passes memory of that length for this call alone.
        let to = unsafe { pointer::array_mut(to.cast::<u8>(), bytes) }?;
        let done = memory.memory.read(DeviceAddr::new(device_addr), to);
        memory.note(done)
    })
}

/// Writes to memory from a device address on: the CPU's caches keep what they have. 0, or EIO where the
/// bytes are not all of one live buffer.
#[no_mangle]
pub unsafe extern "C" fn fpgamem_fpga_write(
    memory: Option<&mut fpgamem_fpga_memory_t<'_, '_>>,
    device_addr: u64,
    from: *const c_void,
    bytes: usize,
) -> c_int {
    guard::run(None, || {
        let memory = required(memory, "the memory")?;
        // SAFETY: C passes memory of that length, which nobody writes during this call.
        let from = unsafe { pointer::array(from.cast::<u8>(), bytes) }?;
        let done = memory.memory.write(DeviceAddr::new(device_addr), from);
        memory.note(done)
    })
}

impl fpgamem_fpga_memory_t<'_, '_> {
    fn note(&mut self, done: Result<(), BusError>) -> Result<(), Failure> {
        done.map_err(|failed| {
            self.failed.get_or_insert(failed);
            let (addr, len) = (failed.addr.as_u64(), failed.len);
            fpgamem::Error::Bus { addr, len }.into()
        })
    }
}

/// What the emulated caches have done so far, in lines.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct fpgamem_counts_t {
    /// Cleaned because the program wanted it.
    pub cleaned: u64,
    /// Cleaned and invalidated because the program wanted it.
    pub invalidated: u64,
    /// Written back unasked.
    pub evicted: u64,
    /// Fetched again unasked.
    pub fetched: u64,
}

/// Tells what the emulated caches have done so far. Fails with FPGAMEM_E_NOT_EMULATED, FPGAMEM_E_FORKED.
#[no_mangle]
pub extern "C" fn fpgamem_emulated_counts(
    device: Option<&fpgamem_device_t>,
    counts: Option<&mut MaybeUninit<fpgamem_counts_t>>,
    error: Option<&mut MaybeUninit<fpgamem_error_t>>,
) -> c_int {
    guard::run(error, || {
        let device = required(device, "the device")?;
        let counts = required(counts, "the place for the answer")?;
        let emulator = emulator(device)?;
        // Refused in a child of fork.
        device.device.info()?;
        let now = emulator.counts();
        counts.write(fpgamem_counts_t {
            cleaned: now.cleaned,
            invalidated: now.invalidated,
            evicted: now.evicted,
            fetched: now.fetched,
        });
        Ok(())
    })
}

fn emulator(device: &fpgamem_device_t) -> Result<&Emulator, Failure> {
    device.device.emulator().ok_or_else(|| {
        let text = format!("{} is no emulated device", device.device.path().display());
        Failure::new(FPGAMEM_E_NOT_EMULATED, Errno::EOPNOTSUPP, text)
    })
}
