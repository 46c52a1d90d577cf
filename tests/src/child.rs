// SPDX-License-Identifier: MIT OR Apache-2.0

//! Child processes that run a closure and talk to the test by two pipes.

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::sys::signal::{self, Signal};
use nix::sys::socket::{recvmsg, sendmsg, ControlMessage, ControlMessageOwned, MsgFlags};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{fork, ForkResult, Pid};
use std::io::{ErrorKind, IoSlice, IoSliceMut, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// First byte of a message that carries a number.
const NUMBER: u8 = b'n';
/// First byte of a message that carries the text of a panic.
const PANIC: u8 = b'p';

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Exit {
    /// By exit with this status.
    Status(i32),
    /// By this signal.
    Signal(Signal),
}

/// One end of the connection between a test and its child.
#[derive(Debug)]
pub struct Link {
    input: PipeReader,
    output: PipeWriter,
}

impl Link {
    /// Two ends that are connected with each other.
    fn pair() -> (Self, Self) {
        let (a_input, b_output) = std::io::pipe().expect("descriptors are free");
        let (b_input, a_output) = std::io::pipe().expect("descriptors are free");
        (
            Self {
                input: a_input,
                output: a_output,
            },
            Self {
                input: b_input,
                output: b_output,
            },
        )
    }

    /// Sends a number.
    pub fn send(&mut self, number: u64) {
        let mut message = vec![NUMBER];
        message.extend(number.to_ne_bytes());
        self.output
            .write_all(&message)
            .expect("the other end listens");
    }

    /// Waits for a number.
    ///
    /// # Panics
    ///
    /// With the text of the other end's panic, or because it is gone.
    pub fn receive(&mut self) -> u64 {
        self.next().expect("the other end is alive")
    }

    /// The next number, or nothing once the other end is closed.
    fn next(&mut self) -> Option<u64> {
        let mut tag = [0];
        match self.input.read(&mut tag) {
            Ok(0) => return None,
            Ok(_) => {}
            // Only after the child's end, in wait().
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("pipes are readable: {error}"),
        }
        let mut number = [0; 8];
        self.input
            .read_exact(&mut number)
            .expect("messages are whole");
        let number = u64::from_ne_bytes(number);
        if tag[0] == PANIC {
            let mut text = vec![0; number.try_into().expect("a text fits")];
            self.input
                .read_exact(&mut text)
                .expect("messages are whole");
            panic!("in the child: {}", String::from_utf8_lossy(&text));
        }
        Some(number)
    }

    /// Waits until the other end is closed, by its owner, its owner's exec or its owner's end.
    pub fn wait_for_close(&mut self) {
        assert_eq!(self.next(), None, "the other end sends no more");
    }
}

/// A child process; it is killed on drop.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    reaped: bool,
    /// Connects to the [`Link`] that the child's closure gets.
    pub link: Link,
}

impl Child {
    /// Runs `body` in a forked child, which then exits with status 0. A panic in it reaches the
    /// test through the link.
    pub fn start(body: impl FnOnce(&mut Link)) -> Self {
        let (link, mut child_link) = Link::pair();
        // SAFETY: of the parent's threads only this one goes on in the child; the test program's
        // other one waits and holds no lock, and the C library takes care of its own.
        match unsafe { fork() }.expect("a process is free") {
            ForkResult::Parent { child: pid } => Self {
                pid,
                reaped: false,
                link,
            },
            ForkResult::Child => {
                drop(link);
                report_panics(&child_link);
                body(&mut child_link);
                exit_now(0)
            }
        }
    }

    /// The process ID.
    pub fn pid(&self) -> u64 {
        u64::from(self.pid.as_raw().unsigned_abs())
    }

    /// Waits for the end.
    ///
    /// # Panics
    ///
    /// With the text of the child's panic, if it had one.
    pub fn wait(mut self) -> Exit {
        let exit = self.reap();
        // A process that the child has started may keep the pipe open.
        fcntl(&self.link.input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("the pipe is open");
        while self.link.next().is_some() {}
        exit
    }

    /// Forgets a child that has been waited for otherwise. Its link is closed.
    pub fn was_reaped(mut self) {
        self.reaped = true;
    }

    /// Whether it has ended, with status 0.
    ///
    /// # Panics
    ///
    /// Where it has ended otherwise, with the text of its panic.
    pub fn has_ended(&mut self) -> bool {
        if self.reaped {
            return true;
        }
        match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)).expect("the child is ours") {
            WaitStatus::StillAlive => return false,
            WaitStatus::Exited(_, 0) => {}
            other => {
                self.reaped = true;
                self.link.wait_for_close();
                panic!("the child ended: {other:?}");
            }
        }
        self.reaped = true;
        true
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(mut self) -> Exit {
        signal::kill(self.pid, Signal::SIGKILL).expect("the child is ours");
        self.reap()
    }

    /// Waits for the end and panics unless it is exit status 0.
    pub fn succeed(self) {
        assert_eq!(self.wait(), Exit::Status(0));
    }

    fn reap(&mut self) -> Exit {
        self.reaped = true;
        loop {
            match waitpid(self.pid, None) {
                Ok(WaitStatus::Exited(_, status)) => return Exit::Status(status),
                Ok(WaitStatus::Signaled(_, signal, _)) => return Exit::Signal(signal),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => panic!("waitpid: {error}"),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            // A child that is gone already still waits to be reaped, so the signal cannot go astray.
            signal::kill(self.pid, Signal::SIGKILL).ok();
            self.reap();
        }
    }
}

/// Runs `body` in a child and panics if it does.
pub fn in_child(body: impl FnOnce()) {
    Child::start(|_| body()).succeed();
}

/// Ends the process at once, without any destructor.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: the call has no condition.
    unsafe { libc::_exit(status) }
}

/// Makes a panic of this process go out through `link` and end the process.
fn report_panics(link: &Link) {
    let output = link.output.try_clone().expect("a descriptor is free");
    std::panic::set_hook(Box::new(move |info| {
        let text = info.to_string().into_bytes();
        let mut message = vec![PANIC];
        message.extend((text.len() as u64).to_ne_bytes());
        message.extend(text);
        // Without a reader there is nobody to tell; the status tells the rest.
        drop((&output).write_all(&message));
        exit_now(101);
    }));
}

/// Sends a descriptor to another process.
pub fn send_descriptor(socket: &UnixStream, descriptor: impl AsFd) {
    let descriptors = [descriptor.as_fd().as_raw_fd()];
    let control = [ControlMessage::ScmRights(&descriptors)];
    let bytes = [IoSlice::new(&[0])];
    sendmsg::<()>(
        socket.as_raw_fd(),
        &bytes,
        &control,
        MsgFlags::empty(),
        None,
    )
    .expect("the other end listens");
}

/// Receives a descriptor from another process.
pub fn receive_descriptor(socket: &UnixStream) -> OwnedFd {
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!(std::os::fd::RawFd);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut bytes, Some(&mut space), flags)
        .expect("the other end sends");
    for control in message.cmsgs().expect("the space suffices") {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            // SAFETY: the kernel has just made the descriptor for us, and nobody else knows it.
            return unsafe { OwnedFd::from_raw_fd(descriptors[0]) };
        }
    }
    panic!("the message carries no descriptor");
}
