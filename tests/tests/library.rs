// SPDX-License-Identifier: MIT OR Apache-2.0

//! libfpgamem on the device: what it promises beyond the driver's own promises.

// Needs the device, so it exists for the guest's architecture only.
#![cfg(target_arch = "aarch64")]
#![deny(unsafe_code)]

use fpgamem::{
    AllocOptions, Buffer, Device, DeviceBuffer, Direction, Error, Features, HandOverError,
    PhysAddr, Result,
};
use fpgamem_tests::debugfs::Stats;
use fpgamem_tests::zdma::Zdma;
use fpgamem_tests::{in_child, pattern, Balance};

const BLOCK: usize = 16384;

fn device() -> Device {
    Device::open().expect("the device is there")
}

/// Takes a buffer back that no device was told to use any more.
#[expect(
    unsafe_code,
    reason = "the ZDMA copies while `copy` runs and never else"
)]
fn take_back(buffer: DeviceBuffer) -> Result<Buffer, HandOverError<DeviceBuffer>> {
    // SAFETY: no device uses the buffer: `Zdma::copy` returns when the channel has finished.
    unsafe { buffer.into_cpu() }
}

/// Lets the ZDMA copy one buffer to another of the same length, by their device addresses.
fn copy(from: &DeviceBuffer, to: &DeviceBuffer) {
    let len = from.len().try_into().expect("the length fits the register");
    let (from, to) = (from.device_addr().as_u64(), to.device_addr().as_u64());
    Zdma::open().copy(from, to, len);
}

/// Fills a buffer, lets the ZDMA copy it to another with the same options, and checks both.
fn round_trip(options: AllocOptions) -> Result<()> {
    let device = device();
    let mut from = device.alloc_with(3 * BLOCK + 5, options)?;
    let to = device.alloc_with(3 * BLOCK + 5, options)?;
    pattern::fill(&mut from, 1, 0);
    let from = from.into_device(Direction::ToDevice)?;
    let to = to.into_device(Direction::FromDevice)?;
    copy(&from, &to);
    let (from, to) = (take_back(from)?, take_back(to)?);
    let mut expected = vec![0; from.len()];
    pattern::fill(&mut expected, 1, 0);
    assert_eq!(from[..], expected[..]);
    assert_eq!(to[..], expected[..]);
    Ok(())
}

#[test]
fn the_information_is_that_of_the_board() {
    let info = device().info().unwrap();
    let stats = Stats::read();
    assert_eq!(info.abi, 1);
    assert_eq!(info.phys_addr, PhysAddr::new(0x4000_0000));
    assert_eq!(info.device_addr.as_u64(), 0x4000_0000);
    assert_eq!(info.region_bytes, stats.blocks * stats.block_bytes);
    assert_eq!(info.block_bytes, BLOCK as u64);
    assert_eq!(info.free_bytes, stats.blocks_free * stats.block_bytes);
    assert_eq!(u64::from(info.nr_buffers), stats.buffers);
    assert_eq!(info.cache_line_bytes, Some(64));
    assert!(!info.coherent);
    let features = Features::WRITE_COMBINE | Features::COHERENCY | Features::SYNC_VECTOR;
    assert!(info.features.contains(features));
}

#[test]
fn a_buffer_has_the_length_asked_for_in_whole_blocks_of_zeroes() {
    let _balance = Balance::new();
    let mut buffer = device().alloc(BLOCK + 1).unwrap();
    assert_eq!((buffer.len(), buffer.capacity()), (BLOCK + 1, 2 * BLOCK));
    assert!(buffer.iter().all(|byte| *byte == 0));
    buffer.fill(0xff);
    assert!(buffer.iter().all(|byte| *byte == 0xff));
}

#[test]
fn a_dropped_buffer_returns_its_blocks() {
    let balance = Balance::new();
    let buffer = device().alloc(3 * BLOCK).unwrap();
    balance.expect_held(3);
    drop(buffer);
    balance.expect_held(0);
}

#[test]
fn a_buffer_outlives_the_device_that_it_came_from() {
    let _balance = Balance::new();
    let mut buffer = device().alloc(BLOCK).unwrap();
    buffer[0] = 7;
    let buffer = buffer.into_device(Direction::Bidirectional).unwrap();
    assert_eq!(take_back(buffer).unwrap()[0], 7);
}

#[test]
fn the_cached_addresses_are_those_that_the_driver_translates_to() {
    let _balance = Balance::new();
    let device = device();
    let buffer = device.alloc(2 * BLOCK).unwrap();
    for offset in [0, 1, BLOCK + 3] {
        let there = device.user_to_phys(&buffer[offset]).unwrap().unwrap();
        let expected = buffer.phys_addr().checked_add(offset as u64);
        assert_eq!(Some(there.phys_addr), expected);
        let expected = buffer.device_addr().checked_add(offset as u64);
        assert_eq!(Some(there.device_addr), expected);
        let rest = (2 * BLOCK - offset) as u64;
        assert_eq!(there.contiguous_bytes, rest);
        let back = device.phys_to_user(there.phys_addr).unwrap().unwrap();
        assert_eq!(back.user_addr, std::ptr::from_ref(&buffer[offset]) as u64);
        assert_eq!(back.contiguous_bytes, rest);
        // What the library knows by itself is the same.
        assert_eq!(device.phys_of(&buffer[offset]), Some(there));
        assert_eq!(device.user_of(there.phys_addr), Some(back));
        assert_eq!(buffer.phys_of(offset), Some(there.phys_addr));
        assert_eq!(buffer.device_addr_of(offset), Some(there.device_addr));
        assert_eq!(buffer.offset_of_phys(there.phys_addr), Some(offset));
        assert_eq!(buffer.offset_of_device(there.device_addr), Some(offset));
    }
    let end = buffer.phys_addr().checked_add(2 * BLOCK as u64).unwrap();
    assert_eq!(buffer.phys_of(2 * BLOCK), None);
    assert_eq!(buffer.offset_of_phys(end), None);
    assert_eq!(device.user_of(end), None);
}

#[test]
fn foreign_addresses_have_no_translation() {
    let _balance = Balance::new();
    let device = device();
    let buffer = device.alloc(BLOCK).unwrap();
    let phys_addr = buffer.phys_addr();
    drop(buffer);
    assert_eq!(device.user_to_phys(&BLOCK).unwrap(), None);
    assert_eq!(device.phys_to_user(phys_addr).unwrap(), None);
    assert_eq!(device.phys_of(&BLOCK), None);
    assert_eq!(device.user_of(phys_addr), None);
}

#[test]
fn an_alignment_is_kept() {
    let _balance = Balance::new();
    let device = device();
    let _first = device.alloc(BLOCK).unwrap();
    let options = AllocOptions::new().align(1 << 21);
    let buffer = device.alloc_with(BLOCK, options).unwrap();
    assert!(buffer.phys_addr().is_aligned_to(1 << 21));
}

#[test]
fn exhaustion_gives_the_numbers_and_the_next_request_works() {
    let _balance = Balance::of_an_empty_pool();
    let device = device();
    let region_bytes = device.info().unwrap().region_bytes;
    // One address of the region is a multiple of 1 GiB.
    let options = AllocOptions::new().align(1 << 30);
    let first = device.alloc_with(BLOCK, options).unwrap();
    let error = device.alloc_with(2 * BLOCK, options).unwrap_err();
    let Error::OutOfMemory {
        requested,
        align,
        free,
        largest_free,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((requested, align), (2 * BLOCK as u64, 1 << 30));
    assert_eq!((free, largest_free), (region_bytes - BLOCK as u64, 0));
    device.alloc(2 * BLOCK).unwrap();
    drop(first);
    device.alloc_with(2 * BLOCK, options).unwrap();
}

#[test]
fn a_process_that_may_have_no_more_mappings_is_told_and_loses_no_block() {
    const LIMIT: &str = "/proc/sys/vm/max_map_count";
    let balance = Balance::new();
    let before = std::fs::read_to_string(LIMIT).unwrap();
    in_child(|| {
        let device = device();
        std::fs::write(LIMIT, "100").unwrap();
        let mut buffers = Vec::with_capacity(200);
        let error = loop {
            match device.alloc(2 * BLOCK) {
                Ok(buffer) => buffers.push(buffer),
                Err(error) => break error,
            }
        };
        std::fs::write(LIMIT, &before).unwrap();
        assert!(
            matches!(&error, Error::Map { len: 32768, source } if source.raw_os_error() == Some(12)),
            "{error}"
        );
        balance.expect_held(2 * buffers.len() as u64);
    });
}

#[test]
fn an_impossible_length_gives_the_region() {
    let device = device();
    let all = device.info().unwrap().region_bytes;
    for len in [0, usize::try_from(all).unwrap() + 1] {
        let error = device.alloc(len).unwrap_err();
        let Error::InvalidLength {
            requested,
            region_bytes,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((requested, region_bytes), (len as u64, all));
    }
}

#[test]
fn an_impossible_alignment_gives_the_largest() {
    let options = AllocOptions::new().align(3 * BLOCK as u64);
    let error = device().alloc_with(BLOCK, options).unwrap_err();
    assert!(matches!(
        error,
        Error::InvalidAlignment {
            requested: 49152,
            max: 0x4000_0000
        }
    ));
}

#[test]
fn a_master_reads_and_writes_handed_over_buffers() {
    let _balance = Balance::new();
    round_trip(AllocOptions::new()).unwrap();
}

#[test]
fn a_master_reads_and_writes_write_combine_buffers() {
    let _balance = Balance::new();
    let options = AllocOptions::new().write_combine(true);
    assert!(device()
        .alloc_with(BLOCK, options)
        .unwrap()
        .is_write_combine());
    round_trip(options).unwrap();
}

#[test]
fn a_view_sees_what_the_master_wrote_and_the_master_what_it_wrote() {
    let _balance = Balance::new();
    let device = device();
    let from = device.alloc(BLOCK).unwrap();
    let to = device.alloc(BLOCK).unwrap();
    let mut from = from.into_device(Direction::Bidirectional).unwrap();
    let to = to.into_device(Direction::FromDevice).unwrap();
    from.view_mut().write_at(101, b"status").unwrap();
    from.sync_for_device(101..107).unwrap();
    copy(&from, &to);
    to.sync_for_cpu(101..107).unwrap();
    let mut seen = [0; 8];
    to.view().read_at(100, &mut seen).unwrap();
    assert_eq!(&seen, b"\0status\0");
    drop((take_back(from).unwrap(), take_back(to).unwrap()));
}

#[test]
fn a_view_ends_where_the_buffer_ends() {
    let _balance = Balance::new();
    let buffer = device().alloc(100).unwrap();
    let buffer = buffer.into_device(Direction::ToDevice).unwrap();
    let error = buffer.view().read_at(97, &mut [0; 4]).unwrap_err();
    assert!(matches!(
        error,
        Error::OutOfRange {
            start: 97,
            end: 101,
            len: 100
        }
    ));
    take_back(buffer).unwrap();
}

#[test]
fn an_abandoned_buffer_is_not_given_away_before_the_process_ends() {
    let balance = Balance::new();
    in_child(|| {
        let device = device();
        let buffer = device.alloc(3 * BLOCK).unwrap();
        let phys_addr = buffer.phys_addr();
        drop(buffer.into_device(Direction::FromDevice).unwrap());
        let abandoned = device.abandoned();
        assert_eq!((abandoned.buffers, abandoned.bytes), (1, 3 * BLOCK as u64));
        assert!(device.phys_to_user(phys_addr).unwrap().is_some());
        assert!(device.user_of(phys_addr).is_some());
        assert_ne!(device.alloc(3 * BLOCK).unwrap().phys_addr(), phys_addr);
    });
    balance.expect_held(0);
}

#[test]
fn a_forked_child_can_neither_use_nor_free_a_buffer() {
    let balance = Balance::new();
    let device = device();
    let mut buffer = device.alloc(BLOCK).unwrap();
    buffer.fill(9);
    let (addr, parent) = (std::ptr::from_ref(&buffer[0]) as u64, std::process::id());
    let mut inherited = Some(buffer);
    in_child(|| {
        let buffer = inherited.take().unwrap();
        let mut failed = buffer.into_device(Direction::ToDevice).unwrap_err();
        let child = std::process::id();
        let Error::Forked { owner, child: here } = failed.error else {
            panic!("{}", failed.error);
        };
        assert_eq!((owner, here), (parent, child));
        assert!(failed.buffer.sync_for_cpu(..).is_err());
        assert_eq!(device.user_to_phys(addr as *const u8).unwrap(), None);
        assert_eq!(device.phys_of(addr as *const u8), None);
        drop(failed);
    });
    balance.expect_held(1);
    assert!(inherited.unwrap().iter().all(|byte| *byte == 9));
}

#[test]
fn a_forked_child_may_use_the_device() {
    let _balance = Balance::new();
    let device = device();
    in_child(|| {
        let buffer = device.alloc(BLOCK).unwrap();
        take_back(buffer.into_device(Direction::Bidirectional).unwrap()).unwrap();
    });
}

#[test]
fn buffers_go_to_other_threads() {
    let _balance = Balance::new();
    let device = device();
    let worker = {
        let device = device.clone();
        std::thread::spawn(move || {
            let mut buffer = device.alloc(BLOCK).unwrap();
            buffer.fill(4);
            buffer
        })
    };
    let buffer = worker.join().unwrap();
    assert!(buffer.iter().all(|byte| *byte == 4));
}
