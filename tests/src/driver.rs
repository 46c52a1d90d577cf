// SPDX-License-Identifier: MIT OR Apache-2.0

//! Unbinding and binding the device, unloading and loading the module.

use crate::{node, Errno};
use nix::kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Where sysfs shows the driver.
pub const SYSFS: &str = "/sys/bus/platform/drivers/fpgamem";

/// Where the test image has the module.
const MODULE: &str = "/lib/modules/fpgamem.ko";

/// Where an image has it that is made by recipes: there it belongs to a release of the kernel.
fn packaged_module() -> PathBuf {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("proc is mounted");
    Path::new("/lib/modules")
        .join(release.trim())
        .join("updates/fpgamem.ko")
}

/// The name of the platform device behind the node under test.
///
/// # Panics
///
/// Where there is none.
pub fn device_name() -> String {
    let link = std::fs::read_link("/sys/class/misc/fpgamem0/device");
    let link = link.unwrap_or_else(|error| panic!("fpgamem0 has no parent device: {error}"));
    let name = link.file_name().expect("a device has a name");
    name.to_str().expect("device names are ASCII").to_owned()
}

/// The device under test without its driver; bound again on drop.
#[derive(Debug)]
pub struct Unbound {
    device: String,
    bound: bool,
}

impl Unbound {
    /// Unbinds the device under test.
    ///
    /// # Panics
    ///
    /// Where that fails.
    pub fn new() -> Self {
        let device = device_name();
        std::fs::write(Path::new(SYSFS).join("unbind"), &device).expect("unbinding succeeds");
        Self {
            device,
            bound: false,
        }
    }

    /// The name of the platform device.
    pub fn name(&self) -> &str {
        &self.device
    }

    /// Binds the device again.
    ///
    /// # Panics
    ///
    /// Where that fails.
    pub fn bind(mut self) {
        self.bind_now().expect("binding succeeds");
    }

    /// Says that something else has bound the device.
    pub fn is_bound_again(mut self) {
        self.bound = true;
    }

    fn bind_now(&mut self) -> std::io::Result<()> {
        self.bound = true;
        bind(&self.device)
    }
}

impl Default for Unbound {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        if !self.bound {
            let result = self.bind_now();
            assert!(
                std::thread::panicking() || result.is_ok(),
                "binding again: {result:?}"
            );
        }
    }
}

/// Asks the driver to bind a platform device.
pub fn bind(device: &str) -> std::io::Result<()> {
    std::fs::write(Path::new(SYSFS).join("bind"), device)
}

/// Asks the driver to let go of a platform device.
pub fn unbind(device: &str) -> std::io::Result<()> {
    std::fs::write(Path::new(SYSFS).join("unbind"), device)
}

/// The driver that a platform device is bound to, by name.
pub fn driver_of(device: &str) -> Option<String> {
    let link = Path::new("/sys/bus/platform/devices")
        .join(device)
        .join("driver");
    let path: PathBuf = std::fs::read_link(link).ok()?;
    Some(path.file_name()?.to_str()?.to_owned())
}

/// Unloads the module, without waiting for its users.
pub fn unload() -> Result<(), Errno> {
    delete_module(c"fpgamem", DeleteModuleFlags::O_NONBLOCK)
}

/// Loads the module.
pub fn load() -> Result<(), Errno> {
    load_file(&module_file())
}

/// The module, to be loaded by [`load_file`].
///
/// # Panics
///
/// Where the test image has none.
pub fn module_file() -> File {
    let packaged = packaged_module();
    File::open(MODULE)
        .or_else(|_| File::open(&packaged))
        .unwrap_or_else(|error| panic!("neither {MODULE} nor {}: {error}", packaged.display()))
}

/// Loads the module from its open file.
pub fn load_file(file: &File) -> Result<(), Errno> {
    finit_module(file, c"", ModuleInitFlags::empty())
}

/// Whether the module is loaded.
pub fn is_loaded() -> bool {
    let modules = std::fs::read_to_string("/proc/modules").expect("the kernel has modules");
    modules.lines().any(|line| line.starts_with("fpgamem "))
}

/// Loads the module again on drop if a failed test left it unloaded.
#[derive(Debug)]
#[must_use = "the module is loaded on drop"]
pub struct Reload;

impl Drop for Reload {
    fn drop(&mut self) {
        if !is_loaded() {
            let result = load();
            assert!(
                std::thread::panicking() || result.is_ok(),
                "loading again: {result:?}"
            );
        }
    }
}

/// Whether the node under test exists.
pub fn node_exists() -> bool {
    Path::new(node::PATH).exists()
}
