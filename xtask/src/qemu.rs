// SPDX-License-Identifier: MIT OR Apache-2.0

//! The emulated machine as a process.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{console, serial};

/// How often the console is looked at.
const POLL: Duration = Duration::from_millis(20);

/// What the kernel is told. The first oops ends the run: what follows one proves nothing.
const COMMAND_LINE: &str = "earlycon=cdns,mmio,0xff000000,115200n8 console=ttyPS0,115200 \
    loglevel=8 printk.devkmsg=on rdinit=/init panic=-1 oops=panic \
    uio_pdrv_genirq.of_id=generic-uio";

/// What is booted, and how.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) image: PathBuf,
    pub(crate) initramfs: PathBuf,
    pub(crate) dtb: PathBuf,
    /// File for what the kernel prints on the first UART.
    pub(crate) console: PathBuf,
    pub(crate) smp: u32,
    pub(crate) icount: bool,
    /// Whether the program in the guest gets xtask's input.
    pub(crate) input: bool,
    pub(crate) plugin: Option<Plugin>,
}

/// A plugin of QEMU.
#[derive(Debug)]
pub(crate) struct Plugin {
    /// The value of QEMU's option for the plugin.
    pub(crate) option: String,
    /// What it needs beside what QEMU gives to plugins.
    pub(crate) access: Option<Access>,
}

/// A plugin's access to the board's memory and interrupts.
#[derive(Debug)]
pub(crate) struct Access {
    /// The file that is the board's memory.
    pub(crate) memory: String,
    /// Where QEMU is to take commands of its test protocol, which sets interrupts.
    pub(crate) socket: String,
}

/// What becomes of the output of the program in the guest, on the second UART.
pub(crate) enum Program {
    /// The output is xtask's own.
    Foreground,
    /// Each line of the output is handed over.
    Lines(Box<dyn FnMut(&str) + Send>),
}

/// How the machine ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) timed_out: bool,
    /// QEMU's exit status in words.
    pub(crate) qemu: String,
}

/// Runs the machine to its end, or to the timeout's.
pub(crate) fn run(machine: &Machine, program: Program, timeout: Duration) -> Result<Ended> {
    let mut command = command(machine);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start QEMU")?;
    let output = child.stdout.take().context("QEMU has no output")?;
    let input = child.stdin.take().context("QEMU has no input")?;
    let (ready, wait) = mpsc::channel();
    // QEMU takes a closed input for the end of the line, so it stays open where nothing is sent.
    let _open = if machine.input {
        // Not joined: it may be waiting for a person at the keyboard.
        thread::spawn(move || pass_input(input, &wait));
        None
    } else {
        Some(input)
    };
    let output = thread::spawn(move || match program {
        Program::Foreground => pass_output(output),
        Program::Lines(on_line) => split_output(output, on_line),
    });

    let start = Instant::now();
    let mut timed_out = false;
    let mut watch = Watch::new(&machine.console);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if watch.is_ready()? {
            // Nobody waits any more when it was told before.
            let _ = ready.send(());
        }
        if start.elapsed() > timeout && !timed_out {
            timed_out = true;
            child.kill()?;
        }
        thread::sleep(POLL);
    };
    match output.join() {
        Ok(passed) => passed.context("cannot pass the guest's output on")?,
        Err(_) => anyhow::bail!("the thread that reads the guest's output panicked"),
    }
    Ok(Ended {
        timed_out,
        qemu: status.to_string(),
    })
}

/// QEMU's command line; QEMU ends when xtask does, however that happens.
fn command(machine: &Machine) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "qemu-system-aarch64"]);
    let mut board = "xlnx-zcu102".to_owned();
    let mut kernel_arguments = COMMAND_LINE.to_owned();
    if let Some(plugin) = &machine.plugin {
        command.args(["-plugin", &plugin.option]);
    }
    if let Some(Access { memory, socket }) = machine.plugin.as_ref().and_then(|p| p.access.as_ref())
    {
        board += ",memory-backend=ddr";
        let backend = format!("memory-backend-file,id=ddr,size=2G,share=on,mem-path={memory}");
        command.args(["-object", &backend]);
        let socket = format!("unix:{socket},server=on,wait=off");
        command.args(["-qtest", &socket, "-qtest-log", "none"]);
    }
    if machine.plugin.is_some() || machine.icount {
        // So that two programs whose code is the same page have the same addresses for it, and so that
        // page tables are the same from boot to boot.
        kernel_arguments += " norandmaps";
    }
    command.args(["-M", &board, "-m", "2G", "-display", "none", "-no-reboot"]);
    command.args(["-audio", "none", "-monitor", "none"]);
    if machine.icount {
        command.args([
            "-accel",
            "tcg,thread=single",
            "-icount",
            "shift=0,sleep=off",
            // Not the host's time: what the kernel does in a second depends on when that began.
            "-rtc",
            "base=2026-01-01T00:00:00,clock=vm",
        ]);
    }
    command.args(["-smp", &machine.smp.to_string()]);
    command
        .arg("-serial")
        .arg(format!("file:{}", machine.console.display()));
    command.args([
        "-chardev",
        "stdio,id=program,signal=off",
        "-serial",
        "chardev:program",
    ]);
    command
        .arg("-kernel")
        .arg(&machine.image)
        .arg("-initrd")
        .arg(&machine.initramfs);
    command
        .arg("-dtb")
        .arg(&machine.dtb)
        .args(["-append", &kernel_arguments]);
    command
}

/// Copies bytes to standard output as they come.
fn pass_output(mut from: ChildStdout) -> std::io::Result<()> {
    let mut chunk = [0; 4096];
    loop {
        let count = from.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        // A reader that went away (`| head`) must not stop the guest half-way.
        let _ = out.write_all(&chunk[..count]).and_then(|()| out.flush());
    }
}

/// Hands over line by line, without line ends.
fn split_output(
    from: ChildStdout,
    mut on_line: Box<dyn FnMut(&str) + Send>,
) -> std::io::Result<()> {
    for line in BufReader::new(from).split(b'\n') {
        on_line(String::from_utf8_lossy(&line?).trim_end_matches('\r'));
    }
    Ok(())
}

/// Sends the input once the guest's terminal is set up, and keeps the pipe open to the end.
fn pass_input(mut to: ChildStdin, ready: &mpsc::Receiver<()>) {
    if ready.recv().is_err() {
        return;
    }
    let mut chunk = [0; serial::PIECE_BYTES];
    loop {
        let count = std::io::stdin().lock().read(&mut chunk).unwrap_or(0);
        let piece = (count > 0).then_some(&chunk[..count]);
        // An error means that QEMU has ended, of which the main thread takes note.
        if to
            .write_all(&serial::encode(piece))
            .and_then(|()| to.flush())
            .is_err()
            || count == 0
        {
            break;
        }
    }
    // As above, the line stays open until QEMU ends.
    while ready.recv().is_ok() {}
}

/// Reads the console's file as it grows, until the guest says that it is ready.
struct Watch<'a> {
    path: &'a Path,
    seen: Vec<u8>,
    ready: bool,
}

impl<'a> Watch<'a> {
    fn new(path: &'a Path) -> Self {
        Self {
            path,
            seen: Vec::new(),
            ready: false,
        }
    }

    fn is_ready(&mut self) -> Result<bool> {
        if !self.ready {
            let mut file = File::open(self.path)?;
            file.seek(SeekFrom::Start(self.seen.len() as u64))?;
            file.read_to_end(&mut self.seen)?;
            self.ready = console::is_ready(&String::from_utf8_lossy(&self.seen));
        }
        Ok(self.ready)
    }
}
