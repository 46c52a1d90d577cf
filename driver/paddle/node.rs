// SPDX-License-Identifier: GPL-2.0

//! An open `/dev/fpgadrvN`, the node of family A: the same pool as `/dev/fpgamemN`, seen through
//! the calls of Paddle-Lite's FPGA back end.
//!
//! Its clients take a stale `EINVAL` or `ENOMEM` of an ioctl for a failed allocation and exit, so
//! no ioctl fails with either.

use super::{info, pe, registers, sync};
use crate::{
    driver::BoundPool,
    file::OpenFile,
    kapi::{
        cache::Operation,
        misc::{self, FileOperations},
        uaccess, vma,
    },
    shared::paddle_abi as abi,
};
use core::mem::MaybeUninit;
use kernel::{mm::virt::VmaNew, prelude::*, seq_file::SeqFile, sync::Arc};

/// An open node: an open native one that is asked other questions.
pub(crate) struct PaddleFile {
    native: Pin<KBox<OpenFile>>,
}

static FILE_OPERATIONS: FileOperations<PaddleFile> = FileOperations::new(&crate::THIS_MODULE);

impl misc::OpenFile for PaddleFile {
    type Device = BoundPool;

    fn file_operations() -> &'static FileOperations<Self> {
        &FILE_OPERATIONS
    }

    fn open(bound: Arc<BoundPool>) -> Result<Pin<KBox<Self>>> {
        let native = OpenFile::open(bound)?;
        Ok(KBox::pin(Self { native }, GFP_KERNEL_ACCOUNT)?)
    }

    /// Offset 0 allocates, and [`abi::REGISTERS`] maps the accelerator's registers; there is nothing
    /// else to map.
    fn mmap(&self, vma: &VmaNew) -> Result {
        match vma::file_offset(vma) {
            0 => {}
            abi::REGISTERS => return registers::map(self.native.bound(), vma),
            _ => return Err(ENXIO),
        }
        // What exceeds the region has no room in it either.
        self.native.mmap(vma).map_err(|error| {
            if error == EINVAL && vma::is_shared(vma) {
                ENOMEM
            } else {
                error
            }
        })
    }

    fn ioctl(&self, command: u32, arg: usize) -> Result {
        let bound = self.native.bound();
        let pool = bound.pool()?;
        let operation = match command {
            abi::A_DEVICE_INFO => {
                return uaccess::write(arg, bound.paddle().ok_or(ENOTTY)?);
            }
            abi::A_VERSION => return info::version(bound.paddle().ok_or(ENOTTY)?, arg),
            abi::A_FLUSH | abi::OLD_FLUSH => Operation::Clean,
            abi::A_INVALIDATE | abi::OLD_INVALIDATE => Operation::CleanInvalidate,
            _ => return pe::ioctl(bound, pool, command, arg),
        };
        let mut room = MaybeUninit::uninit();
        let range: &mut abi::CacheRange = uaccess::read(arg, &mut room)?;
        sync::sync(pool, operation, range.address, range.size)
    }

    fn show_fdinfo(&self, seq: &SeqFile) {
        self.native.show_fdinfo(seq);
    }
}
