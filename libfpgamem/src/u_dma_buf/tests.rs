// SPDX-License-Identifier: MIT OR Apache-2.0

//! A node made of a file and of a directory that stands for its attributes. That the kernel's u-dma-buf
//! has the same interface is not shown here.

use super::*;
use crate::backend::{Backend, Guarantees};
use crate::{Device, Direction};
use std::sync::atomic::AtomicU32;

const BYTES: u64 = 4 * BLOCK_BYTES;

/// A node of `BYTES` bytes and 100 more, which go with the value.
struct Node {
    directory: PathBuf,
}

impl Node {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fpgamem-u-dma-buf-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        let node = Self { directory };
        fs::write(node.path(), vec![0xa5; 4 * 16384 + 100]).unwrap();
        node.write("phys_addr", "0x0000000010000000\n");
        node.write("size", "65636\n");
        node.write("dma_coherent", "0\n");
        node.write("sync_for_device", "");
        node.write("sync_for_cpu", "");
        node
    }

    fn path(&self) -> PathBuf {
        self.directory.join("node")
    }

    fn write(&self, attribute: &str, value: &str) {
        fs::write(self.directory.join(attribute), value).unwrap();
    }

    fn read(&self, attribute: &str) -> String {
        fs::read_to_string(self.directory.join(attribute)).unwrap()
    }

    fn try_open(&self) -> Result<Device> {
        let path = self.path();
        let file = UDmaBuf::open_node(&path)?;
        let (node, info) = UDmaBuf::new(file, &path, &self.directory, None)?;
        Ok(Device::new(Backend::UDmaBuf(Box::new(node)), &info))
    }

    fn open(&self) -> Device {
        self.try_open().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn the_pool_is_the_whole_blocks_of_the_buffer() {
    let device = Node::new().open();
    let info = device.info().unwrap();
    assert_eq!((info.region_bytes, info.block_bytes), (BYTES, 16384));
    assert_eq!(info.phys_addr, PhysAddr::new(0x1000_0000));
    assert_eq!((info.free_bytes, info.nr_buffers), (BYTES, 0));
    assert!(!info.coherent);
}

#[test]
fn the_device_promises_nothing() {
    assert_eq!(Node::new().open().guarantees(), Guarantees::empty());
}

#[test]
fn buffers_are_clear_and_lie_where_their_addresses_say() {
    let node = Node::new();
    let device = node.open();
    let _first = device.alloc(1).unwrap();
    let mut second = device.alloc(16385).unwrap();
    assert_eq!(second.phys_addr(), PhysAddr::new(0x1000_4000));
    assert_eq!(second.device_addr(), DeviceAddr::new(0x1000_4000));
    assert!(second.iter().all(|byte| *byte == 0));
    second[16384] = 7;
    assert_eq!(fs::read(node.path()).unwrap()[16384 + 16384], 7);
}

#[test]
fn a_buffer_that_is_dropped_is_free_and_clear_for_the_next_one() {
    let device = Node::new().open();
    let mut all = device.alloc(65536).unwrap();
    all.fill(9);
    assert!(matches!(
        device.alloc(1),
        Err(Error::OutOfMemory { free: 0, .. })
    ));
    drop(all);
    let again = device.alloc(65536).unwrap();
    assert!(again.iter().all(|byte| *byte == 0));
    assert_eq!(device.info().unwrap().nr_buffers, 1);
}

#[test]
fn what_the_device_owns_when_it_is_dropped_is_not_free() {
    let node = Node::new();
    let device = node.open();
    let buffer = device.alloc(1).unwrap();
    drop(buffer.into_device(Direction::ToDevice).unwrap());
    assert_eq!(device.info().unwrap().free_bytes, BYTES - 16384);
    assert_eq!(device.abandoned().buffers, 1);
}

#[test]
fn a_clean_range_is_written_to_sync_for_device() {
    let node = Node::new();
    let device = node.open();
    let _first = device.alloc(1).unwrap();
    let second = device.alloc(1000).unwrap();
    second.sync_for_device(100..130).unwrap();
    // From 64 to 192 in the second block, to the device.
    assert_eq!(
        node.read("sync_for_device"),
        format!("{:#x}", 0x4040_u64 << 32 | 0x80 | 1 << 2 | 1)
    );
    assert_eq!(node.read("sync_for_cpu"), "");
}

#[test]
fn an_invalidated_range_is_cleaned_first() {
    let node = Node::new();
    let mut buffer = node.open().alloc(1000).unwrap();
    buffer.sync_for_cpu(..).unwrap();
    assert_eq!(node.read("sync_for_device"), format!("{:#x}", 0x400 | 1));
    assert_eq!(
        node.read("sync_for_cpu"),
        format!("{:#x}", 0x400 | 2 << 2 | 1)
    );
}

#[test]
fn a_coherent_buffer_is_not_maintained() {
    let node = Node::new();
    node.write("dma_coherent", "1\n");
    let buffer = node.open().alloc(1000).unwrap();
    assert!(buffer.is_coherent());
    buffer.sync_for_device(..).unwrap();
    assert_eq!(node.read("sync_for_device"), "");
}

#[test]
fn a_sync_that_the_system_refuses_is_told_with_the_file() {
    let node = Node::new();
    let buffer = node.open().alloc(1).unwrap();
    fs::remove_file(node.directory.join("sync_for_device")).unwrap();
    let error = buffer.into_device(Direction::ToDevice).unwrap_err().error;
    let Error::UDmaBuf { path, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(path, &node.directory.join("sync_for_device"));
    assert!(error.to_string().contains("modprobe u-dma-buf"), "{error}");
}

#[test]
fn a_node_serves_one_device_at_a_time() {
    let node = Node::new();
    let device = node.open();
    let buffer = device.alloc(1).unwrap();
    assert!(matches!(node.try_open(), Err(Error::InUse { path }) if path == node.path()));
    drop(device);
    assert!(matches!(node.try_open(), Err(Error::InUse { .. })));
    drop(buffer);
    assert!(node.try_open().is_ok());
}

#[test]
fn write_combine_is_refused_and_nothing_is_allocated() {
    let device = Node::new().open();
    let options = AllocOptions::new().write_combine(true);
    let error = device.alloc_with(1, options).unwrap_err();
    assert!(matches!(error, Error::NoWriteCombine { .. }), "{error}");
    assert_eq!(device.info().unwrap().free_bytes, BYTES);
}

#[test]
fn a_buffer_smaller_than_a_block_is_no_pool() {
    let node = Node::new();
    node.write("size", "16383");
    let error = node.try_open().unwrap_err();
    assert!(
        matches!(
            error,
            Error::InvalidRegion {
                region_bytes: 16383,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_attribute_that_is_no_number_is_told_with_its_path() {
    let node = Node::new();
    node.write("phys_addr", "elsewhere");
    let error = node.try_open().unwrap_err();
    assert!(matches!(error, Error::UDmaBuf { path, .. } if path.ends_with("phys_addr")));
}

#[test]
fn what_lies_beyond_the_word_of_sysfs_is_not_used() {
    let node = Node::new();
    node.write("size", "8589934592");
    let info = node.open().info().unwrap();
    assert_eq!(info.region_bytes, 1 << 32);
}

#[test]
fn a_node_of_another_driver_is_recognised() {
    let error = Device::open_u_dma_buf("/dev/null").unwrap_err();
    assert!(matches!(error, Error::NotUDmaBuf { path } if path == Path::new("/dev/null")));
}

#[test]
fn a_missing_node_names_the_module() {
    let error = Device::open_u_dma_buf("/nonexistent/udmabuf0").unwrap_err();
    assert!(error.to_string().contains("modprobe u-dma-buf"), "{error}");
}
