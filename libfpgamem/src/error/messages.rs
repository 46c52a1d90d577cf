// SPDX-License-Identifier: MIT OR Apache-2.0

//! The table of messages in `docs/messages.md` has every one, word for word, with a test that exists.

use super::*;
use crate::mmio::RegisterError;
use std::io::ErrorKind;

const TABLE: &str = include_str!("../../../docs/messages.md");

fn open(errno: Errno) -> Error {
    Error::Open {
        path: "/dev/fpgamem0".into(),
        source: errno.into(),
    }
}

fn u_dma_buf(errno: Errno) -> Error {
    Error::UDmaBuf {
        path: "/dev/udmabuf0".into(),
        source: errno.into(),
    }
}

fn out_of_memory(free: u64, largest_free: u64, quarantined: u64) -> Error {
    Error::OutOfMemory {
        requested: 65536,
        align: 16384,
        free,
        largest_free,
        quarantined,
    }
}

/// One of every message.
fn samples() -> Vec<Error> {
    vec![
        open(Errno::ENOENT),
        open(Errno::EACCES),
        open(Errno::ENXIO),
        open(Errno::EMFILE),
        Error::NotFpgamem {
            path: "/dev/null".into(),
        },
        Error::AbiMismatch {
            path: "/dev/fpgamem0".into(),
            library: 1,
            driver: 2,
        },
        out_of_memory(32768, 16384, 0),
        out_of_memory(65536, 16384, 0),
        out_of_memory(32768, 16384, 32768),
        out_of_memory(65536, 65536, 0),
        Error::InvalidLength {
            requested: 0,
            region_bytes: 1 << 30,
        },
        Error::InvalidAlignment {
            requested: 3,
            max: 1 << 30,
        },
        Error::OutOfRange {
            start: 8,
            end: 11,
            len: 10,
        },
        Error::InvalidSplit {
            mid: 100,
            len: 4096,
            line_bytes: 64,
        },
        Error::NotAdjacent {
            end: 0x4000_4000,
            next: 0x4000_8000,
        },
        Error::InvalidElements {
            len: 10,
            size: 4,
            align: 4,
        },
        Error::Map {
            len: 16384,
            source: Errno::ENOMEM.into(),
        },
        Error::InvalidRegion {
            region_bytes: 100,
            block_bytes: 16384,
        },
        Error::Bus {
            addr: 0x1000,
            len: 64,
        },
        Error::AcceleratorPanicked {
            message: "index out of bounds".into(),
        },
        Error::Unbound { call: Call::Alloc },
        Error::Forked {
            owner: 100,
            child: 101,
        },
        Error::Ioctl {
            call: Call::Flush,
            source: Errno::EFAULT,
        },
        Error::UnexpectedResponse {
            field: "info.block_bytes",
            value: 3,
        },
        u_dma_buf(Errno::ENOENT),
        u_dma_buf(Errno::EACCES),
        u_dma_buf(Errno::EIO),
        Error::NotUDmaBuf {
            path: "/dev/null".into(),
        },
        Error::InUse {
            path: "/dev/udmabuf0".into(),
        },
        Error::NoWriteCombine {
            path: "/dev/udmabuf0".into(),
        },
    ]
}

/// Names the variant; a new one does not compile until it is here and among the samples.
fn name(error: &Error) -> &'static str {
    match error {
        Error::Open { .. } => "Open",
        Error::NotFpgamem { .. } => "NotFpgamem",
        Error::AbiMismatch { .. } => "AbiMismatch",
        Error::OutOfMemory { .. } => "OutOfMemory",
        Error::InvalidLength { .. } => "InvalidLength",
        Error::InvalidAlignment { .. } => "InvalidAlignment",
        Error::OutOfRange { .. } => "OutOfRange",
        Error::InvalidSplit { .. } => "InvalidSplit",
        Error::NotAdjacent { .. } => "NotAdjacent",
        Error::InvalidElements { .. } => "InvalidElements",
        Error::Map { .. } => "Map",
        Error::InvalidRegion { .. } => "InvalidRegion",
        Error::Bus { .. } => "Bus",
        Error::AcceleratorPanicked { .. } => "AcceleratorPanicked",
        Error::Unbound { .. } => "Unbound",
        Error::Forked { .. } => "Forked",
        Error::Ioctl { .. } => "Ioctl",
        Error::UnexpectedResponse { .. } => "UnexpectedResponse",
        Error::UDmaBuf { .. } => "UDmaBuf",
        Error::NotUDmaBuf { .. } => "NotUDmaBuf",
        Error::InUse { .. } => "InUse",
        Error::NoWriteCombine { .. } => "NoWriteCombine",
    }
}

fn registers(kind: ErrorKind) -> RegisterError {
    RegisterError::Open {
        path: "/dev/uio0".into(),
        source: kind.into(),
    }
}

/// One of every message about registers.
fn register_samples() -> Vec<RegisterError> {
    vec![
        RegisterError::NotFound {
            name: "vadd".to_owned(),
            found: vec!["zdma".to_owned()],
        },
        RegisterError::Ambiguous {
            name: "vadd".to_owned(),
            nodes: vec!["/dev/uio0".into(), "/dev/uio2".into()],
        },
        RegisterError::NotUio {
            path: "/dev/null".into(),
            found: vec!["/dev/uio0 (vadd)".to_owned()],
        },
        registers(ErrorKind::PermissionDenied),
        registers(ErrorKind::NotFound),
        registers(ErrorKind::InvalidData),
        RegisterError::Outside {
            offset: 2,
            bytes: 4,
            len: 4096,
        },
        RegisterError::Interrupt {
            name: "vadd".to_owned(),
            source: ErrorKind::Unsupported.into(),
        },
        RegisterError::NotEmulated {
            path: "/dev/fpgamem0".into(),
        },
    ]
}

/// Names the variant; a new one does not compile until it is here and among the samples.
fn register_name(error: &RegisterError) -> &'static str {
    match error {
        RegisterError::NotFound { .. } => "RegisterError::NotFound",
        RegisterError::Ambiguous { .. } => "RegisterError::Ambiguous",
        RegisterError::NotUio { .. } => "RegisterError::NotUio",
        RegisterError::Open { .. } => "RegisterError::Open",
        RegisterError::Outside { .. } => "RegisterError::Outside",
        RegisterError::Interrupt { .. } => "RegisterError::Interrupt",
        RegisterError::NotEmulated { .. } => "RegisterError::NotEmulated",
        RegisterError::Model(error) => name(error),
    }
}

/// Name of the variant, message, cause, mend and test of every row.
fn rows() -> Vec<[&'static str; 5]> {
    let rows = TABLE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells = line.trim_matches('|').split(" | ").map(str::trim);
        let cells: Vec<_> = cells.collect();
        cells.try_into().expect("a row has five cells")
    })
    .collect()
}

#[test]
fn the_table_has_every_message_word_for_word() {
    let samples = samples();
    let samples = samples.iter().map(|error| (name(error), error.to_string()));
    let of_registers = register_samples();
    let of_registers = of_registers
        .iter()
        .map(|error| (register_name(error), error.to_string()));
    let expected = samples
        .chain(of_registers)
        .map(|(name, message)| (format!("`{name}`"), message))
        .collect::<Vec<_>>();
    let found = rows()
        .iter()
        .map(|[name, message, ..]| ((*name).to_owned(), (*message).to_owned()))
        .collect::<Vec<_>>();
    assert_eq!(found, expected);
}

#[test]
fn every_message_of_the_table_has_cause_mend_and_a_test_that_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for [_, message, cause, mend, test] in rows() {
        assert!(!cause.is_empty() && !mend.is_empty(), "{message}");
        let (file, function) = test.trim_matches('`').split_once("::").expect(message);
        let source = std::fs::read_to_string(root.join(file)).expect(file);
        let head = format!("fn {function}()");
        assert!(source.contains(&head), "{file} has no {function}");
    }
}
