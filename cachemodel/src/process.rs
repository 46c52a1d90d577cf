// SPDX-License-Identifier: GPL-2.0-or-later

//! Which process runs: read from the kernel's memory, for which System.map is enough.
//!
//! The layout of `struct task_struct` depends on the kernel's configuration. Two fields are found in
//! `init_task`, whose content is known: its name, and its parents, itself, which follow the
//! process's number.

/// Reads the kernel's memory by virtual address.
pub trait KernelMemory {
    /// Fills `bytes` from `address` on; `None` if that is not mapped.
    fn read(&self, address: u64, bytes: &mut [u8]) -> Option<()>;

    /// An 8-byte word.
    fn read_u64(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Some(u64::from_le_bytes(bytes))
    }
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its number, that of the thread group.
    pub pid: u32,
    /// The name of the running thread: at most 15 bytes.
    pub name: String,
}

/// Addresses of the kernel's symbols that are needed.
#[derive(Clone, Copy, Debug)]
pub struct Anchors {
    /// `init_task`
    pub init_task: u64,
    /// `__entry_task`, in the template of the per-processor data.
    pub entry_task: u64,
}

/// Where in `struct task_struct` the fields are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    tgid: u64,
    comm: u64,
}

/// Bytes that are searched for the fields.
const TASK_BYTES: usize = 8192;

/// Bytes of the name.
const COMM_BYTES: usize = 16;

impl Layout {
    /// Finds the fields in `init_task`.
    pub fn find(memory: &impl KernelMemory, anchors: &Anchors) -> Option<Self> {
        let task = anchors.init_task;
        let words = (0..TASK_BYTES as u64 / 8)
            .map_while(|word| memory.read_u64(task + word * 8))
            .collect::<Vec<_>>();
        let parents = words.windows(2).position(|pair| pair == [task, task])?;
        // The canary of the stack protector, if there is one, lies between.
        let before = parents.checked_sub(1)?;
        let pids = if words[before] == 0 {
            before
        } else {
            before.checked_sub(1)?
        };
        let swapper = u64::from_le_bytes(*b"swapper\0");
        let mask = u64::MAX >> 8;
        let comm = words
            .iter()
            .position(|word| word & mask == swapper & mask)?;
        Some(Self {
            tgid: pids as u64 * 8 + 4,
            comm: comm as u64 * 8,
        })
    }

    /// The process that runs on the processor whose per-processor data is at `offset`.
    pub fn current(
        &self,
        memory: &impl KernelMemory,
        anchors: &Anchors,
        offset: u64,
    ) -> Option<Process> {
        let task = memory.read_u64(anchors.entry_task.wrapping_add(offset))?;
        let mut pid = [0; 4];
        memory.read(task + self.tgid, &mut pid)?;
        let mut comm = [0; COMM_BYTES];
        memory.read(task + self.comm, &mut comm)?;
        let end = comm
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(COMM_BYTES);
        Some(Process {
            pid: u32::from_le_bytes(pid),
            name: String::from_utf8_lossy(&comm[..end]).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::tests::Ram;
    use crate::memory::Memory;

    const INIT_TASK: u64 = 0x1000;
    const TASK: u64 = 0x4000;
    const ANCHORS: Anchors = Anchors {
        init_task: INIT_TASK,
        entry_task: 0xffff_ffff_ffff_f000,
    };

    impl KernelMemory for Ram {
        fn read(&self, address: u64, bytes: &mut [u8]) -> Option<()> {
            self.holds(address, bytes.len() as u64).then(|| {
                Memory::read(self, address, bytes);
            })
        }
    }

    fn kernel(canary: Option<u64>) -> Ram {
        let mut ram = Ram::new(0, 0x8000);
        let mut at = 0x500;
        for (task, pid, name) in [(INIT_TASK, 0, "swapper/0"), (TASK, 71, "hand_over")] {
            at = 0x500;
            ram.write_u64(task + at, pid << 32 | (pid + u64::from(pid != 0)));
            if let Some(canary) = canary {
                at += 8;
                ram.write_u64(task + at, canary);
            }
            ram.write_u64(task + at + 8, INIT_TASK);
            ram.write_u64(task + at + 16, INIT_TASK);
            ram.write(task + 0x700, name.as_bytes());
        }
        assert!(at < 0x700);
        ram.write_u64(0x7000, TASK);
        ram
    }

    #[test]
    fn the_running_process_is_named() {
        for canary in [None, Some(0x1234_5678_9abc_de00)] {
            let kernel = kernel(canary);
            let layout = Layout::find(&kernel, &ANCHORS).unwrap();
            let process = layout.current(&kernel, &ANCHORS, 0x8000).unwrap();
            assert_eq!((process.pid, process.name.as_str()), (71, "hand_over"));
        }
    }

    #[test]
    fn a_kernel_that_looks_different_gives_no_layout() {
        let ram = Ram::new(0, 0x8000);
        assert_eq!(Layout::find(&ram, &ANCHORS), None);
    }
}
