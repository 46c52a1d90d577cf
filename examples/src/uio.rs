// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers of a device behind a UIO node: its node in the device tree is compatible to
//! `generic-uio` and has a name (`linux,uio-name`).

use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why registers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UioError {
    /// There is no UIO device of that name.
    #[error(
        "no UIO device is named \"{name}\" (there are {found:?}); the kernel needs UIO_PDRV_GENIRQ \
         with of_id=generic-uio, and the device tree a device named so"
    )]
    NotFound {
        /// The name looked for.
        name: String,
        /// The names of the devices that there are.
        found: Vec<String>,
    },

    /// The device's file, or what the system says about it, is not to be used.
    #[error("cannot map the registers behind {}", .path.display())]
    Registers {
        /// What was tried.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// 32-bit registers, by offset in bytes.
pub trait Registers {
    /// Reads a register.
    fn read(&self, offset: usize) -> u32;
    /// Writes a register.
    fn write(&mut self, offset: usize, value: u32);
}

/// The interrupt of a device: a level, which the device keeps up until it is acknowledged in its
/// registers.
pub trait Interrupt {
    /// Lets the next interrupt through, or at once the one that the device asks for.
    ///
    /// # Errors
    ///
    /// The device has no interrupt, or its file cannot be used.
    fn enable(&mut self) -> io::Result<()>;

    /// Sleeps until an interrupt comes, or for that long, and says whether one came. It lets no other
    /// through until it is enabled again.
    ///
    /// # Errors
    ///
    /// The device has no interrupt, or its file cannot be used.
    fn wait(&mut self, limit: Duration) -> io::Result<bool>;
}

/// The first register window of a UIO device, and its interrupt.
#[derive(Debug)]
pub struct UioRegisters {
    window: MmapRaw,
    file: File,
}

impl UioRegisters {
    /// Maps the registers of the UIO device with the name `name`, at least `bytes` of them.
    ///
    /// # Errors
    ///
    /// * [`UioError::NotFound`]: no UIO device has the name.
    /// * [`UioError::Registers`]: its registers are too few, or cannot be opened or mapped.
    pub fn open(name: &str, bytes: usize) -> Result<Self, UioError> {
        let uio = find(Path::new("/sys/class/uio"), name)?;
        let node = Path::new("/dev").join(&uio.node);
        let error = |source| UioError::Registers {
            path: node.clone(),
            source,
        };
        if uio.bytes < bytes {
            let text = format!(
                "it has {} bytes of registers, {bytes} are needed",
                uio.bytes
            );
            return Err(error(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&node)
            .map_err(error)?;
        let window = MmapOptions::new()
            .len(uio.bytes)
            .map_raw(&file)
            .map_err(error)?;
        Ok(Self { window, file })
    }

    /// # Panics
    ///
    /// Where the offset is not that of a register in the window: an error in this crate.
    fn register(&self, offset: usize) -> *mut u32 {
        let bytes = self.window.len();
        assert!(
            offset % 4 == 0 && offset < bytes,
            "register {offset:#x} in {bytes:#x} bytes"
        );
        self.window.as_mut_ptr().wrapping_add(offset).cast()
    }
}

impl Registers for UioRegisters {
    fn read(&self, offset: usize) -> u32 {
        // SAFETY: The register lies in the mapped window, whose start is page-aligned, at a multiple
        // of 4.
        unsafe { self.register(offset).read_volatile() }
    }

    fn write(&mut self, offset: usize, value: u32) {
        // SAFETY: As in `read`. What the device does to memory upon the write is what the caller has
        // programmed, which answers for it.
        unsafe { self.register(offset).write_volatile(value) };
    }
}

impl Interrupt for UioRegisters {
    fn enable(&mut self) -> io::Result<()> {
        self.file.write_all(&1_u32.to_ne_bytes())
    }

    fn wait(&mut self, limit: Duration) -> io::Result<bool> {
        if !is_readable(&self.file, limit)? {
            return Ok(false);
        }
        // How many there have been, which does not matter.
        self.file.read_exact(&mut [0; 4])?;
        Ok(true)
    }
}

/// Waits until a file can be read. A signal ends the wait early.
fn is_readable(file: &impl AsFd, limit: Duration) -> io::Result<bool> {
    let mut files = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    // Rounded up, so that a short limit is not none.
    let millis = limit.saturating_add(Duration::from_micros(999)).as_millis();
    let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
    match poll(&mut files, timeout) {
        Ok(0) | Err(Errno::EINTR) => Ok(false),
        Ok(_) if files[0].revents() == Some(PollFlags::POLLIN) => Ok(true),
        // A device without an interrupt.
        Ok(_) => Err(io::ErrorKind::Unsupported.into()),
        Err(error) => Err(error.into()),
    }
}

/// A UIO device as sysfs describes it.
#[derive(Debug, PartialEq, Eq)]
struct Uio {
    /// Name of its node in `/dev`.
    node: PathBuf,
    /// Size of its first window.
    bytes: usize,
}

/// Finds the UIO device called `name` in the class directory.
fn find(class: &Path, name: &str) -> Result<Uio, UioError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(class).into_iter().flatten().flatten() {
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        let its_name = read("name").trim().to_owned();
        if its_name != name {
            found.push(its_name);
            continue;
        }
        let size = read("maps/map0/size");
        let bytes = size.trim().trim_start_matches("0x");
        let node = PathBuf::from(entry.file_name());
        return match usize::from_str_radix(bytes, 16) {
            Ok(bytes) => Ok(Uio { node, bytes }),
            Err(error) => {
                let source = io::Error::new(io::ErrorKind::InvalidData, error);
                Err(UioError::Registers {
                    path: entry.path().join("maps/map0/size"),
                    source,
                })
            }
        };
    }
    found.sort();
    Err(UioError::NotFound {
        name: name.to_owned(),
        found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A class directory of one test, removed at its end.
    struct Class(PathBuf);

    impl Class {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("uio-{}-{test}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn add(&self, node: &str, name: &str, size: &str) {
            let map = self.0.join(node).join("maps/map0");
            fs::create_dir_all(&map).unwrap();
            fs::write(self.0.join(node).join("name"), format!("{name}\n")).unwrap();
            fs::write(map.join("size"), format!("{size}\n")).unwrap();
        }
    }

    impl Drop for Class {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn finds_the_device_by_its_name() {
        let class = Class::new("by-name");
        class.add("uio0", "fabric", "0x0000000000010000");
        class.add("uio1", "zdma", "0x0000000000001000");
        let expected = Uio {
            node: "uio1".into(),
            bytes: 4096,
        };
        assert_eq!(find(&class.0, "zdma").unwrap(), expected);
    }

    #[test]
    fn names_the_others_when_it_is_not_there() {
        let class = Class::new("others");
        class.add("uio0", "fabric", "0x1000");
        class.add("uio1", "camera", "0x1000");
        let UioError::NotFound { found, .. } = find(&class.0, "zdma").unwrap_err() else {
            panic!("another error");
        };
        assert_eq!(found, ["camera", "fabric"]);
    }

    #[test]
    fn a_system_without_uio_has_no_device() {
        let class = Path::new("/nonexistent/class/uio");
        let error = find(class, "zdma").unwrap_err();
        assert!(matches!(error, UioError::NotFound { found, .. } if found.is_empty()));
    }

    #[test]
    fn a_wait_ends_when_there_is_something_or_time_is_up() {
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(!is_readable(&theirs, Duration::from_millis(1)).unwrap());
        ours.write_all(&[1]).unwrap();
        assert!(is_readable(&theirs, Duration::from_secs(60)).unwrap());
    }

    #[test]
    fn a_size_that_is_no_number_names_its_file() {
        let class = Class::new("size");
        class.add("uio3", "zdma", "many");
        let UioError::Registers { path, .. } = find(&class.0, "zdma").unwrap_err() else {
            panic!("another error");
        };
        assert!(path.ends_with("uio3/maps/map0/size"));
    }
}
