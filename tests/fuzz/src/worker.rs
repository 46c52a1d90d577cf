// SPDX-License-Identifier: MIT OR Apache-2.0

//! A worker: does what it is told, one request at a time.

use crate::coverage::Trace;
use crate::message::{Action, Answer, Request, Socket, PAYLOAD};
use crate::{storm, sys};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

const NODE: &str = "/dev/fpgamem0";
const PADDLE_NODE: &str = "/dev/fpgadrv0";

/// A user without any rights.
const NOBODY: u64 = 65534;

/// Serves requests until the coordinator is gone.
pub(crate) fn run(socket: OwnedFd) -> ! {
    sys::end_with_parent();
    let status = match serve(socket.into()) {
        Ok(()) | Err(Errno::EPIPE) => 0,
        Err(_) => 1,
    };
    sys::exit(status)
}

/// Maps the scratch page of a worker that is no copy of another one.
pub(crate) fn map_scratch() -> Result<(), Errno> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    sys::map(sys::SCRATCH, sys::PAGE, flags, u64::MAX).map(drop)
}

fn serve(mut socket: Socket) -> Result<(), Errno> {
    let mut trace = Trace::start()?;
    loop {
        let (request, file) = socket.receive_request()?;
        if request.action == Action::Exit {
            sys::exit(i32::try_from(request.args[0]).unwrap_or(1));
        }
        let mut answer = Answer {
            result: Ok(0),
            payload: request.payload,
        };
        let mut given: Option<RawFd> = None;
        match (request.action, file) {
            (Action::Fork, Some(end)) => match sys::fork_sibling() {
                Ok(None) => {
                    sys::end_with_parent();
                    socket = end.into();
                    drop(trace);
                    trace = Trace::start()?;
                    continue;
                }
                Ok(Some(pid)) => answer.result = Ok(pid),
                Err(errno) => answer.result = Err(errno),
            },
            (Action::Take, Some(file)) => {
                answer.result = Ok(u64::from(file.into_raw_fd().unsigned_abs()));
            }
            (Action::Give, _) => given = i32::try_from(request.args[0]).ok(),
            _ if request.thread => {
                let work = || in_thread(&request, &mut answer);
                let done = std::thread::scope(|scope| scope.spawn(work).join());
                if !matches!(done, Ok(Ok(()))) {
                    answer.result = Err(Errno::EPROTO);
                }
            }
            _ => carry_out(&request, &mut answer),
        }
        if let Some(trace) = &trace {
            trace.collect();
        }
        socket.send_answer(&answer, given)?;
    }
}

fn in_thread(request: &Request, answer: &mut Answer) -> Result<(), Errno> {
    let trace = Trace::start()?;
    carry_out(request, answer);
    if let Some(trace) = trace {
        trace.collect();
    }
    Ok(())
}

fn carry_out(request: &Request, answer: &mut Answer) {
    let args = request.args;
    answer.result = match request.action {
        Action::Syscall => {
            let [number, a, b, c, d, e, f] = args;
            sys::syscall(number, [a, b, c, d, e, f])
        }
        Action::Ioctl => ioctl(request, &mut answer.payload, false),
        Action::IoctlAsNobody => as_nobody().and_then(|()| {
            // The node was opened before.
            ioctl(request, &mut answer.payload, false)
        }),
        Action::IoctlReadOnly => ioctl(request, &mut answer.payload, true),
        Action::Open => open(args[0] == 1, args[1] == 1),
        Action::Load => Ok(sys::load(args[0])),
        Action::Store => {
            sys::store(args[0], args[1]);
            Ok(0)
        }
        Action::Digest => Ok(digest(
            (0..sys::PAGE / 8).map(|i| (i, sys::load(args[0] + i * 8))),
        )),
        Action::Fdinfo => fdinfo(args[0], &mut answer.payload),
        Action::Storm => storm::carry_out(&args, &mut answer.payload),
        Action::Fork | Action::Exit | Action::Give | Action::Take => Err(Errno::EPROTO),
    };
}

/// Sums up words by their place in a page; words of zero need not be told.
pub(crate) fn digest(words: impl Iterator<Item = (u64, u64)>) -> u64 {
    words.fold(0, |sum: u64, (index, word)| {
        sum.wrapping_add(word.wrapping_mul(2 * index + 1))
    })
}

/// Makes this thread, which ends soon, one of a user without rights.
fn as_nobody() -> Result<(), Errno> {
    let args = [NOBODY, NOBODY, NOBODY, 0, 0, 0];
    sys::syscall(libc::SYS_setresuid.unsigned_abs(), args).map(drop)
}

fn protect_scratch(protection: i32) -> Result<u64, Errno> {
    let protection = protection.unsigned_abs().into();
    let args = [sys::SCRATCH, sys::PAGE, protection, 0, 0, 0];
    sys::syscall(libc::SYS_mprotect.unsigned_abs(), args)
}

fn ioctl(request: &Request, payload: &mut [u64; PAYLOAD], read_only: bool) -> Result<u64, Errno> {
    let [descriptor, command, argument, ..] = request.args;
    // The argument lies in the scratch page, or its first bytes do.
    let in_scratch = argument.wrapping_sub(sys::SCRATCH) < sys::PAGE;
    let base = if in_scratch { argument } else { sys::SCRATCH };
    let places = (base..sys::SCRATCH + sys::PAGE).step_by(8);
    for (address, word) in places.clone().zip(payload.iter()) {
        sys::store(address, *word);
    }
    if read_only {
        protect_scratch(libc::PROT_READ)?;
    }
    let args = [descriptor, command, argument, 0, 0, 0];
    let result = sys::syscall(libc::SYS_ioctl.unsigned_abs(), args);
    if read_only {
        protect_scratch(libc::PROT_READ | libc::PROT_WRITE)?;
    }
    for (address, word) in places.zip(payload.iter_mut()) {
        *word = sys::load(address);
    }
    result
}

/// Opens the native node or Paddle's.
pub(crate) fn open(read_only: bool, paddle: bool) -> Result<u64, Errno> {
    let node = if paddle { PADDLE_NODE } else { NODE };
    let mode = if read_only {
        OFlag::O_RDONLY
    } else {
        OFlag::O_RDWR
    };
    let file = nix::fcntl::open(node, mode | OFlag::O_CLOEXEC, Mode::empty())?;
    let descriptor = file.as_raw_fd().unsigned_abs();
    // Descriptors are numbers here, closed when the coordinator says so.
    let _ = file.into_raw_fd();
    Ok(descriptor.into())
}

fn fdinfo(descriptor: u64, payload: &mut [u64; PAYLOAD]) -> Result<u64, Errno> {
    let path = format!("/proc/self/fdinfo/{descriptor}");
    let text = std::fs::read_to_string(path).map_err(|_| Errno::ENOENT)?;
    for (word, key) in payload.iter_mut().zip(["buffers", "bytes", "handles"]) {
        let line = text.lines().find_map(|line| {
            let rest = line.strip_prefix("fpgamem-")?.strip_prefix(key)?;
            rest.strip_prefix(":\t")?.parse().ok()
        });
        *word = line.ok_or(Errno::EBADMSG)?;
    }
    Ok(0)
}
