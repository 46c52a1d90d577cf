// SPDX-License-Identifier: MIT OR Apache-2.0

//! Modules that carry out the commands for an accelerator.

use crate::{Errno, Mapping, Node, PAGE, READ_WRITE};
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

    /// The one that does what a [`Probe`] tells it.
    pub const PROBE: &'static str = "fpgamem_pe_probe";

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

/// What the module `fpgamem_pe_probe` is told, and what it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// A user address, or an offset.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
    /// Of a sync, or a slot for a hold, or which registration.
    pub operation: u64,
    /// What the function of fpgamem returned.
    pub result: i64,
    /// Where the memory is.
    pub phys_addr: u64,
    /// Where it is for the device.
    pub device_addr: u64,
    /// Contiguous bytes.
    pub bytes: u64,
    /// `FPGAMEM_PE_*` bits.
    pub flags: u64,
}

impl Probe {
    /// The node of the module itself.
    pub const NODE: &'static str = "/dev/fpgamem-pe-probe";

    /// A command of a client: bits 15 to 8 are `'G'`.
    pub const fn call(number: u32) -> u32 {
        Self::request(b'G', number)
    }

    /// A command of that type.
    pub const fn request(kind: u8, number: u32) -> u32 {
        3 << 30 | 64 << 16 | (kind as u32) << 8 | number
    }

    /// Issues a command, and gives back the answer.
    pub fn ask(mut self, node: &Node, command: u32) -> Result<Self, Errno> {
        let memory = Mapping::anonymous(PAGE, READ_WRITE);
        let mut fields = [
            &mut self.addr,
            &mut self.len,
            &mut self.operation,
            &mut 0,
            &mut self.phys_addr,
            &mut self.device_addr,
            &mut self.bytes,
            &mut self.flags,
        ];
        for (place, field) in (0..).step_by(8).zip(&fields) {
            memory.store(place, **field);
        }
        node.command_at(command, &memory, 0)?;
        for (place, field) in (0..).step_by(8).zip(&mut fields) {
            **field = memory.load(place);
        }
        self.result = memory.load(24).cast_signed();
        Ok(self)
    }
}

/// Commands of the module `fpgamem_pe_probe`: those of clients, and then those of its own node.
pub mod command {
    use super::Probe;

    /// Translate.
    pub const TRANSLATE: u32 = Probe::call(0xf0);
    /// Sync.
    pub const SYNC: u32 = Probe::call(0xf1);
    /// Hold, in the slot that `operation` names.
    pub const HOLD: u32 = Probe::call(0xf2);
    /// Wait for [`GO`].
    pub const WAIT: u32 = Probe::call(0xf3);
    /// Return `addr`.
    pub const RETURN: u32 = Probe::call(0xf4);
    /// Translate with the call that waits.
    pub const AS_OTHER: u32 = Probe::call(0xf5);
    /// Translate, but say nowhere where the answer goes.
    pub const NULL: u32 = Probe::call(0xf6);
    /// [`RETURN`] with the type of the oldest clients.
    pub const OLD: u32 = Probe::request(b'A', 0xf4);

    /// Register.
    pub const REGISTER: u32 = Probe::request(b'P', 1);
    /// Unregister; `EBUSY` if a call was carried out after that.
    pub const UNREGISTER: u32 = Probe::request(b'P', 2);
    /// Returns once a call waits.
    pub const ARRIVED: u32 = Probe::request(b'P', 3);
    /// Lets a call that waits go on.
    pub const GO: u32 = Probe::request(b'P', 4);
    /// Where the memory of a slot is.
    pub const PLACE: u32 = Probe::request(b'P', 5);
    /// Sync the memory of slot 0, `addr` being an offset.
    pub const HOLD_SYNC: u32 = Probe::request(b'P', 6);
    /// Release a slot.
    pub const RELEASE: u32 = Probe::request(b'P', 7);
    /// Release a slot in a kernel thread.
    pub const RELEASE_BY_THREAD: u32 = Probe::request(b'P', 8);
    /// Forget a slot, and tell its secret.
    pub const FORGET: u32 = Probe::request(b'P', 9);
    /// Take what was forgotten into a slot.
    pub const ADOPT: u32 = Probe::request(b'P', 10);
}

/// What to register.
#[derive(Clone, Copy, Debug)]
pub enum Registration {
    /// Something good.
    Good,
    /// The pool is missing.
    WithoutPool,
    /// The operations are missing.
    WithoutOperations,
    /// The only operation is missing.
    WithoutIoctl,
    /// The node is none of a pool.
    OfAnotherNode,
}

/// The module `fpgamem_pe_probe`, and an open Paddle node.
#[derive(Debug)]
pub struct Bench {
    /// The Paddle node.
    pub node: Node,
    /// The module.
    pub accelerator: Accelerator,
}

impl Bench {
    /// The module is loaded and has not registered.
    ///
    /// # Panics
    ///
    /// Where it does not load.
    #[expect(clippy::new_without_default, reason = "it loads a module")]
    pub fn new() -> Self {
        Self {
            accelerator: Accelerator::load(Accelerator::PROBE).expect("the probe loads"),
            node: Node::open_path("/dev/fpgadrv0"),
        }
    }

    /// The module is loaded and has registered.
    ///
    /// # Panics
    ///
    /// Where that fails.
    pub fn registered() -> Self {
        let bench = Self::new();
        let result = bench.register(Registration::Good);
        result.expect("nobody else has registered");
        bench
    }

    /// Issues a command of a client.
    pub fn call(&self, command: u32, probe: Probe) -> Result<Probe, Errno> {
        probe.ask(&self.node, command)
    }

    /// Tells the module something; it is not in use afterwards.
    pub fn control(&self, command: u32, probe: Probe) -> Result<Probe, Errno> {
        probe.ask(&Node::open_path(Probe::NODE), command)
    }

    /// Registers.
    pub fn register(&self, registration: Registration) -> Result<(), Errno> {
        let probe = Probe {
            operation: registration as u64,
            ..Probe::default()
        };
        self.control(command::REGISTER, probe).map(drop)
    }

    /// Unregisters.
    pub fn unregister(&self) -> Result<(), Errno> {
        self.control(command::UNREGISTER, Probe::default())
            .map(drop)
    }

    /// Holds memory in a slot.
    pub fn hold(&self, addr: u64, len: u64, slot: u64) -> Result<(), Errno> {
        let probe = Probe {
            addr,
            len,
            operation: slot,
            ..Probe::default()
        };
        let result = self.call(command::HOLD, probe)?.result;
        let errno = i32::try_from(-result).expect("an errno is small");
        if errno == 0 {
            return Ok(());
        }
        Err(Errno::from_raw(errno))
    }

    /// Releases a slot.
    ///
    /// # Panics
    ///
    /// Where the module is not there.
    pub fn release(&self, slot: u64) {
        let probe = Probe {
            operation: slot,
            ..Probe::default()
        };
        let result = self.control(command::RELEASE, probe);
        result.expect("the module is there");
    }
}
