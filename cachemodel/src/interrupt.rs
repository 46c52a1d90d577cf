// SPDX-License-Identifier: GPL-2.0-or-later

//! A wire to the board's interrupt controller.
//!
//! QEMU's plugins cannot raise an interrupt, but QEMU's test protocol can: with `-qtest unix:PATH` QEMU
//! takes commands on a socket beside running the board, and `set_irq_in` sets an input of a device.
//! The plugin is a client of the QEMU that it is in.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// QEMU's name of the interrupt controller of its ZynqMP boards.
const CONTROLLER: &str = "/machine/soc/gic";

/// QEMU answers from its main loop, which does not wait for the processor but where QEMU ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the other end of the wire is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The number of the shared peripheral interrupt, without the 32 that the controller adds.
    pub number: u32,
    /// The socket of QEMU's test protocol.
    pub path: PathBuf,
}

/// A wire, low until it is set.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    /// Made when first needed: QEMU loads plugins before it opens its sockets.
    connection: Option<BufReader<UnixStream>>,
    level: bool,
    broken: bool,
}

impl Wire {
    /// A wire that is low.
    pub fn new(socket: Socket) -> Self {
        Self {
            socket,
            connection: None,
            level: false,
            broken: false,
        }
    }

    /// The number of the interrupt, as the controller counts.
    pub fn number(&self) -> u32 {
        self.socket.number + 32
    }

    /// Sets the level. The interrupt controller has it when this returns, so that a run takes its
    /// interrupts at the same instructions as the last one.
    ///
    /// Says so once on standard error if that fails; nothing is sent then any more.
    pub fn set(&mut self, level: bool) {
        if level == self.level || self.broken {
            return;
        }
        self.level = level;
        if let Err(error) = self.send(level) {
            self.broken = true;
            let path = self.socket.path.display();
            eprintln!("cache model: the accelerator has no interrupt: {path}: {error}");
        }
    }

    fn send(&mut self, level: bool) -> io::Result<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let stream = UnixStream::connect(&self.socket.path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                none.insert(BufReader::new(stream))
            }
        };
        let (number, level) = (self.socket.number, u8::from(level));
        let command = format!("set_irq_in {CONTROLLER} unnamed-gpio-in {number} {level}\n");
        connection.get_mut().write_all(command.as_bytes())?;
        let mut answer = String::new();
        connection.read_line(&mut answer)?;
        match answer.trim_end() {
            "OK" => Ok(()),
            "" => Err(ErrorKind::UnexpectedEof.into()),
            other => Err(io::Error::other(format!("QEMU answers {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread::{self, JoinHandle};

    /// A socket that gives the answers, one per command, and then the commands.
    fn qemu(test: &str, answers: &'static [&'static str]) -> (Wire, JoinHandle<Vec<String>>) {
        let name = format!("fpgamem-interrupt-{}-{test}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let wire = Wire::new(Socket {
            number: 89,
            path: path.clone(),
        });
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            std::fs::remove_file(path).unwrap();
            let mut stream = BufReader::new(stream);
            let mut commands = Vec::new();
            for answer in answers {
                let mut command = String::new();
                stream.read_line(&mut command).unwrap();
                commands.push(command);
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
            let mut rest = String::new();
            stream.read_line(&mut rest).unwrap();
            commands.push(rest);
            commands
        });
        (wire, server)
    }

    #[test]
    fn every_change_of_level_is_sent_and_nothing_else() {
        let (mut wire, server) = qemu("levels", &["OK\n", "OK\n"]);
        for level in [false, true, true, false] {
            wire.set(level);
        }
        drop(wire);
        let expected = [
            "set_irq_in /machine/soc/gic unnamed-gpio-in 89 1\n",
            "set_irq_in /machine/soc/gic unnamed-gpio-in 89 0\n",
            "",
        ];
        assert_eq!(server.join().unwrap(), expected);
    }

    #[test]
    fn a_wire_that_qemu_does_not_know_is_given_up() {
        let (mut wire, server) = qemu("unknown", &["FAIL Unknown device\n"]);
        wire.set(true);
        wire.set(false);
        drop(wire);
        assert_eq!(server.join().unwrap().len(), 2);
    }

    #[test]
    fn a_wire_without_a_socket_is_given_up() {
        let mut wire = Wire::new(Socket {
            number: 89,
            path: "/nonexistent/socket".into(),
        });
        wire.set(true);
        assert!(wire.broken);
    }
}
