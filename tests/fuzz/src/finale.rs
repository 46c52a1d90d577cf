// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a run does once, at its end, because it takes long, ends every open file or changes what all
//! users may have: waiting for a quarantine, a limit, and unbinding the device.

use crate::coverage::Trace;
use crate::fuzzer::{same, Fuzzer};
use crate::mappings::{FIXED_NOREPLACE, READ, SHARED};
use crate::sys::PAGE;
use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::user_limit::{become_user, UserLimit};
use fpgamem_tests::{abi, driver, in_child, request, Errno, Node, Stats};

/// A user without any rights.
const NOBODY: u32 = 65534;

/// A command of each kind that the native node takes, and Paddle's.
const NATIVE: [u32; 12] = [
    abi::IOC_INFO,
    abi::IOC_ALLOC,
    abi::IOC_FREE,
    abi::IOC_QUERY,
    abi::IOC_USER_TO_PHYS,
    abi::IOC_PHYS_TO_USER,
    abi::IOC_FLUSH,
    abi::IOC_INVALIDATE,
    abi::IOC_SYNC,
    abi::IOC_SET_OWNER,
    abi::IOC_QUIET,
    paddle::B_FLUSH,
];
const PADDLE: [u32; 3] = [paddle::A_DEVICE_INFO, paddle::A_VERSION, paddle::A_FLUSH];

impl Fuzzer {
    /// Unbinds the device while all is live and binds it again: files that were open before get
    /// nothing but `ENODEV`, and buffers stay what and where they are.
    pub(crate) fn rebind(&mut self) -> Result<(), String> {
        if self.model.buffers.is_empty() {
            // The pool would end, and begin with other counts.
            return Ok(());
        }
        let device = driver::device_name();
        driver::unbind(&device).map_err(|error| format!("unbind: {error}"))?;
        let processes: Vec<u32> = self.model.processes.keys().copied().collect();
        for process in &processes {
            self.use_after_unbind(*process)?;
        }
        driver::bind(&device).map_err(|error| format!("bind: {error}"))?;
        self.node = Node::open();
        self.totals()?;
        for process in processes {
            self.use_after_unbind(process)?;
        }
        Ok(())
    }

    /// The descriptors of a worker serve for nothing, its mappings as before.
    fn use_after_unbind(&mut self, process: u32) -> Result<(), String> {
        for (descriptor, file) in self.model.processes[&process].descriptors.clone() {
            let is_paddle = self.model.files[&file].paddle;
            let (commands, offsets) = match is_paddle {
                true => (&PADDLE[..], &[0, paddle::REGISTERS][..]),
                false => (&NATIVE[..], &[0, abi::MMAP_STATUS_OFFSET][..]),
            };
            for command in commands {
                let answer = self.ioctl(process, descriptor, *command, &[])?;
                same("ioctl without a device", Err(Errno::ENODEV), answer.result)?;
            }
            for offset in offsets {
                let place = self.place(process, PAGE);
                let flags = SHARED | FIXED_NOREPLACE;
                let args = [place, PAGE, READ.into(), flags, descriptor, *offset];
                let result = self.syscall(process, libc::SYS_mmap, &args)?;
                same("mmap without a device", Err(Errno::ENODEV), result)?;
            }
        }
        for _ in 0..8 {
            self.digest()?;
        }
        Ok(())
    }

    /// An allocation of everything while blocks are quarantined, in a pool that nobody uses, waits
    /// until they are free.
    pub(crate) fn wait_for_quarantine(&mut self) -> Result<(), String> {
        let fail = |what: &'static str| move |errno: Errno| format!("{what}: {errno}");
        for _ in 0..2 {
            let marked = self.node.alloc(request(1)).map_err(fail("ALLOC"))?;
            let set = self.node.set_owner(marked.handle, abi::OWNER_DEVICE);
            set.map_err(fail("SET_OWNER"))?;
            self.node.free(marked.handle).map_err(fail("FREE"))?;
        }
        let all = u64::from(self.model.nr_blocks) * self.model.block_bytes;
        let all = self.node.alloc(request(all));
        let all = all.map_err(fail("an allocation that has to wait"))?;
        self.node.free(all.handle).map_err(fail("FREE"))?;
        self.model.counts.allocations += 3;
        self.model.counts.frees += 3;
        self.model.counts.quarantined += 2;
        Ok(())
    }

    /// A user without rights gets as much as the module's limit says, by handles and by mappings.
    pub(crate) fn exceed_limit(&self) -> Result<(), String> {
        let block = self.model.block_bytes;
        let _limit = UserLimit::new(3 * block);
        in_child(|| {
            let trace = Trace::start().expect("KCOV, if it is wanted");
            let node = Node::open();
            become_user(NOBODY);
            let two = node.alloc(request(2 * block)).expect("within the limit");
            let beyond = node.alloc(request(2 * block)).map(drop);
            assert_eq!(beyond, Err(Errno::ENOMEM), "beyond the limit");
            let third = node.map(block).expect("up to the limit");
            assert_eq!(node.map(block).map(drop), Err(Errno::ENOMEM));
            node.free(two.handle).expect("the handle is good");
            let again = node.map(2 * block).expect("what was freed is free to use");
            drop((third, again));
            if let Some(trace) = &trace {
                trace.collect();
            }
        });
        Ok(())
    }

    /// Unbinds the device while nobody uses its pool, which ends the pool: the next one has counts of
    /// its own.
    pub(crate) fn renew(&mut self) -> Result<(), String> {
        let device = driver::device_name();
        driver::unbind(&device).map_err(|error| format!("unbind: {error}"))?;
        let late = self.node.alloc(request(1)).map(drop);
        same("ALLOC without a device", Err(Errno::ENODEV), late)?;
        driver::bind(&device).map_err(|error| format!("bind: {error}"))?;
        self.node = Node::open();
        let stats = Stats::read();
        same("allocations of a new pool", 0, stats.allocations)?;
        same("its free blocks", stats.blocks, stats.blocks_free)
    }
}
