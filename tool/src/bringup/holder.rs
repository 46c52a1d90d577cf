// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a process that holds a buffer does for others: cache maintenance, which the driver does for the
//! process alone that has the buffer.
//!
//! It listens at a name of its own. A request is a line, `clean START END` or `invalidate START END`;
//! the answer is `ok` or why not.

use crate::failure::Failure;
use fpgamem::DeviceBuffer;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

/// Bytes of a request, at most.
const LONGEST: u64 = 100;
/// A peer that says nothing is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(2);

fn address(pid: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("fpgamem-holder-{pid}"))
}

/// Begins to listen.
pub(super) fn listen() -> Result<UnixListener, Failure> {
    let listener = address(std::process::id()).and_then(|name| UnixListener::bind_addr(&name));
    listener.map_err(|error| {
        Failure::new(
            "cannot listen for fpgamem sync",
            "give the kernel UNIX sockets",
        )
        .because(error)
    })
}

/// Serves others until the process ends.
pub(super) fn serve(listener: &UnixListener, buffer: &DeviceBuffer) -> Result<(), Failure> {
    loop {
        let stream = listener.accept().map(|(stream, _)| stream)?;
        // A peer that goes wrong does no harm but to itself.
        let _ = answer(stream, buffer);
    }
}

fn answer(mut stream: UnixStream, buffer: &DeviceBuffer) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let peer = getsockopt(&stream, PeerCredentials)?.uid();
    if peer != 0 && peer != geteuid().as_raw() {
        return writeln!(stream, "the buffer is another user's");
    }
    let mut line = String::new();
    BufReader::new(&stream).take(LONGEST).read_line(&mut line)?;
    match parse(&line) {
        Some((cleans, mut range)) => {
            // The mapping, which is all that others see, has whole blocks.
            if range.end <= buffer.capacity() {
                range.end = range.end.min(buffer.len());
            }
            let done = match cleans {
                true => buffer.sync_for_device(range),
                false => buffer.sync_for_cpu(range),
            };
            match done {
                Ok(()) => writeln!(stream, "ok"),
                Err(error) => writeln!(stream, "{error}"),
            }
        }
        None => writeln!(stream, "unknown request"),
    }
}

fn parse(line: &str) -> Option<(bool, Range<usize>)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [word @ ("clean" | "invalidate"), start, end] = words[..] else {
        return None;
    };
    Some((word == "clean", start.parse().ok()?..end.parse().ok()?))
}

/// Lets the process that holds a buffer maintain the caches of a range.
pub(super) fn ask(pid: u32, for_device: bool, range: Range<u64>) -> Result<(), Failure> {
    let stream = address(pid).and_then(|name| UnixStream::connect_addr(&name));
    let mut stream = stream.map_err(|error| {
        let what = format!("process {pid} does not sync for others");
        let way_out =
            "the driver maintains caches for the process alone that has the buffer: let that \
                       program sync, or hold the buffer by fpgamem alloc";
        Failure::new(what, way_out).because(error)
    })?;
    let word = if for_device { "clean" } else { "invalidate" };
    let mut reply = String::new();
    let talk = writeln!(stream, "{word} {} {}", range.start, range.end)
        .and_then(|()| stream.read_to_string(&mut reply));
    let broken =
        |error| Failure::new(format!("process {pid} does not answer"), "try again").because(error);
    talk.map_err(broken)?;
    match reply.trim() {
        "ok" => Ok(()),
        why => Err(Failure::new(
            format!("process {pid} cannot sync: {why}"),
            "run it as the user who holds the buffer, or as root, with a range inside the buffer",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fpgamem::{Device, Direction};

    #[test]
    fn requests_are_understood_or_refused() {
        assert_eq!(parse("clean 0 64\n"), Some((true, 0..64)));
        assert_eq!(parse("invalidate 64 128"), Some((false, 64..128)));
        for line in [
            "",
            "clean",
            "clean 0",
            "clean x 1",
            "flush 0 1",
            "clean 0 1 2",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_holder_maintains_what_it_is_asked_to() {
        let device = Device::emulated().open().unwrap();
        let buffer = device.alloc(4096).unwrap();
        let buffer = buffer.into_device(Direction::Bidirectional).unwrap();
        let listener = listen().unwrap();
        std::thread::spawn(move || {
            let _ = serve(&listener, &buffer);
        });
        let before = device.emulator().unwrap().counts();
        let pid = std::process::id();
        ask(pid, true, 0..128).unwrap();
        ask(pid, false, 64..128).unwrap();
        let after = device.emulator().unwrap().counts();
        assert_eq!(after.cleaned - before.cleaned, 2);
        assert_eq!(after.invalidated - before.invalidated, 1);
        // A block.
        ask(pid, true, 0..16384).unwrap();
        let refusal = ask(pid, true, 0..20_000).unwrap_err().to_string();
        assert!(refusal.contains("[0, 20000) is not inside"), "{refusal}");
    }

    #[test]
    fn a_process_that_holds_nothing_is_told() {
        let refusal = ask(1, true, 0..1).unwrap_err().to_string();
        assert!(refusal.contains("let that program sync"), "{refusal}");
    }
}
