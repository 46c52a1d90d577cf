// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a piece of a program does with the caches and with the kernel, instruction by instruction: a
//! debugger follows it in a child process.

use crate::child::exit_now;
use crate::{Child, Link};
use nix::sys::ptrace;
use nix::sys::signal::{raise, Signal};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::Pid;
use std::arch::asm;

/// A hint that no processor gives a meaning to: `hint #127`.
const MARK: u32 = 0xd503_2fff;
const DSB_SY: u32 = 0xd503_3f9f;
const SVC: u32 = 0xd400_0001;
/// DC CVAC and DC CIVAC, without the register.
const DC_CVAC: u32 = 0xd50b_7a20;
const DC_CIVAC: u32 = 0xd50b_7e20;

/// An instruction that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// DC CVAC of an address.
    Clean(u64),
    /// DC CIVAC of an address.
    CleanInvalidate(u64),
    /// DSB SY.
    Barrier,
    /// A system call, by its number.
    Call(u64),
}

/// What `work` does between `prepare` and the end of the child, whose address space is its own.
///
/// # Panics
///
/// Where the child does not end well.
pub fn of<T, R>(
    prepare: impl FnOnce(&mut Link) -> T,
    work: impl FnOnce(T) -> R,
    finish: impl FnOnce(R),
) -> (Vec<Step>, Child) {
    let child = Child::start(|link| {
        let prepared = prepare(link);
        ptrace::traceme().expect("nobody traces it");
        raise(Signal::SIGSTOP).expect("it may stop");
        mark();
        let result = work(prepared);
        mark();
        finish(result);
        exit_now(0);
    });
    let pid = Pid::from_raw(child.pid().try_into().expect("process IDs are small"));
    let tracee = Tracee(pid);
    tracee.expect(Signal::SIGSTOP);
    while tracee.next().instruction != MARK {}
    let mut steps = Vec::new();
    loop {
        let Next {
            instruction,
            register,
        } = tracee.next();
        match instruction & !0x1f {
            _ if instruction == MARK => break,
            _ if instruction == DSB_SY => steps.push(Step::Barrier),
            _ if instruction == SVC => steps.push(Step::Call(register)),
            DC_CVAC => steps.push(Step::Clean(register)),
            DC_CIVAC => steps.push(Step::CleanInvalidate(register)),
            _ => {}
        }
    }
    ptrace::detach(pid, None).expect("it is stopped");
    (steps, child)
}

#[inline(never)]
fn mark() {
    // SAFETY: a hint that no processor knows does nothing.
    unsafe { asm!("hint #127") };
}

/// A stopped process.
struct Tracee(Pid);

/// The instruction that a process has executed.
struct Next {
    instruction: u32,
    /// The register that it names, before it; of a system call, its number.
    register: u64,
}

impl Tracee {
    /// Executes one instruction. A store-exclusive would never succeed, because of the exception
    /// before it, so it is done here: the process has one thread, which has loaded what it stores to.
    fn next(&self) -> Next {
        let mut registers = ptrace::getregs(self.0).expect("it is stopped");
        let instruction = self.fetch(registers.pc);
        let value = |number: u32| registers.regs.get(number as usize).copied();
        let named = if instruction == SVC {
            8
        } else {
            instruction & 0x1f
        };
        let register = value(named).unwrap_or(0);
        if is_store_exclusive(instruction) {
            let (base, status) = (instruction >> 5 & 0x1f, instruction >> 16 & 0x1f);
            let address = value(base).unwrap_or(registers.sp);
            self.store(address, register, 1 << (instruction >> 30));
            if let Some(status) = registers.regs.get_mut(status as usize) {
                *status = 0;
            }
            registers.pc += 4;
            ptrace::setregs(self.0, registers).expect("it is stopped");
        } else {
            ptrace::step(self.0, None).expect("it is stopped");
            self.expect(Signal::SIGTRAP);
        }
        Next {
            instruction,
            register,
        }
    }

    fn fetch(&self, place: u64) -> u32 {
        let halves = self.word(place).to_le_bytes();
        let [a, b, c, d, e, f, g, h] = halves;
        u32::from_le_bytes(if place & 4 == 0 {
            [a, b, c, d]
        } else {
            [e, f, g, h]
        })
    }

    /// The aligned word of 8 bytes around an address.
    fn word(&self, address: u64) -> i64 {
        ptrace::read(self.0, (address & !7) as ptrace::AddressType).expect("it is mapped")
    }

    /// Stores the lower `bytes` bytes of a value to an address that is a multiple of them.
    fn store(&self, address: u64, value: u64, bytes: usize) {
        let at = usize::try_from(address & 7).unwrap_or(0);
        let mut word = self.word(address).to_le_bytes();
        let value = value.to_le_bytes();
        word[at..at + bytes].copy_from_slice(&value[..bytes]);
        let aligned = (address & !7) as ptrace::AddressType;
        ptrace::write(self.0, aligned, i64::from_le_bytes(word)).expect("it is mapped");
    }

    fn expect(&self, signal: Signal) {
        match waitpid(self.0, None).expect("it is our child") {
            WaitStatus::Stopped(_, stopped) if stopped == signal => {}
            other => panic!("{other:?} instead of {signal}"),
        }
    }
}

/// STXR, STLXR and their kin for one register.
fn is_store_exclusive(instruction: u32) -> bool {
    instruction & 0x3fe0_0000 == 0x0800_0000
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::sync::atomic::{AtomicU8, Ordering};

    #[test]
    fn knows_exclusive_stores() {
        // stxr w9, w8, [x0]; stlxr w1, x2, [x3]
        for store in [0x8809_7c08, 0xc801_fc62] {
            assert!(is_store_exclusive(store));
        }
        // ldaxr w8, [x0]; ldar w0, [x1]; stlr w0, [x1]; ldr x0, [x1]
        for other in [0x885f_fc08, 0x88df_fc20, 0x889f_fc20, 0xf940_0020] {
            assert!(!is_store_exclusive(other));
        }
    }

    #[test]
    fn a_child_is_followed() {
        let (steps, child) = of(
            |_| (),
            |()| {
                nix::unistd::getppid();
                let byte = AtomicU8::new(7);
                let old = black_box(&byte).fetch_add(1, Ordering::SeqCst);
                (old, byte.into_inner())
            },
            |bytes| assert_eq!(bytes, (7, 8)),
        );
        child.succeed();
        // getppid, and nothing else.
        assert_eq!(steps, [Step::Call(173)]);
    }
}
