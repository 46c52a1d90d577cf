// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the registers of an emulated processor.

use crate::cpu::{Registers, SystemRegister};
use crate::qemu::{self, Array, ByteArray, RegDescriptor};
use std::ffi::{c_void, CStr};

/// Handles of one processor's registers.
pub(crate) struct Handles {
    general: [*mut c_void; 31],
    system: [*mut c_void; 6],
    cpsr: *mut c_void,
    /// Where QEMU puts what it reads.
    buffer: *mut ByteArray,
}

// SAFETY: QEMU's handles are numbers in disguise, and the buffer is used by one thread at a time, the
// one that runs the processors.
unsafe impl Send for Handles {}
// SAFETY: as above.
unsafe impl Sync for Handles {}

const SYSTEM: [(&str, SystemRegister); 6] = [
    ("TTBR0_EL1", SystemRegister::Ttbr0),
    ("TTBR1_EL1", SystemRegister::Ttbr1),
    ("TCR_EL1", SystemRegister::Tcr),
    ("MAIR_EL1", SystemRegister::Mair),
    ("SCTLR", SystemRegister::Sctlr),
    ("TPIDR_EL1", SystemRegister::Tpidr),
];

impl Handles {
    /// Looks the registers of the current processor up.
    ///
    /// # Errors
    ///
    /// The name of one that there is not.
    ///
    /// # Safety
    ///
    /// Called in a callback of QEMU for a processor.
    pub(crate) unsafe fn find() -> Result<Self, String> {
        // SAFETY: the caller is in the context that the function needs.
        let array = unsafe { qemu::qemu_plugin_get_registers() };
        // SAFETY: QEMU returns a valid array.
        let Array { data, len } = unsafe { array.read() };
        let descriptors = data.cast::<RegDescriptor>();
        let mut found = Vec::new();
        for index in 0..usize::try_from(len).unwrap_or(0) {
            // SAFETY: the array has that many descriptors.
            let descriptor = unsafe { descriptors.add(index) };
            // SAFETY: as above.
            let descriptor = unsafe { descriptor.read_unaligned() };
            // SAFETY: the names are C strings that QEMU never frees.
            let name = unsafe { CStr::from_ptr(descriptor.name) };
            found.push((name.to_string_lossy().into_owned(), descriptor.handle));
        }
        // SAFETY: the array belongs to the caller of the function that made it.
        unsafe { qemu::g_array_free(array, 1) };

        let handle = |name: &str| {
            let register = found.iter().find(|(found, _)| found == name);
            register
                .map(|(_, handle)| *handle)
                .ok_or_else(|| format!("QEMU's processor has no register {name}"))
        };
        let mut handles = Self {
            general: [std::ptr::null_mut(); 31],
            system: [std::ptr::null_mut(); 6],
            cpsr: handle("cpsr")?,
            // SAFETY: the function has no conditions.
            buffer: unsafe { qemu::g_byte_array_new() },
        };
        for (number, slot) in handles.general.iter_mut().enumerate() {
            *slot = handle(&format!("x{number}"))?;
        }
        for (slot, (name, _)) in handles.system.iter_mut().zip(SYSTEM) {
            *slot = handle(name)?;
        }
        Ok(handles)
    }

    fn read(&self, handle: *mut c_void) -> u64 {
        // SAFETY: the buffer is a valid array; QEMU appends to it.
        unsafe { qemu::g_byte_array_set_size(self.buffer, 0) };
        // SAFETY: the handle came from QEMU, and a processor is running.
        let len = unsafe { qemu::qemu_plugin_read_register(handle, self.buffer) };
        let mut bytes = [0; 8];
        let len = usize::try_from(len).unwrap_or(0).min(bytes.len());
        // SAFETY: the buffer is a valid array.
        let data = unsafe { (*self.buffer).data };
        // SAFETY: QEMU has just written so many bytes there.
        unsafe { data.copy_to_nonoverlapping(bytes.as_mut_ptr(), len) };
        u64::from_le_bytes(bytes)
    }
}

impl Registers for Handles {
    fn general(&self, number: u8) -> u64 {
        let handle = self.general.get(usize::from(number));
        handle.map_or(0, |handle| self.read(*handle))
    }

    fn exception_level(&self) -> u8 {
        u8::try_from(self.read(self.cpsr) >> 2 & 3).unwrap_or(0)
    }

    fn system(&self, register: SystemRegister) -> u64 {
        let index = SYSTEM.iter().position(|(_, r)| *r == register);
        index.map_or(0, |index| self.read(self.system[index]))
    }
}
