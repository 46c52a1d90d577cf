// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the coordinator tells a worker to do, and what the worker answers: a few words each, with
//! an open file beside them where one is passed.

use crate::sys;
use nix::errno::Errno;
use nix::sys::socket::{
    recvmsg, sendmsg, socketpair, AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags,
    SockFlag, SockType,
};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Words that travel with a request and come back with its answer.
pub(crate) const PAYLOAD: usize = 40;

const WORDS: usize = PAYLOAD + 8;

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The system call of number `args[0]` with the rest of `args`.
    Syscall,
    /// Puts the payload into the scratch page and calls ioctl with `args`: descriptor, command, and
    /// address of the argument. The answer's payload is what the page holds then.
    Ioctl,
    /// The same with a scratch page that is only readable during the call.
    IoctlReadOnly,
    /// `Ioctl` of a user without rights; in a second thread only.
    IoctlAsNobody,
    /// Opens the node, for reading only if `args[0]` is 1; Paddle's if `args[1]` is 1.
    Open,
    /// Loads the word at `args[0]`.
    Load,
    /// Stores `args[1]` at `args[0]`.
    Store,
    /// The digest of the page at `args[0]`.
    Digest,
    /// Starts a worker as a copy of this one; its socket comes with the request.
    Fork,
    /// Ends with status `args[0]`.
    Exit,
    /// Answers with a copy of the descriptor `args[0]`.
    Give,
    /// Keeps the file that comes with the request.
    Take,
    /// Reads the fdinfo of the descriptor `args[0]`: buffers, bytes and handles.
    Fdinfo,
    /// Allocates and frees many times through the descriptor `args[0]`: see [`crate::storm`]. The answer's
    /// payload is where the last buffers were.
    Storm,
}

const ACTIONS: [Action; 14] = [
    Action::Syscall,
    Action::Ioctl,
    Action::IoctlReadOnly,
    Action::IoctlAsNobody,
    Action::Open,
    Action::Load,
    Action::Store,
    Action::Digest,
    Action::Fork,
    Action::Exit,
    Action::Give,
    Action::Take,
    Action::Fdinfo,
    Action::Storm,
];

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) action: Action,
    /// In a second thread of the worker.
    pub(crate) thread: bool,
    pub(crate) args: [u64; 7],
    pub(crate) payload: [u64; PAYLOAD],
}

impl Request {
    /// A request of up to seven numbers.
    pub(crate) fn new(action: Action, args: &[u64]) -> Self {
        let mut all = [0; 7];
        all[..args.len()].copy_from_slice(args);
        Self {
            action,
            thread: false,
            args: all,
            payload: [0; PAYLOAD],
        }
    }

    fn words(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        words[0] = self.action as u64 | u64::from(self.thread) << 32;
        words[1..8].copy_from_slice(&self.args);
        words[8..].copy_from_slice(&self.payload);
        words
    }

    fn from_words(words: &[u64; WORDS]) -> Self {
        let index = usize::try_from(words[0] & 0xffff_ffff).unwrap_or(usize::MAX);
        let mut request = Self::new(ACTIONS[index], &words[1..8]);
        request.thread = words[0] >> 32 != 0;
        request.payload.copy_from_slice(&words[8..]);
        request
    }
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) result: Result<u64, Errno>,
    pub(crate) payload: [u64; PAYLOAD],
}

impl Answer {
    fn words(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        match self.result {
            Ok(value) => words[1] = value,
            Err(errno) => words[0] = u64::from((errno as i32).unsigned_abs()),
        }
        words[8..].copy_from_slice(&self.payload);
        words
    }

    fn from_words(words: &[u64; WORDS]) -> Self {
        let mut payload = [0; PAYLOAD];
        payload.copy_from_slice(&words[8..]);
        let result = match i32::try_from(words[0]) {
            Ok(0) => Ok(words[1]),
            Ok(errno) => Err(Errno::from_raw(errno)),
            Err(_) => Err(Errno::EPROTO),
        };
        Self { result, payload }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl From<OwnedFd> for Socket {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl Socket {
    /// Two ends that are connected with each other.
    pub(crate) fn pair() -> Result<(Self, OwnedFd), Errno> {
        let flags = SockFlag::SOCK_CLOEXEC;
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
            .map(|(ours, theirs)| (Self(ours), theirs))
    }

    pub(crate) fn send_request(&self, request: &Request, file: Option<RawFd>) -> Result<(), Errno> {
        self.send(&request.words(), file)
    }

    pub(crate) fn receive_request(&self) -> Result<(Request, Option<OwnedFd>), Errno> {
        let (words, file) = self.receive()?;
        Ok((Request::from_words(&words), file))
    }

    pub(crate) fn send_answer(&self, answer: &Answer, file: Option<RawFd>) -> Result<(), Errno> {
        self.send(&answer.words(), file)
    }

    pub(crate) fn receive_answer(&self) -> Result<(Answer, Option<OwnedFd>), Errno> {
        let (words, file) = self.receive()?;
        Ok((Answer::from_words(&words), file))
    }

    fn send(&self, words: &[u64; WORDS], file: Option<RawFd>) -> Result<(), Errno> {
        let mut bytes = [0; WORDS * 8];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        let files: Vec<RawFd> = file.into_iter().collect();
        let rights = [ControlMessage::ScmRights(&files)];
        let control: &[ControlMessage<'_>] = if files.is_empty() { &[] } else { &rights };
        let sent = sendmsg::<()>(
            self.0.as_raw_fd(),
            &[IoSlice::new(&bytes)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        if sent == bytes.len() {
            Ok(())
        } else {
            Err(Errno::EMSGSIZE)
        }
    }

    fn receive(&self) -> Result<([u64; WORDS], Option<OwnedFd>), Errno> {
        let mut bytes = [0; WORDS * 8];
        let mut space = nix::cmsg_space!(RawFd);
        let mut file = None;
        let length = {
            let mut iov = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::empty();
            let message = recvmsg::<()>(self.0.as_raw_fd(), &mut iov, Some(&mut space), flags)?;
            for control in message.cmsgs()? {
                if let ControlMessageOwned::ScmRights(files) = control {
                    file = files.into_iter().next().map(sys::received);
                }
            }
            message.bytes
        };
        if length != bytes.len() {
            // The other end is gone.
            return Err(Errno::EPIPE);
        }
        let mut words = [0; WORDS];
        for (word, from) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut raw = [0; 8];
            raw.copy_from_slice(from);
            *word = u64::from_ne_bytes(raw);
        }
        Ok((words, file))
    }
}
