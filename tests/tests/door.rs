// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an administrator can do to the device and the module while they are used: bind other devices,
//! bind twice at once, unbind under every call, unload.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![forbid(unsafe_code)]

use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::abi::{self, Range, SetOwner, OWNER_CPU, SYNC_FLUSH};
use fpgamem_tests::child::send_descriptor;
use fpgamem_tests::driver::{self, Reload, Unbound};
use fpgamem_tests::{
    debugfs, node, request, Balance, Child, Errno, Exit, MapFlags, Mapping, Node, PAGE, READ_WRITE,
};
use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEVICES: &str = "/sys/bus/platform/devices";
const PADDLE: &str = "/dev/fpgadrv0";

/// What the kernel says of a module that is in use.
const IN_USE: Result<(), Errno> = Err(Errno::EWOULDBLOCK);

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().expect("the kernel's error"))
}

/// The driver that a device is to have, whatever it is compatible with, until this is dropped.
struct Override(PathBuf);

impl Override {
    fn set(device: &str, driver: &str) -> Self {
        let path = Path::new(DEVICES).join(device).join("driver_override");
        fs::write(&path, driver).expect("root may");
        Self(path)
    }
}

impl Drop for Override {
    fn drop(&mut self) {
        fs::write(&self.0, "\n").expect("root may");
    }
}

#[test]
fn a_device_that_is_meant_for_another_driver_is_not_bound() {
    let _balance = Balance::new();
    let device = Unbound::new();
    let name = device.name().to_owned();
    let other = Override::set(&name, "another-driver");
    let result = driver::bind(&name).map_err(errno);
    assert_eq!(result, Err(Errno::ENODEV));
    assert_eq!(driver::driver_of(&name), None);
    assert!(!driver::node_exists());
    drop(other);
    device.bind();
    Node::open().map(PAGE).unwrap().fill(1);
}

#[test]
fn a_device_that_is_meant_for_this_driver_is_bound() {
    let _balance = Balance::new();
    let device = Unbound::new();
    let ours = Override::set(device.name(), "fpgamem");
    device.bind();
    drop(ours);
    Node::open().map(PAGE).unwrap().fill(1);
}

#[test]
fn other_devices_are_refused_whoever_insists() {
    let balance = Balance::new();
    let mut tried = 0;
    for entry in fs::read_dir(DEVICES).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if driver::driver_of(&name).is_some() {
            continue;
        }
        let _ours = Override::set(&name, "fpgamem");
        let result = driver::bind(&name);
        assert!(result.is_err(), "{name} is bound");
        assert_eq!(driver::driver_of(&name), None, "{name}");
        tried += 1;
    }
    assert!(tried > 0, "every device has a driver");
    balance.expect_held(0);
    Node::open().info().unwrap();
}

#[test]
fn who_binds_and_unbinds_at_once_gets_one_device() {
    let balance = Balance::new();
    let device = Unbound::new();
    let name = device.name().to_owned();
    let mut racers: Vec<_> = (0..4)
        .map(|racer| {
            let name = name.clone();
            Child::start(move |link| {
                link.receive();
                for _ in 0..15 {
                    let done = if racer % 2 == 0 {
                        driver::bind(&name)
                    } else {
                        driver::unbind(&name)
                    };
                    // Bound already, by somebody else, or not bound.
                    let refused = [Errno::EBUSY, Errno::ENODEV];
                    if let Err(error) = done.map_err(errno) {
                        assert!(refused.contains(&error), "{error}");
                    }
                    if let Ok(file) = File::options().read(true).write(true).open(node::PATH) {
                        let result = Node::from(OwnedFd::from(file)).map(PAGE);
                        assert!(matches!(result, Ok(_) | Err(Errno::ENODEV)), "{result:?}");
                    }
                }
            })
        })
        .collect();
    racers.iter_mut().for_each(|racer| racer.link.send(0));
    racers.into_iter().for_each(Child::succeed);
    if driver::driver_of(&name).is_some() {
        device.is_bound_again();
    } else {
        device.bind();
    }
    assert!(driver::node_exists() && debugfs::directory().exists());
    balance.expect_held(0);
    let node = Node::open();
    node.alloc(request(PAGE)).unwrap();
}

#[test]
fn every_call_on_an_old_file_has_no_device() {
    let _balance = Balance::new();
    let (node, family_a) = (Node::open(), Node::open_path(PADDLE));
    let buffer = node.alloc(request(PAGE)).unwrap();
    let mapping = node.map_buffer(&buffer).unwrap();
    let device = Unbound::new();
    for owner in [abi::OWNER_CPU, abi::OWNER_DEVICE] {
        let gone = Err(Errno::ENODEV);
        assert_eq!(node.set_owner(buffer.handle, owner), gone);
        assert_eq!(node.set_owner_at(mapping.addr(), owner), gone);
        // Not even what is wrong is looked at.
        let wrong = SetOwner {
            reserved: 1,
            ..Default::default()
        };
        assert_eq!(node.set_owner_with(wrong), gone);
    }
    assert_eq!(node.quiet(), Err(Errno::ENODEV));
    assert_eq!(node.map_status(PAGE).map(drop), Err(Errno::ENODEV));
    let argument = Mapping::anonymous(2 * PAGE, READ_WRITE);
    argument.store(0, mapping.addr());
    argument.store(8, 64);
    for (file, command) in [
        (&family_a, paddle::A_DEVICE_INFO),
        (&family_a, paddle::A_VERSION),
        (&family_a, paddle::A_FLUSH),
        (&family_a, paddle::A_INVALIDATE),
        (&node, paddle::B_VM_TO_PHYS),
        (&node, paddle::B_FLUSH),
        (&node, paddle::B_INVALIDATE),
        (&node, 0x1234),
    ] {
        let result = file.command_at(command, &argument, 0);
        assert_eq!(result, Err(Errno::ENODEV), "{command:#x}");
    }
    for offset in [0, paddle::REGISTERS] {
        let result = family_a.map_with(PAGE, READ_WRITE, MapFlags::MAP_SHARED, offset);
        assert_eq!(result.map(drop), Err(Errno::ENODEV), "{offset:#x}");
    }
    device.bind();
}

/// Kinds of calls that [`call`] knows.
const KINDS: usize = 12;

/// One call of a kind on what a file has.
fn call(kind: usize, node: &Node, handle: u32, mapping: &Mapping, phys: u64) -> Result<(), Errno> {
    let range = Range {
        addr: mapping.addr(),
        len: mapping.len(),
        ..Default::default()
    };
    match kind {
        0 => node.info().map(drop),
        1 => node
            .alloc(request(PAGE))
            .and_then(|buffer| node.free(buffer.handle)),
        2 => node.query(handle).map(drop),
        3 => node.user_to_phys(mapping.addr()).map(drop),
        4 => node.phys_to_user(phys).map(drop),
        5 => node.flush(range),
        6 => node.invalidate(range),
        7 => node.sync(SYNC_FLUSH, &[range; 32]),
        8 => node.set_owner(handle, OWNER_CPU),
        9 => node.quiet(),
        10 => node.map_status(PAGE).map(drop),
        _ => node.map(16 * PAGE).map(drop),
    }
}

#[test]
fn the_device_can_be_unbound_within_every_call() {
    let balance = Balance::new();
    let mut users: Vec<_> = (0..KINDS)
        .map(|kind| {
            let mut child = Child::start(|link| {
                link.send(0);
                // How often a call was overtaken is told at the end.
                let (mut done, mut overtaken) = (0_u64, 0_u64);
                while overtaken < 3 || done < 3 {
                    let file = File::options().read(true).write(true).open(node::PATH);
                    let Ok(file) = file else { continue };
                    let node = Node::from(OwnedFd::from(file));
                    let prepared = node.alloc(request(4 * PAGE)).and_then(|buffer| {
                        let mapping = node.map_buffer(&buffer)?;
                        Ok((buffer, mapping))
                    });
                    let Ok((buffer, mapping)) = prepared else {
                        continue;
                    };
                    loop {
                        let result = call(kind, &node, buffer.handle, &mapping, buffer.phys_addr);
                        match result {
                            Ok(()) => done += 1,
                            Err(Errno::ENODEV) => break,
                            Err(error) => panic!("kind {kind}: {error}"),
                        }
                    }
                    overtaken += 1;
                    mapping.fill(1);
                }
            });
            child.link.receive();
            child
        })
        .collect();
    let mut rounds = 0;
    while !users.is_empty() {
        rounds += 1;
        assert!(rounds < 400, "{} kinds were not overtaken", users.len());
        Unbound::new().bind();
        std::thread::sleep(Duration::from_millis(20));
        users.retain_mut(|child| !child.has_ended());
    }
    balance.expect_held(0);
}

#[test]
fn a_file_of_paddles_node_keeps_the_module() {
    let _balance = Balance::new();
    let _reload = Reload;
    let file = Node::open_path(PADDLE);
    assert_eq!(driver::unload(), IN_USE);
    drop(file);
    driver::unload().unwrap();
    driver::load().unwrap();
}

#[test]
fn a_file_on_its_way_to_another_process_keeps_the_module() {
    let _balance = Balance::new();
    let _reload = Reload;
    let (sender, receiver) = UnixStream::pair().unwrap();
    let node = Node::open();
    node.alloc(request(PAGE)).unwrap();
    send_descriptor(&sender, &node);
    drop(node);
    assert_eq!(driver::unload(), IN_USE);
    drop((sender, receiver));
    driver::unload().unwrap();
    driver::load().unwrap();
}

#[test]
fn what_is_left_of_a_mapping_in_a_child_keeps_the_module() {
    let _balance = Balance::new();
    let _reload = Reload;
    let mut mapping = Node::open().map(4 * PAGE).unwrap();
    let mut child = Child::start(|link| {
        mapping.unmap(0..PAGE);
        mapping.unmap(2 * PAGE..4 * PAGE);
        link.send(0);
        link.receive();
    });
    child.link.receive();
    drop(mapping);
    assert_eq!(driver::unload(), IN_USE);
    assert_eq!(child.kill(), Exit::Signal(Signal::SIGKILL));
    driver::unload().unwrap();
    driver::load().unwrap();
}
