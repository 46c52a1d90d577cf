// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages and conversions of errors.

use super::*;
use std::error::Error as _;

fn open_error(errno: Errno) -> String {
    let path = PathBuf::from("/dev/fpgamem3");
    Error::Open {
        path,
        source: errno.into(),
    }
    .to_string()
}

fn room_error(requested: u64, free: u64, largest_free: u64) -> String {
    quarantine_error(requested, free, largest_free, 0)
}

fn quarantine_error(requested: u64, free: u64, largest_free: u64, quarantined: u64) -> String {
    Error::OutOfMemory {
        requested,
        align: 16384,
        free,
        largest_free,
        quarantined,
    }
    .to_string()
}

#[test]
fn quarantined_memory_is_named_with_the_way_out() {
    let message = quarantine_error(30, 10, 10, 20);
    assert!(message.contains("20 are in quarantine"), "{message}");
    assert!(message.contains("FPGAMEM_IOC_QUIET"), "{message}");
    let message = quarantine_error(31, 10, 10, 20);
    assert!(!message.contains("FPGAMEM_IOC_QUIET"), "{message}");
}

#[test]
fn a_missing_node_names_the_module_and_the_device_tree() {
    let message = open_error(Errno::ENOENT);
    assert!(message.starts_with("cannot open /dev/fpgamem3: there is no such node"));
    assert!(message.contains("modprobe fpgamem"));
    assert!(message.contains("fpgamem,memory-pool"));
}

#[test]
fn a_forbidden_node_names_the_group() {
    assert!(open_error(Errno::EACCES).contains("usermod -aG fpgamem"));
}

#[test]
fn an_exhausted_pool_gives_all_numbers() {
    let message = room_error(65536, 32768, 16384);
    assert_eq!(
        message,
        "no room for 65536 bytes aligned to 16384: 32768 bytes are free, 16384 in one piece \
         so aligned, 0 are in quarantine; free other buffers or reserve a larger region in the device tree"
    );
}

#[test]
fn a_fragmented_pool_is_told_from_an_exhausted_one() {
    assert!(room_error(32768, 65536, 16384).contains("fragmented"));
}

#[test]
fn failure_with_room_points_at_limits() {
    assert!(room_error(16384, 65536, 65536).contains("look for a limit"));
}

#[test]
fn an_abi_mismatch_gives_both_numbers() {
    let path = PathBuf::from("/dev/fpgamem0");
    let message = Error::AbiMismatch {
        path,
        library: 1,
        driver: 7,
    }
    .to_string();
    assert!(message.contains("library speaks ABI 1"));
    assert!(message.contains("/dev/fpgamem0 speaks ABI 7"));
}

#[test]
fn an_ioctl_error_names_the_call_and_keeps_the_errno() {
    let error = Error::ioctl(Call::Flush, Errno::EFAULT);
    assert_eq!(error.to_string(), "FPGAMEM_IOC_FLUSH failed");
    let source = error.source().and_then(|s| s.downcast_ref::<Errno>());
    assert_eq!(source, Some(&Errno::EFAULT));
}

#[test]
fn an_unbound_device_is_told_apart() {
    let error = Error::ioctl(Call::Alloc, Errno::ENODEV);
    assert!(matches!(error, Error::Unbound { call: Call::Alloc }));
}

#[test]
fn becomes_an_io_error_of_the_same_kind_and_text() {
    let error = Error::InvalidLength {
        requested: 0,
        region_bytes: 1 << 30,
    };
    let text = error.to_string();
    let io = io::Error::from(error);
    assert_eq!(io.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(io.to_string(), text);
    let io = io::Error::from(Error::ioctl(Call::Flush, Errno::EACCES));
    assert_eq!(io.kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn a_failed_hand_over_gives_the_buffer_back() {
    let error = Error::Forked {
        owner: 10,
        child: 11,
    };
    let failed = HandOverError {
        error,
        buffer: vec![1_u8, 2],
    };
    assert!(failed.to_string().contains("process 10"));
    assert_eq!(failed.buffer, [1, 2]);
    assert!(matches!(
        Error::from(failed),
        Error::Forked {
            owner: 10,
            child: 11
        }
    ));
}

#[test]
fn a_node_without_a_driver_names_the_module() {
    for errno in [Errno::ENXIO, Errno::ENODEV] {
        let message = open_error(errno);
        assert!(
            message.contains("no driver is behind the node"),
            "{message}"
        );
        assert!(message.contains("modprobe fpgamem"), "{message}");
    }
}

#[test]
fn another_refusal_is_left_to_its_source() {
    assert_eq!(
        open_error(Errno::EMFILE),
        "cannot open /dev/fpgamem3: the system refused"
    );
}

#[test]
fn a_forbidden_node_of_u_dma_buf_names_the_rule() {
    let error = Error::UDmaBuf {
        path: "/sys/dev/char/1:2/sync_for_cpu".into(),
        source: Errno::EACCES.into(),
    };
    assert!(error.to_string().contains("by a udev rule"), "{error}");
    assert_eq!(
        io::Error::from(error).kind(),
        io::ErrorKind::PermissionDenied
    );
}
