// SPDX-License-Identifier: MIT OR Apache-2.0

//! Modules that carry out the commands for an accelerator.

use crate::Errno;
use nix::kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags};
use std::ffi::CString;
use std::fs::File;

/// A loaded module, which is unloaded on drop.
#[derive(Debug)]
#[must_use = "the module is unloaded on drop"]
pub struct Accelerator {
    name: &'static str,
    loaded: bool,
}

impl Accelerator {
    /// The sample, which copies.
    pub const SAMPLE: &'static str = "fpgamem_pe_bypass";

    /// Loads a module of the test image.
    pub fn load(name: &'static str) -> Result<Self, Errno> {
        let path = format!("/lib/modules/{name}.ko");
        let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        finit_module(&file, c"", ModuleInitFlags::empty())?;
        Ok(Self { name, loaded: true })
    }

    /// Unloads the module, without waiting for its users.
    pub fn unload(&mut self) -> Result<(), Errno> {
        let name = CString::new(self.name).expect("a name");
        delete_module(&name, DeleteModuleFlags::O_NONBLOCK)?;
        self.loaded = false;
        Ok(())
    }
}

impl Drop for Accelerator {
    fn drop(&mut self) {
        if self.loaded {
            let result = self.unload();
            assert!(
                std::thread::panicking() || result.is_ok(),
                "unloading {}: {result:?}",
                self.name
            );
        }
    }
}
