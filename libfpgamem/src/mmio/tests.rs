// SPDX-License-Identifier: MIT OR Apache-2.0

//! Registers of models, and of files that stand for a UIO device.

use super::sysfs::{find, Which, Window};
use super::uio::Uio;
use super::*;
use crate::{BusError, Direction, Error, FpgaMemory, Policy};
use std::fs;
use std::path::{Path, PathBuf};

/// Copies 8 bytes from the address in registers 0 and 4 to that in 8 and 12, when 16 is written; asks
/// for an interrupt from then on until 20 is written.
#[derive(Default)]
struct Copy8 {
    words: [u32; 6],
    done: bool,
}

impl Copy8 {
    fn addr(&self, index: usize) -> DeviceAddr {
        DeviceAddr::new(u64::from(self.words[index + 1]) << 32 | u64::from(self.words[index]))
    }
}

impl RegisterModel for Copy8 {
    fn len(&self) -> usize {
        24
    }

    fn read(&mut self, offset: usize) -> u32 {
        self.words[offset / 4]
    }

    fn write(&mut self, offset: usize, value: u32) -> bool {
        self.words[offset / 4] = value;
        self.done &= offset != 20;
        offset == 16
    }

    fn run(&mut self, memory: &mut FpgaMemory<'_>) -> Result<(), BusError> {
        let mut bytes = [0; 8];
        memory.read(self.addr(0), &mut bytes)?;
        memory.write(self.addr(2), &bytes)?;
        self.done = true;
        Ok(())
    }

    fn interrupt(&self) -> bool {
        self.done
    }
}

fn emulated() -> (Device, Registers) {
    let device = Device::emulated().policy(Policy::Never).open().unwrap();
    let registers = Registers::emulated(&device, Copy8::default()).unwrap();
    (device, registers)
}

/// What arrives of "12345678", which the CPU hands over or not.
fn copied(hand_over: bool) -> Vec<u8> {
    let (device, mut registers) = emulated();
    let from = device.alloc(8).unwrap();
    let mut from = from.into_device(Direction::ToDevice).unwrap();
    from.view_mut().write_at(0, b"12345678").unwrap();
    if hand_over {
        from.sync_for_device(..).unwrap();
    }
    let to = device.alloc(8).unwrap();
    let to = to.into_device(Direction::FromDevice).unwrap();
    registers.write_addr(0, from.device_addr()).unwrap();
    registers.write64(8, to.device_addr().as_u64()).unwrap();
    registers.write32(16, 1).unwrap();
    to.sync_for_cpu(..).unwrap();
    let mut bytes = vec![0; 8];
    to.view().read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_model_is_started_by_a_write_and_sees_what_was_synchronised() {
    assert_eq!(copied(true), b"12345678");
    assert_eq!(copied(false), [0; 8]);
}

#[test]
fn wide_accesses_are_two_of_a_model() {
    let (_device, mut registers) = emulated();
    registers.write64(0, 0x1111_2222_3333_4444).unwrap();
    assert_eq!(registers.read32(0).unwrap(), 0x3333_4444);
    assert_eq!(registers.read32(4).unwrap(), 0x1111_2222);
    assert_eq!(registers.read64(0).unwrap(), 0x1111_2222_3333_4444);
}

#[test]
fn a_model_that_misses_is_an_error() {
    let (_device, mut registers) = emulated();
    let error = registers.write32(16, 1).unwrap_err();
    assert!(matches!(
        error,
        RegisterError::Model(Error::Bus { addr: 0, len: 8 })
    ));
}

#[test]
fn every_access_outside_is_refused() {
    let (_device, mut registers) = emulated();
    for offset in [1, 2, 24, 28, usize::MAX, usize::MAX - 3] {
        assert!(registers.read32(offset).is_err(), "{offset:#x}");
        assert!(registers.write32(offset, 1).is_err(), "{offset:#x}");
    }
    for offset in [4, 12, 20, 24, usize::MAX - 7] {
        assert!(registers.read64(offset).is_err(), "{offset:#x}");
        assert!(registers.write64(offset, 1).is_err(), "{offset:#x}");
    }
    let error = registers.read64(20).unwrap_err();
    assert!(matches!(
        error,
        RegisterError::Outside {
            offset: 20,
            bytes: 8,
            len: 24
        }
    ));
    // The upper word has no register, so the lower is not written.
    assert!(registers.write_addr(20, DeviceAddr::new(7)).is_err());
    assert_eq!(registers.read32(20).unwrap(), 0);
    assert!(registers.read32(20).is_ok() && registers.read64(16).is_ok());
}

#[test]
fn an_interrupt_comes_through_once_for_each_time_it_is_enabled() {
    let (device, mut registers) = emulated();
    let buffer = device.alloc(16).unwrap();
    let buffer = buffer.into_device(Direction::Bidirectional).unwrap();
    registers.write_addr(0, buffer.device_addr()).unwrap();
    registers.write_addr(8, buffer.device_addr()).unwrap();
    let wait = |registers: &mut Registers| registers.wait_interrupt(Duration::ZERO).unwrap();
    registers.write32(16, 1).unwrap();
    assert!(!wait(&mut registers), "it was not enabled");
    registers.enable_interrupt().unwrap();
    assert!(wait(&mut registers), "the device asks already");
    assert!(!wait(&mut registers), "it came through once");
    registers.write32(20, 1).unwrap();
    registers.enable_interrupt().unwrap();
    assert!(!wait(&mut registers), "the device was heard");
    registers.write32(16, 1).unwrap();
    assert!(wait(&mut registers));
}

#[test]
fn polling_ends_with_the_condition_or_the_time() {
    let (_device, mut registers) = emulated();
    registers.write32(0, 5).unwrap();
    let limit = Duration::from_millis(5);
    assert_eq!(
        registers.poll32(0, limit, |value| value == 5).unwrap(),
        Some(5)
    );
    assert_eq!(
        registers.poll32(0, limit, |value| value == 6).unwrap(),
        None
    );
    assert!(registers.poll32(3, limit, |_| true).is_err());
}

/// Files that stand for a system with UIO, removed at the end of a test.
struct System(PathBuf);

impl System {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fpgamem-uio-{}-{test}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn class(&self) -> PathBuf {
        self.0.join("sys/class/uio")
    }

    fn add(&self, node: &str, name: &str, index: usize, offset: &str, size: &str) {
        let map = self.class().join(node).join(format!("maps/map{index}"));
        fs::create_dir_all(&map).unwrap();
        fs::write(self.class().join(node).join("name"), format!("{name}\n")).unwrap();
        fs::write(map.join("offset"), format!("{offset}\n")).unwrap();
        fs::write(map.join("size"), format!("{size}\n")).unwrap();
        let file = self.0.join("dev").join(node);
        fs::create_dir_all(self.0.join("dev")).unwrap();
        fs::write(file, [0; 16384]).unwrap();
    }

    fn find(&self, name: &str, index: usize) -> Result<Window> {
        find(&self.0, Which::Name(name), index)
    }

    fn open(&self, name: &str, index: usize) -> Result<Registers> {
        let uio = Uio::open(&self.0, Which::Name(name), index)?;
        Ok(Registers {
            source: Source::Uio(uio),
        })
    }

    fn bytes(&self, node: &str, at: usize) -> [u8; 8] {
        let bytes = fs::read(self.0.join("dev").join(node)).unwrap();
        bytes[at..at + 8].try_into().unwrap()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn finds_the_device_by_its_name() {
    let system = System::new("by-name");
    system.add("uio0", "fabric", 0, "0x0", "0x0000000000010000");
    system.add("uio1", "zdma", 0, "0x0", "0x0000000000001000");
    let expected = Window {
        name: "zdma".to_owned(),
        node: system.0.join("dev/uio1"),
        start: 0,
        bytes: 4096,
    };
    assert_eq!(system.find("zdma", 0).unwrap(), expected);
}

#[test]
fn finds_the_device_by_the_number_of_its_node() {
    let system = System::new("by-node");
    // Both have the name, and one the number of a file that every system has.
    for (node, number) in [("uio0", "1:4"), ("uio1", "1:3"), ("uio2", "1:33")] {
        system.add(node, "twin", 0, "0x0", "0x1000");
        fs::write(system.class().join(node).join("dev"), format!("{number}\n")).unwrap();
    }
    system.add("uio1", "twin", 1, "0x8", "0x10");
    let null = Path::new("/dev/null");
    let expected = Window {
        name: "twin".to_owned(),
        node: null.to_owned(),
        start: 8,
        bytes: 16,
    };
    assert_eq!(find(&system.0, Which::Node(null), 1).unwrap(), expected);
    // Only a device has a number, and only a node that there is.
    for path in [
        system.0.join("dev/uio1"),
        "/nonexistent".into(),
        "/dev/full".into(),
    ] {
        let error = find(&system.0, Which::Node(&path), 0).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, RegisterError::NotUio { .. }), "{text}");
        assert!(text.contains("dev/uio1 (twin)"), "{text}");
    }
}

#[test]
fn a_name_of_two_devices_names_their_nodes() {
    let system = System::new("twins");
    for node in ["uio0", "uio1", "uio2"] {
        let name = if node == "uio1" { "single" } else { "twin" };
        system.add(node, name, 0, "0x0", "0x1000");
    }
    let error = system.find("twin", 0).unwrap_err();
    let text = error.to_string();
    let RegisterError::Ambiguous { nodes, .. } = error else {
        panic!("{text}");
    };
    assert_eq!(
        nodes,
        ["dev/uio0", "dev/uio2"].map(|node| system.0.join(node))
    );
    assert!(text.contains("by its node"), "{text}");
    assert!(system.find("single", 0).is_ok());
}

#[test]
fn names_the_others_when_it_is_not_there() {
    let system = System::new("others");
    system.add("uio0", "fabric", 0, "0x0", "0x1000");
    system.add("uio1", "camera", 0, "0x0", "0x1000");
    let error = system.find("zdma", 0).unwrap_err();
    assert!(error.to_string().contains("generic-uio"));
    let RegisterError::NotFound { found, .. } = error else {
        panic!("another error");
    };
    assert_eq!(found, ["camera", "fabric"]);
}

#[test]
fn a_system_without_uio_has_no_device() {
    let error = find(Path::new("/nonexistent"), Which::Name("zdma"), 0).unwrap_err();
    assert!(matches!(error, RegisterError::NotFound { found, .. } if found.is_empty()));
}

#[test]
fn a_window_that_cannot_be_names_its_file() {
    let system = System::new("sizes");
    for (node, offset, size) in [
        ("uio0", "0x0", "many"),
        ("uio1", "0x4", "0x10"),
        ("uio2", "0x0", "0x0"),
    ] {
        system.add(node, node, 0, offset, size);
        let RegisterError::Open { path, .. } = system.find(node, 0).unwrap_err() else {
            panic!("another error");
        };
        assert!(path.starts_with(system.class().join(node).join("maps/map0")));
    }
    assert!(system
        .find("uio0", 1)
        .unwrap_err()
        .to_string()
        .contains("no such window"));
}

#[test]
fn accesses_go_to_the_place_that_was_asked_for() {
    let system = System::new("place");
    system.add("uio0", "kernel", 0, "0x40", "0x20");
    let mut registers = system.open("kernel", 0).unwrap();
    assert_eq!(registers.len(), 32);
    registers.write32(4, 0x0102_0304).unwrap();
    registers.write64(8, 0x1112_1314_1516_1718).unwrap();
    assert_eq!(system.bytes("uio0", 0x40), [0, 0, 0, 0, 4, 3, 2, 1]);
    assert_eq!(
        system.bytes("uio0", 0x48),
        [0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]
    );
    assert_eq!(registers.read32(4).unwrap(), 0x0102_0304);
    assert_eq!(registers.read64(8).unwrap(), 0x1112_1314_1516_1718);
    assert!(registers.read32(32).is_err());
}

#[test]
fn another_window_is_another_page() {
    let system = System::new("window");
    system.add("uio0", "kernel", 1, "0x0", "0x1000");
    let mut registers = system.open("kernel", 1).unwrap();
    registers.write32(0, 7).unwrap();
    assert_eq!(system.bytes("uio0", 4096), [7, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_device_without_an_interrupt_is_told() {
    let system = System::new("interrupt");
    system.add("uio0", "kernel", 0, "0x0", "0x1000");
    let mut registers = system.open("kernel", 0).unwrap();
    // It has nothing to read then.
    fs::write(system.0.join("dev/uio0"), []).unwrap();
    let error = registers.wait_interrupt(Duration::ZERO).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, RegisterError::Interrupt { .. }), "{text}");
    assert!(
        text.contains("kernel") && text.contains("interrupts"),
        "{text}"
    );
}

#[test]
fn a_model_needs_an_emulated_device() {
    let text = RegisterError::NotEmulated {
        path: "/dev/fpgamem0".into(),
    }
    .to_string();
    assert!(text.contains("name of a UIO"), "{text}");
}

#[test]
fn a_forbidden_node_names_the_rule() {
    let source = std::io::ErrorKind::PermissionDenied.into();
    let text = RegisterError::Open {
        path: "/dev/uio0".into(),
        source,
    }
    .to_string();
    assert!(
        text.contains("/dev/uio0") && text.contains("SUBSYSTEM==\"uio\""),
        "{text}"
    );
}
