// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can go wrong with registers.

use std::io;
use std::path::PathBuf;

/// Why registers cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// There is no UIO device of that name.
    #[error(
        "no UIO device is named \"{name}\" (there are {found:?}); the device tree needs a node \
         compatible to generic-uio with linux,uio-name = \"{name}\", the kernel UIO_PDRV_GENIRQ and \
         uio_pdrv_genirq.of_id=generic-uio on its command line"
    )]
    NotFound {
        /// The name looked for.
        name: String,
        /// The names of the devices that there are.
        found: Vec<String>,
    },

    /// More than one UIO device has the name.
    #[error(
        "more than one UIO device is named \"{name}\": {nodes:?}; open one by its node, or give each a \
         linux,uio-name of its own in the device tree"
    )]
    Ambiguous {
        /// The name.
        name: String,
        /// The nodes of those that have it.
        nodes: Vec<PathBuf>,
    },

    /// The file is no node of a UIO device.
    #[error("{} is no node of a UIO device (there are {found:?})", .path.display())]
    NotUio {
        /// What was to be opened.
        path: PathBuf,
        /// The nodes that there are, with the names of their devices.
        found: Vec<String>,
    },

    /// The device's file, or what the system says about it, is not to be used.
    #[error("cannot use the registers behind {}: {}", .path.display(), remedy(.source))]
    Open {
        /// What was tried.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },

    /// An access is aligned to its width and inside the window.
    #[error(
        "no register of {bytes} bytes is at offset {offset:#x} of a window of {len:#x} bytes; offsets \
         are multiples of the width, below the window's end"
    )]
    Outside {
        /// Offset of the access.
        offset: usize,
        /// Its width.
        bytes: usize,
        /// Bytes of the window.
        len: usize,
    },

    /// The device has no interrupt, or it cannot be waited for.
    #[error(
        "cannot use the interrupt of \"{name}\"; its node in the device tree needs the property \
         interrupts"
    )]
    Interrupt {
        /// Name of the device.
        name: String,
        /// Why it failed.
        source: io::Error,
    },

    /// Models are for emulated devices.
    #[error(
        "{} is a device of a board, which has no models; open its registers by the name of a UIO \
         device", .path.display()
    )]
    NotEmulated {
        /// The node.
        path: PathBuf,
    },

    /// The model failed in its run.
    #[error(transparent)]
    Model(#[from] crate::Error),
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "not permitted; give the user the node by a udev rule (SUBSYSTEM==\"uio\", GROUP=\"fpgamem\", \
             MODE=\"0660\") and a new login"
        }
        io::ErrorKind::NotFound => {
            "the device has no such window; its node in the device tree needs another reg"
        }
        _ => "the system refused",
    }
}
