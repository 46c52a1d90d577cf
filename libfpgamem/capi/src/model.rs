// SPDX-License-Identifier: MIT OR Apache-2.0

//! Models in C of accelerators with registers.

use crate::emulated::{self, fpgamem_fpga_memory_t, fpgamem_model_t};
use crate::error::Failure;
use crate::guard::required;
use fpgamem::mmio::RegisterModel;
use fpgamem::{BusError, FpgaMemory};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::Arc;

/// A model of an accelerator with its registers. Its functions are called with `context`, from whichever
/// thread uses the registers, never two at a time. They must not throw, nor use the handle that they are
/// called by. `context` stays valid until that is closed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct fpgamem_register_model_t {
    /// Passed to the functions.
    pub context: *mut c_void,
    /// Bytes of registers.
    pub bytes: usize,
    /// Answers a read of the 32 bits at an offset, a multiple of 4 below the length.
    pub read: Option<unsafe extern "C" fn(context: *mut c_void, offset: usize) -> u32>,
    /// Takes a write of the 32 bits at an offset, a multiple of 4 below the length; says whether it starts
    /// a run.
    pub write:
        Option<unsafe extern "C" fn(context: *mut c_void, offset: usize, value: u32) -> bool>,
    /// Does the work of one start.
    pub run: fpgamem_model_t,
    /// Says whether the model asks for an interrupt now. Null where it never does.
    pub interrupt: Option<unsafe extern "C" fn(context: *mut c_void) -> bool>,
    /// Must be 0.
    pub reserved: [u64; 4],
}

/// What a run returned, 0 if there was none. Written and read under the lock of the registers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer(Arc<AtomicI32>);

impl Answer {
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> c_int {
        self.0.load(Ordering::Relaxed)
    }
}

/// A model for the library, by its functions in C.
#[derive(Debug)]
pub(crate) struct Model {
    context: *mut c_void,
    bytes: usize,
    read: unsafe extern "C" fn(*mut c_void, usize) -> u32,
    write: unsafe extern "C" fn(*mut c_void, usize, u32) -> bool,
    run: unsafe extern "C" fn(*mut c_void, *mut fpgamem_fpga_memory_t) -> c_int,
    interrupt: Option<unsafe extern "C" fn(*mut c_void) -> bool>,
    answer: Answer,
}

// SAFETY: The context is C's, which passes functions that may be called from any thread.
unsafe impl Send for Model {}

impl Model {
    /// # Safety
    ///
    /// The functions may be called as `fpgamem_register_model_t` says, as long as the model lives.
    pub(crate) unsafe fn new(
        model: &fpgamem_register_model_t,
        answer: &Answer,
    ) -> Result<Self, Failure> {
        if model.reserved != [0; 4] {
            return Err(Failure::argument("a reserved field is not 0".to_owned()));
        }
        Ok(Self {
            context: model.context,
            bytes: model.bytes,
            read: required(model.read, "the model's function `read`")?,
            write: required(model.write, "the model's function `write`")?,
            run: required(model.run, "the model's function `run`")?,
            interrupt: model.interrupt,
            answer: answer.clone(),
        })
    }
}

impl RegisterModel for Model {
    fn len(&self) -> usize {
        self.bytes
    }

    fn read(&mut self, offset: usize) -> u32 {
        // SAFETY: By the contract of `new`.
        unsafe { (self.read)(self.context, offset) }
    }

    fn write(&mut self, offset: usize, value: u32) -> bool {
        // SAFETY: By the contract of `new`.
        unsafe { (self.write)(self.context, offset, value) }
    }

    fn run(&mut self, memory: &mut FpgaMemory<'_>) -> Result<(), BusError> {
        // SAFETY: By the contract of `new`.
        let (status, done) = unsafe { emulated::call(self.run, self.context, memory) };
        self.answer.0.store(status, Ordering::Relaxed);
        done
    }

    fn interrupt(&self) -> bool {
        self.interrupt.is_some_and(|interrupt| {
            // SAFETY: By the contract of `new`.
            unsafe { interrupt(self.context) }
        })
    }
}
