// SPDX-License-Identifier: GPL-2.0

//! An open `/dev/fpgamemN`: its handles, mmap, and the dispatch of ioctls.

use crate::{
    buffer::{Buffer, Client},
    driver::BoundPool,
    kapi::{
        cache::{self, Operation},
        misc::{self, FileOperations},
        task, uaccess, vma,
    },
    paddle::native,
    pool::{Pool, Request},
    shared::{abi, paddle_abi},
    state::{Home, Owner},
    sync, translate,
};
use core::{
    mem::MaybeUninit,
    sync::atomic::{AtomicU64, Ordering},
};
use kernel::{
    mm::virt::VmaNew,
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNode, RBTreeNodeReservation},
    seq_file::SeqFile,
    seq_print,
    sync::{Arc, Mutex},
};

/// What every pool of this driver can do.
const FEATURES: u64 = abi::FEATURE_WRITE_COMBINE
    | abi::FEATURE_COHERENCY
    | abi::FEATURE_SYNC_VECTOR
    | abi::FEATURE_QUARANTINE;

const ALLOC_FLAGS: u32 = abi::ALLOC_WRITE_COMBINE | abi::ALLOC_COHERENT | abi::ALLOC_NONCOHERENT;

/// The handles of an open file.
struct Handles {
    buffers: RBTree<u32, Arc<Buffer>>,
    count: usize,
    /// The handle given out last.
    last: u32,
}

impl Handles {
    /// A handle that is not in use. It stays unused until it comes round again, so a buffer can be
    /// entered later.
    fn reserve(&mut self) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && self.buffers.get(&self.last).is_none() {
                return self.last;
            }
        }
    }
}

/// An open node.
#[pin_data]
pub(crate) struct OpenFile {
    bound: Arc<BoundPool>,
    /// Tells files apart; never used twice.
    number: u64,
    client: Arc<Client>,
    #[pin]
    handles: Mutex<Handles>,
}

static FILE_OPERATIONS: FileOperations<OpenFile> = FileOperations::new(&crate::THIS_MODULE);

impl misc::OpenFile for OpenFile {
    type Device = BoundPool;

    fn file_operations() -> &'static FileOperations<Self> {
        &FILE_OPERATIONS
    }

    fn open(bound: Arc<BoundPool>) -> Result<Pin<KBox<Self>>> {
        static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);
        let client = Client::new()?;
        let handles = Handles {
            buffers: RBTree::new(),
            count: 0,
            last: 0,
        };
        KBox::pin_init(
            pin_init!(Self {
                bound,
                number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
                client,
                handles <- new_mutex!(handles, "fpgamem::OpenFile"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Offset 0 allocates a buffer, as does that of Paddle's clients; an offset from `ALLOC` maps that
    /// buffer; another one the status area.
    fn mmap(&self, vma: &VmaNew) -> Result {
        let pool = self.bound.pool()?;
        if !vma::is_shared(vma) {
            return Err(EINVAL);
        }
        vma.try_clear_mayexec()?;
        // CAST: usize is 64 bits on arm64.
        let len = (vma.end() - vma.start()) as u64;
        let offset = vma::file_offset(vma);
        if offset == abi::MMAP_STATUS_OFFSET {
            if !vma::may_write(vma) {
                return Err(EACCES);
            }
            return self.client.map_area(vma);
        }
        let allocates =
            offset == 0 || offset == paddle_abi::B_BASE && self.bound.paddle().is_some();
        let home = translate::address_space().map(|mm| Home {
            mm,
            user_addr: vma.start(),
        });
        if allocates {
            let buffer = self.alloc(pool, len, 0, self.default_flags(), 0, home)?;
            let phys_addr = buffer.phys_addr();
            return vma::map(vma, phys_addr, pool.mmap_offset_of(phys_addr), buffer);
        }
        let phys_addr = pool.phys_addr_at(offset)?;
        let buffer = self.buffer_at(pool, phys_addr, len)?;
        let blocks = buffer.blocks();
        vma::map(vma, phys_addr, pool.mmap_offset_of(phys_addr), buffer)?;
        pool.add_vma(blocks, home);
        Ok(())
    }

    fn ioctl(&self, command: u32, arg: usize) -> Result {
        let pool = self.bound.pool()?;
        match command {
            abi::IOC_INFO => self.info(pool, arg),
            abi::IOC_ALLOC => self.alloc_handle(pool, arg),
            abi::IOC_FREE => self.free(arg),
            abi::IOC_QUERY => self.query(arg),
            abi::IOC_USER_TO_PHYS => translate::user_to_phys(pool, arg),
            abi::IOC_PHYS_TO_USER => translate::phys_to_user(pool, arg),
            abi::IOC_FLUSH => self.sync_one(pool, Operation::Clean, arg),
            abi::IOC_INVALIDATE => self.sync_one(pool, Operation::CleanInvalidate, arg),
            abi::IOC_SYNC => self.sync_many(pool, arg),
            abi::IOC_SET_OWNER => self.set_owner(pool, arg),
            abi::IOC_QUIET if task::may_access_hardware() => {
                pool.quiet();
                Ok(())
            }
            abi::IOC_QUIET => Err(EPERM),
            _ if self.bound.paddle().is_some() => native::ioctl(pool, command, arg),
            _ => Err(ENOTTY),
        }
    }

    fn show_fdinfo(&self, seq: &SeqFile) {
        seq_print!(seq, "fpgamem-buffers:\t{}\n", self.client.buffers());
        seq_print!(seq, "fpgamem-bytes:\t{}\n", self.client.bytes());
        seq_print!(seq, "fpgamem-handles:\t{}\n", self.handles.lock().count);
    }
}

impl OpenFile {
    /// What the file belongs to.
    pub(crate) fn bound(&self) -> &BoundPool {
        &self.bound
    }

    /// `BUFFER_*` bits of a buffer that asks for nothing.
    fn default_flags(&self) -> u32 {
        if self.bound.is_coherent() {
            abi::BUFFER_COHERENT
        } else {
            0
        }
    }

    /// Allocates a buffer that belongs to this file: for a handle that is not 0, or for a VMA.
    fn alloc(
        &self,
        pool: &Arc<Pool>,
        len: u64,
        align: u64,
        flags: u32,
        handle: u32,
        home: Option<Home>,
    ) -> Result<Arc<Buffer>> {
        let owner = Owner {
            file: self.number,
            handle,
            pid: current!().group_leader().pid(),
        };
        let request = Request {
            len,
            align,
            flags,
            owner,
            home,
        };
        pool.alloc(request, self.client.clone())
    }

    /// The buffer of a handle.
    ///
    /// # Errors
    ///
    /// `ENOENT` if this file has no such handle.
    pub(crate) fn buffer(&self, handle: u32) -> Result<Arc<Buffer>> {
        let handles = self.handles.lock();
        handles.buffers.get(&handle).cloned().ok_or(ENOENT)
    }

    /// The buffer behind `len` bytes from `phys_addr` on, if this file has a handle of it.
    fn buffer_at(&self, pool: &Pool, phys_addr: u64, len: u64) -> Result<Arc<Buffer>> {
        let record = pool
            .record_at(phys_addr)
            .filter(|record| record.owner.file == self.number)
            .ok_or(EINVAL)?;
        let buffer = self.buffer(record.owner.handle).map_err(|_| EINVAL)?;
        let offset = phys_addr.checked_sub(buffer.phys_addr()).ok_or(EINVAL)?;
        if offset > buffer.bytes() || len > buffer.bytes() - offset {
            return Err(EINVAL);
        }
        Ok(buffer)
    }

    /// INFO: describes the pool.
    fn info(&self, pool: &Pool, arg: usize) -> Result {
        let mut info = abi::Info {
            abi: abi::ABI,
            flags: self.default_flags(),
            features: FEATURES,
            // CAST: a power of two up to 128 KiB.
            cache_line_bytes: cache::line_bytes() as u32,
            ..abi::Info::default()
        };
        pool.describe(&mut info);
        uaccess::write(arg, &info)
    }

    /// ALLOC: allocates a buffer and names it by a handle.
    ///
    /// The handle works once the caller has been told of it, so a failing copy leaves nothing
    /// behind.
    fn alloc_handle(&self, pool: &Arc<Pool>, arg: usize) -> Result {
        let mut room = MaybeUninit::uninit();
        let alloc: &mut abi::Alloc = uaccess::read(arg, &mut room)?;
        let flags = self.buffer_flags(alloc.flags)?;
        if alloc.reserved != [0; 3] {
            return Err(EINVAL);
        }
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let handle = self.handles.lock().reserve();
        let buffer = self.alloc(pool, alloc.len, alloc.align, flags, handle, None)?;
        alloc.handle = handle;
        alloc.alloc_bytes = buffer.bytes();
        alloc.phys_addr = buffer.phys_addr();
        alloc.device_addr = buffer.device_addr();
        alloc.mmap_offset = buffer.mmap_offset();
        alloc.status_slot = buffer.status_slot();
        uaccess::write(arg, alloc)?;
        self.enter(node.into_node(handle, buffer));
        Ok(())
    }

    /// `BUFFER_*` bits for `ALLOC_*` bits.
    fn buffer_flags(&self, alloc_flags: u32) -> Result<u32> {
        if alloc_flags & !ALLOC_FLAGS != 0 {
            return Err(EINVAL);
        }
        let coherency = match alloc_flags & (abi::ALLOC_COHERENT | abi::ALLOC_NONCOHERENT) {
            0 => self.default_flags(),
            abi::ALLOC_COHERENT => abi::BUFFER_COHERENT,
            abi::ALLOC_NONCOHERENT => 0,
            _ => return Err(EINVAL),
        };
        if alloc_flags & abi::ALLOC_WRITE_COMBINE != 0 {
            return Ok(coherency | abi::BUFFER_WRITE_COMBINE);
        }
        Ok(coherency)
    }

    fn enter(&self, node: RBTreeNode<u32, Arc<Buffer>>) {
        let mut handles = self.handles.lock();
        handles.count = handles.count.saturating_add(1);
        let replaced = handles.buffers.insert(node);
        // `reserve` chose a handle that is not in use; should four billion others have been given
        // out since, the older buffer goes, outside the lock.
        drop(handles);
        drop(replaced);
    }

    /// FREE: drops a handle.
    fn free(&self, arg: usize) -> Result {
        let mut room = MaybeUninit::uninit();
        let free: &mut abi::Free = uaccess::read(arg, &mut room)?;
        if free.reserved != 0 {
            return Err(EINVAL);
        }
        let mut handles = self.handles.lock();
        let node = handles.buffers.remove_node(&free.handle).ok_or(ENOENT)?;
        handles.count = handles.count.saturating_sub(1);
        // The last reference takes the lock of the pool, so it goes outside this one.
        drop(handles);
        drop(node);
        Ok(())
    }

    /// QUERY: describes the buffer of a handle.
    fn query(&self, arg: usize) -> Result {
        let mut room = MaybeUninit::uninit();
        let query: &mut abi::Buffer = uaccess::read(arg, &mut room)?;
        if query.reserved != [0; 3] {
            return Err(EINVAL);
        }
        let buffer = self.buffer(query.handle)?;
        query.flags = buffer.flags();
        query.alloc_bytes = buffer.bytes();
        query.phys_addr = buffer.phys_addr();
        query.device_addr = buffer.device_addr();
        query.mmap_offset = buffer.mmap_offset();
        query.status_slot = buffer.status_slot();
        uaccess::write(arg, query)
    }

    /// SET_OWNER: says whether the device may access a buffer.
    fn set_owner(&self, pool: &Pool, arg: usize) -> Result {
        let mut room = MaybeUninit::uninit();
        let request: &mut abi::SetOwner = uaccess::read(arg, &mut room)?;
        let device = match request.owner {
            abi::OWNER_CPU => false,
            abi::OWNER_DEVICE => true,
            _ => return Err(EINVAL),
        };
        if request.reserved != 0 || request.handle != 0 && request.addr != 0 {
            return Err(EINVAL);
        }
        let buffer = if request.handle == 0 {
            let address = usize::try_from(request.addr).map_err(|_| EFAULT)?;
            translate::buffer_behind(pool, address, 1)?.0
        } else {
            self.buffer(request.handle)?
        };
        buffer.set_device_owned(device);
        Ok(())
    }

    /// FLUSH and INVALIDATE: maintain one range.
    fn sync_one(&self, pool: &Pool, operation: Operation, arg: usize) -> Result {
        let mut room = MaybeUninit::uninit();
        let range: &mut abi::Range = uaccess::read(arg, &mut room)?;
        sync::one(self, pool, operation, range)
    }

    /// SYNC: maintains many ranges.
    fn sync_many(&self, pool: &Pool, arg: usize) -> Result {
        let mut room = MaybeUninit::uninit();
        let vector: &mut abi::Sync = uaccess::read(arg, &mut room)?;
        let operation = match vector.op {
            abi::SYNC_FLUSH => Operation::Clean,
            abi::SYNC_INVALIDATE => Operation::CleanInvalidate,
            _ => return Err(EINVAL),
        };
        if vector.count == 0 || vector.count > abi::MAX_RANGES || vector.reserved != 0 {
            return Err(EINVAL);
        }
        let address = usize::try_from(vector.ranges).map_err(|_| EFAULT)?;
        let count = usize::try_from(vector.count)?;
        let ranges: KVVec<abi::Range> = uaccess::read_array(address, count)?;
        sync::many(self, pool, operation, &ranges)
    }
}
