// SPDX-License-Identifier: GPL-2.0

//! Mappings of page frames that an object of the driver owns, counted per VMA.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)
//!
//! A VMA made by [`map`] holds a reference on its object. The kernel calls `open` for every further
//! VMA (fork, split, move) and `close` for every one that goes, after its translations are gone from
//! the TLBs; when the mmap hook fails it calls neither. `vm_pgoff` is ours to choose and the kernel
//! keeps it in step through splits and moves, so it tells where in the object any address points.
//!
//! In the manner of `VmaMixedMap` of `rust/kernel/mm/virt.rs`, where this would go as `VmaPfnMap`.

use super::{huge, region::RegionSlice, task};
use core::{marker::PhantomData, mem::MaybeUninit, ops::Range, ptr};
use kernel::{
    bindings,
    error::{from_result, to_result},
    ffi::{c_int, c_ulong, c_void},
    mm::{
        virt::{flags, VmaNew, VmaRef},
        MmWithUser, MmapReadGuard,
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        lock::{mutex::MutexBackend, Guard},
        Arc, ArcBorrow,
    },
};

// Bits of arm64 page table entries that the generated bindings lack, being macros in C:
// arch/arm64/include/asm/pgtable-hwdef.h and pgtable-prot.h.
const PTE_ATTRINDX_MASK: u64 = 7 << 2;
const PTE_ATTRINDX_NORMAL_NC: u64 = 2 << 2;
const PTE_ATTRINDX_DEVICE_NGNRE: u64 = 4 << 2;
const PTE_RDONLY: u64 = 1 << 7;
const PTE_PXN: u64 = 1 << 53;
const PTE_UXN: u64 = 1 << 54;
const PTE_DIRTY: u64 = 1 << 55;

/// How the CPU accesses a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// Normal memory, write-back cacheable.
    Cached,
    /// Normal memory, not cacheable; stores may be merged.
    WriteCombine,
}

/// An object whose page frames can be mapped by [`map`].
pub(crate) trait PfnMapped: Send + Sync + Sized + 'static {
    /// The operations of its VMAs. Must always be the same: [`at`] knows VMAs by them.
    fn vm_operations() -> &'static VmOperations<Self>;

    /// How the CPU maps the page frames.
    fn attribute(&self) -> Attribute;

    /// The memory behind `len` bytes of a VMA from `offset` on, counted as [`map`] was told.
    ///
    /// # Errors
    ///
    /// `EFAULT` or `EINVAL` if there is none.
    fn memory(&self, offset: u64, len: u64) -> Result<RegionSlice<'_>>;

    /// Locks the page tables of all VMAs of the object against other faults. Called under the mmap lock or
    /// that of a VMA.
    fn lock_tables(&self) -> Guard<'_, (), MutexBackend>;

    /// A VMA refers to the object now. Called under the mmap lock.
    fn vma_added(&self);

    /// A VMA refers to the object no more. Called under the mmap lock, before the reference that
    /// the VMA held is dropped; `by_stranger` by a task whose address space it is not.
    fn vma_removed(&self, by_stranger: bool);
}

/// `struct vm_operations_struct` for VMAs whose private data is a reference on a `T`.
#[repr(transparent)]
pub(crate) struct VmOperations<T> {
    inner: bindings::vm_operations_struct,
    _object: PhantomData<fn(T)>,
}

// SAFETY: Function pointers and null pointers, never written.
unsafe impl<T> Sync for VmOperations<T> {}

impl<T: PfnMapped> VmOperations<T> {
    /// The table, for a `static`.
    pub(crate) const fn new() -> Self {
        // SAFETY: All zeroes is a valid value: every operation is optional.
        let mut inner: bindings::vm_operations_struct =
            unsafe { MaybeUninit::zeroed().assume_init() };
        inner.open = Some(Self::open);
        inner.close = Some(Self::close);
        inner.access = Some(Self::access);
        inner.fault = Some(huge::fault::<T>);
        #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
        {
            inner.huge_fault = Some(huge::huge_fault::<T>);
        }
        Self {
            inner,
            _object: PhantomData,
        }
    }

    /// # Safety
    ///
    /// `vma` has this table and is a copy of a VMA that holds a reference.
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: The kernel passes a VMA that it is setting up.
        let object = unsafe { (*vma).vm_private_data }.cast::<T>();
        // SAFETY: The VMA that this one was copied from holds a reference.
        let object = unsafe { ArcBorrow::from_raw(object) };
        object.vma_added();
        // The VMA owns this reference; `close` takes it back.
        let _ = Arc::into_raw(Arc::from(object));
    }

    /// Copies bytes for ptrace and `/proc/PID/mem`, which cannot have the pages. Returns how many.
    ///
    /// As for ordinary memory, what is shared and not writable is not written, whoever asks.
    ///
    /// # Safety
    ///
    /// `vma` has this table and contains `address`, and does not change during the call. `buffer`
    /// is valid for reads and writes of `len` bytes.
    unsafe extern "C" fn access(
        vma: *mut bindings::vm_area_struct,
        address: c_ulong,
        buffer: *mut c_void,
        len: c_int,
        write: c_int,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The caller holds the mmap lock.
            let vma = unsafe { VmaRef::from_raw(vma) };
            let mapping = Mapping::<T>::of(vma).ok_or(EFAULT)?;
            let needed = if write != 0 {
                flags::WRITE
            } else {
                flags::MAYREAD
            };
            if vma.flags() & needed == 0 {
                return Err(EACCES);
            }
            let past = address.checked_sub(vma.start()).ok_or(EFAULT)?;
            let left = vma.end().checked_sub(address).ok_or(EFAULT)?;
            let len = usize::try_from(len)?.min(left);
            // CAST: usize is 64 bits on arm64.
            let offset = mapping.offset().checked_add(past as u64).ok_or(EFAULT)?;
            let bytes = mapping.object.memory(offset, len as u64)?;
            let attribute = mapping.object.attribute();
            // SAFETY: The caller vouches for the buffer, which is `len` bytes long at least.
            unsafe { bytes.copy(buffer.cast(), write != 0, attribute) }?;
            // CAST: at most what the caller passed.
            Ok(len as c_int)
        })
    }

    /// # Safety
    ///
    /// `vma` has this table; the kernel calls this once for each VMA.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: The kernel passes a VMA that it is taking down.
        let object = unsafe { (*vma).vm_private_data }.cast::<T>();
        // SAFETY: `map` or `open` left a reference with this VMA.
        let object = unsafe { Arc::from_raw(object) };
        // SAFETY: As above.
        let mm = unsafe { (*vma).vm_mm };
        object.vma_removed(task::is_stranger_to(mm));
    }
}

/// The offset in bytes that the mmap call asked for.
pub(crate) fn file_offset(vma: &VmaNew) -> u64 {
    // SAFETY: The VMA is being set up, nobody else writes it.
    let pages = unsafe { (*vma.as_ptr()).vm_pgoff };
    // CAST: usize is 64 bits on arm64. The kernel checked that the offset fits in bytes.
    (pages as u64).saturating_mul(PAGE_SIZE as u64)
}

/// The protection of a page that counts as written to: nothing ever cleans it, and without a hardware
/// dirty bit the first store would fault only to set that.
pub(super) fn dirty(mut prot: bindings::pgprot_t, writable: bool) -> bindings::pgprot_t {
    // Marked dirty even if it is read-only, for the case that mprotect makes it writable.
    prot.pgprot |= PTE_DIRTY;
    if writable {
        prot.pgprot &= !PTE_RDONLY;
    }
    prot
}

/// Maps the page frames from physical address `phys_addr` on into all of `vma`, whose offsets
/// become those from `offset` on. The VMA takes over the reference `object`, whose owner counts it.
///
/// What whole huge pages can map is left to the first access; the rest is entered at once.
///
/// # Errors
///
/// `ENOMEM` if there is no memory for page tables. Nothing is mapped then, so the reference can be
/// dropped.
pub(crate) fn map<T: PfnMapped>(
    vma: &VmaNew,
    phys_addr: u64,
    offset: u64,
    object: Arc<T>,
) -> Result {
    let raw = vma.as_ptr();
    let pgoff = usize::try_from(offset)? / PAGE_SIZE;
    let pfn = usize::try_from(phys_addr)? / PAGE_SIZE;

    // SAFETY: The VMA is being set up, nobody else accesses it.
    let mut prot = unsafe { (*raw).vm_page_prot };
    if object.attribute() == Attribute::WriteCombine {
        prot.pgprot = prot.pgprot & !PTE_ATTRINDX_MASK | PTE_ATTRINDX_NORMAL_NC | PTE_PXN | PTE_UXN;
        // Later changes of the protection start from this one.
        // SAFETY: As above.
        unsafe { (*raw).vm_page_prot = prot };
    }
    let prot = dirty(prot, vma.writable());
    // SAFETY: As above. No page of the VMA is mapped yet, so no reverse mapping depends on the
    // offset.
    unsafe { (*raw).vm_pgoff = pgoff };
    let range = vma.start()..vma.end();
    // What `remap_pfn_range` sets.
    let mut special = flags::IO | flags::PFNMAP | flags::DONTEXPAND | flags::DONTDUMP;
    let (head, tail) = match huge::whole_pages(range.clone(), phys_addr) {
        Some(whole) => {
            // Where those alone get huge pages who ask for them.
            special |= flags::HUGEPAGE;
            (range.start..whole.start, whole.end..range.end)
        }
        None => (range.clone(), range.end..range.end),
    };
    // SAFETY: As above. Page frames may be mapped into a shared VMA.
    unsafe { (*raw).__bindgen_anon_2.__vm_flags = vma.flags() | special };

    for part in [&head, &tail] {
        let pfn = pfn.saturating_add((part.start - range.start) / PAGE_SIZE);
        let entered = enter(vma, part, pfn, prot);
        if entered.is_err() && !head.is_empty() {
            // Before the page frames belong to somebody else.
            // SAFETY: The VMA is one of page frames and has these addresses.
            unsafe { bindings::zap_vma_ptes(raw, head.start, head.len()) };
        }
        entered?;
    }

    let operations: *const VmOperations<T> = T::vm_operations();
    // SAFETY: The VMA is being set up, nobody else accesses it; the table is static.
    unsafe { (*raw).vm_ops = operations.cast() };
    // SAFETY: As above.
    unsafe { (*raw).vm_private_data = Arc::into_raw(object).cast_mut().cast() };
    Ok(())
}

/// Enters the pages of a part of `vma`, none if it is empty.
fn enter(vma: &VmaNew, part: &Range<usize>, pfn: usize, prot: bindings::pgprot_t) -> Result {
    if part.is_empty() {
        return Ok(());
    }
    // SAFETY: The VMA is being set up under the mmap lock, and has these addresses. The object owns the
    // page frames and the reference that the VMA gets keeps it alive while they are mapped.
    to_result(unsafe { bindings::remap_pfn_range(vma.as_ptr(), part.start, pfn, part.len(), prot) })
}

/// Maps the registers of a device from physical address `phys_addr` on into all of `vma`: Device
/// memory that may acknowledge writes early (nGnRE), never executable.
///
/// # Errors
///
/// `ENOMEM` if there is no memory for page tables.
pub(crate) fn map_registers(vma: &VmaNew, phys_addr: u64) -> Result {
    let raw = vma.as_ptr();
    let pfn = usize::try_from(phys_addr)? / PAGE_SIZE;
    // SAFETY: The VMA is being set up, nobody else accesses it.
    let mut prot = unsafe { (*raw).vm_page_prot };
    prot.pgprot = prot.pgprot & !PTE_ATTRINDX_MASK | PTE_ATTRINDX_DEVICE_NGNRE | PTE_PXN | PTE_UXN;
    // Later changes of the protection start from this one.
    // SAFETY: As above.
    unsafe { (*raw).vm_page_prot = prot };
    let prot = dirty(prot, vma.writable());
    // SAFETY: The VMA is being set up under the mmap lock. The page frames are registers, which are
    // nobody's memory.
    to_result(unsafe {
        bindings::remap_pfn_range(raw, vma.start(), pfn, vma.end() - vma.start(), prot)
    })
    // `remap_pfn_range` set VM_IO, VM_PFNMAP, VM_DONTEXPAND and VM_DONTDUMP.
}

/// A VMA made by [`map`], seen under the mmap lock.
pub(crate) struct Mapping<'a, T> {
    vma: &'a VmaRef,
    object: ArcBorrow<'a, T>,
}

impl<'a, T: PfnMapped> Mapping<'a, T> {
    /// The mapping that `vma` is, if it is one of a `T`.
    pub(super) fn of(vma: &'a VmaRef) -> Option<Self> {
        let operations: *const VmOperations<T> = T::vm_operations();
        // SAFETY: The mmap lock is held, so the VMA does not change.
        let actual = unsafe { (*vma.as_ptr()).vm_ops };
        if !ptr::eq(actual, operations.cast()) {
            return None;
        }
        // SAFETY: As above.
        let object = unsafe { (*vma.as_ptr()).vm_private_data }.cast::<T>();
        // SAFETY: Only `map` installs the table, with a reference that stays until `close`, and
        // that does not run for a VMA that a look-up finds under the lock.
        let object = unsafe { ArcBorrow::from_raw(object) };
        Some(Self { vma, object })
    }

    /// The VMA.
    pub(super) fn vma(&self) -> &VmaRef {
        self.vma
    }

    /// The object whose page frames are mapped.
    pub(crate) fn object(&self) -> ArcBorrow<'a, T> {
        self.object
    }

    /// First address.
    pub(crate) fn start(&self) -> usize {
        self.vma.start()
    }

    /// The address after the last one.
    pub(crate) fn end(&self) -> usize {
        self.vma.end()
    }

    /// The offset in bytes of the first address, counted as [`map`] was told.
    pub(crate) fn offset(&self) -> u64 {
        // SAFETY: The mmap lock is held, so the VMA does not change.
        let pages = unsafe { (*self.vma.as_ptr()).vm_pgoff };
        // CAST: usize is 64 bits on arm64.
        (pages as u64).saturating_mul(PAGE_SIZE as u64)
    }
}

/// Whether `vma` is writable is fixed by the file; whether it is shared is what this tells.
pub(crate) fn is_shared(vma: &VmaNew) -> bool {
    // A read-only file loses VM_SHARED, not VM_MAYSHARE.
    vma.flags() & flags::MAYSHARE != 0
}

/// Whether the file that is mapped may be written.
pub(crate) fn may_write(vma: &VmaNew) -> bool {
    vma.flags() & flags::MAYWRITE != 0
}

/// The mapping of a `T` at `address`.
pub(crate) fn at<'a, T: PfnMapped>(
    guard: &'a MmapReadGuard<'_>,
    address: usize,
) -> Option<Mapping<'a, T>> {
    Mapping::of(guard.vma_lookup(address)?)
}

/// The mappings of `T`s in `mm`, whose lock is `guard`, that end after `address`, lowest first.
pub(crate) fn from<'a, T: PfnMapped>(
    mm: &'a MmWithUser,
    _guard: &'a MmapReadGuard<'_>,
    mut address: usize,
) -> impl Iterator<Item = Mapping<'a, T>> {
    core::iter::from_fn(move || {
        // SAFETY: The mmap lock is held; any address is allowed.
        let vma = unsafe { bindings::find_vma(mm.as_raw(), address) };
        if vma.is_null() {
            return None;
        }
        // SAFETY: `find_vma` returned it, and the lock is held for 'a.
        let vma: &'a VmaRef = unsafe { VmaRef::from_raw(vma) };
        address = vma.end();
        Some(vma)
    })
    .filter_map(Mapping::of)
}
