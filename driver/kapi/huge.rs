// SPDX-License-Identifier: GPL-2.0

//! Faults in mappings of page frames: whole huge pages, and what is left of one after a split.
//!
//! C headers: [`include/linux/huge_mm.h`](srctree/include/linux/huge_mm.h),
//! [`include/linux/mm.h`](srctree/include/linux/mm.h)
//!
//! The kernel has no way to enter huge page frames but in a fault. Splitting a VMA in the middle of a
//! huge page removes it, as do `mprotect` and `mremap` of a part, and leaves it to the next fault to
//! enter pages again. No huge page may be entered where a table is, and no page where a huge page is: so
//! faults of the same object exclude each other.

use super::vma::{self, Mapping, PfnMapped};
use core::ops::Range;
use kernel::{
    bindings,
    ffi::c_uint,
    mm::virt::{flags, VmaRef},
    page::{PAGE_SHIFT, PAGE_SIZE},
    prelude::*,
};

/// Binary logarithm of the entries in a page table.
const TABLE_ORDER: usize = PAGE_SHIFT - 3;
/// Bytes that an entry of the second-lowest table (PMD) maps.
const PMD_BYTES: usize = PAGE_SIZE << TABLE_ORDER;
/// Bytes that all entries of such a table map.
const TABLE_BYTES: usize = PMD_BYTES << TABLE_ORDER;
/// The bits of an entry that tell a huge page from a table, and its value for a huge page.
const PMD_TYPE_MASK: u64 = 3;
const PMD_TYPE_SECT: u64 = 1;

/// Whether the kernel has huge pages of this geometry.
const SUPPORTED: bool =
    cfg!(all(CONFIG_TRANSPARENT_HUGEPAGE, CONFIG_ARM64_4K_PAGES)) && PMD_BYTES == 2 << 20;

/// The addresses in `range` that whole huge pages can map, if its first address is to map `phys_addr`.
pub(super) fn whole_pages(range: Range<usize>, phys_addr: u64) -> Option<Range<usize>> {
    // CAST: usize is 64 bits on arm64.
    let distance = (range.start as u64).wrapping_sub(phys_addr);
    if !SUPPORTED || distance & (PMD_BYTES as u64 - 1) != 0 {
        return None;
    }
    let start = range.start.checked_next_multiple_of(PMD_BYTES)?;
    let end = range.end & !(PMD_BYTES - 1);
    (start < end).then_some(start..end)
}

/// A fault in a mapping of a `T`.
struct Fault<'a, T> {
    raw: *mut bindings::vm_fault,
    mapping: Mapping<'a, T>,
    address: usize,
}

impl<T: PfnMapped> Fault<'_, T> {
    /// # Safety
    ///
    /// The kernel calls a fault handler of a VMA of a `T` with `raw`, and 'a ends with that call.
    unsafe fn from_raw<'a>(raw: *mut bindings::vm_fault) -> Option<Fault<'a, T>> {
        // SAFETY: The caller vouches for the structure.
        let what = unsafe { (*raw).__bindgen_anon_1 };
        // SAFETY: The VMA, or the whole address space, is locked for reading during the call.
        let vma = unsafe { VmaRef::from_raw(what.vma) };
        Some(Fault {
            raw,
            mapping: Mapping::of(vma)?,
            address: what.address & !(PAGE_SIZE - 1),
        })
    }

    /// The physical address that the first address of the VMA maps.
    ///
    /// # Errors
    ///
    /// If part of the VMA is outside the memory of its object.
    fn phys_addr(&self) -> Result<u64> {
        // CAST: usize is 64 bits on arm64.
        let bytes = (self.mapping.end() - self.mapping.start()) as u64;
        let memory = self.mapping.object();
        Ok(memory.memory(self.mapping.offset(), bytes)?.phys_addr())
    }

    /// The page frame for an address of the VMA.
    fn pfn(&self, phys_addr: u64, address: usize) -> usize {
        let past = address.wrapping_sub(self.mapping.start());
        // CAST: usize is 64 bits on arm64. In range: the memory of the VMA is within a region.
        (phys_addr as usize).saturating_add(past) >> PAGE_SHIFT
    }

    /// Enters every whole huge page of the VMA that the table of the address has room for.
    fn enter_huge(&self) -> Result<c_uint> {
        let phys_addr = self.phys_addr()?;
        let range = self.mapping.start()..self.mapping.end();
        let whole = whole_pages(range, phys_addr).ok_or(EINVAL)?;
        let address = self.address & !(PMD_BYTES - 1);
        if !whole.contains(&address) {
            return Err(EINVAL);
        }
        let object = self.mapping.object();
        let _guard = object.lock_tables();
        // Another thread may have entered a table meanwhile, if huge pages are off for it.
        if !matches!(self.entry(address) & PMD_TYPE_MASK, 0 | PMD_TYPE_SECT) {
            return Ok(bindings::vm_fault_reason_VM_FAULT_NOPAGE);
        }
        // SAFETY: The caller of the handler filled the structure in.
        let mut copy = unsafe { *self.raw };
        let mut enter = |address| self.enter_one(&mut copy, phys_addr, address);
        let result = enter(address);
        if result != bindings::vm_fault_reason_VM_FAULT_NOPAGE {
            return Ok(result);
        }
        let table = self.address & !(TABLE_BYTES - 1);
        let end = whole.end.min(table.saturating_add(TABLE_BYTES));
        for other in (whole.start.max(table)..end).step_by(PMD_BYTES) {
            // One that fails now gets a fault of its own.
            if other != address && self.entry(other) == 0 {
                let _ = enter(other);
            }
        }
        Ok(result)
    }

    /// Pointer to the entry for an address that the table of the fault maps too.
    fn entry_ptr(&self, address: usize) -> *mut bindings::pmd_t {
        // SAFETY: The caller of the handler filled the structure in.
        let here = unsafe { (*self.raw).pmd };
        let index = |address: usize| (address / PMD_BYTES) % (TABLE_BYTES / PMD_BYTES);
        // Both entries are in the one table.
        here.wrapping_sub(index(self.address))
            .wrapping_add(index(address))
    }

    fn entry(&self, address: usize) -> u64 {
        // SAFETY: The entry lies in the table of the fault, which stays. The processor may change it.
        unsafe { self.entry_ptr(address).read_volatile() }.pmd
    }

    /// Enters the huge page at an address, as dirty: nothing ever cleans it, and the first store would
    /// fault only to set that. `fault` is a copy of the structure that the handler was called with.
    fn enter_one(&self, fault: &mut bindings::vm_fault, phys_addr: u64, address: usize) -> c_uint {
        fault.__bindgen_anon_1.address = address;
        fault.pmd = self.entry_ptr(address);
        // SAFETY: The VMA is shared and of page frames, and all of the huge page is within it and in the
        // memory of its object. The entry is the one for the address, empty or for that page frame.
        unsafe { bindings::vmf_insert_pfn_pmd(fault, self.pfn(phys_addr, address), true) }
    }

    /// Enters every page of the VMA that is missing around the address, up to a huge page's bounds.
    fn enter_pages(&self) -> Result<c_uint> {
        let phys_addr = self.phys_addr()?;
        let vma = self.mapping.vma();
        // SAFETY: The VMA is locked and does not change.
        let prot = unsafe { (*vma.as_ptr()).vm_page_prot };
        let prot = vma::dirty(prot, vma.flags() & flags::WRITE != 0);
        let object = self.mapping.object();
        let _guard = object.lock_tables();
        // Another thread may have entered a huge page meanwhile, if those are on for it.
        if self.entry(self.address) & PMD_TYPE_MASK == PMD_TYPE_SECT {
            return Ok(bindings::vm_fault_reason_VM_FAULT_NOPAGE);
        }
        // What is entered already stays.
        let enter = |address| {
            let pfn = self.pfn(phys_addr, address);
            // SAFETY: The VMA is shared and of page frames, and the page is in the memory of its
            // object.
            unsafe { bindings::vmf_insert_pfn_prot(vma.as_ptr(), address, pfn, prot) }
        };
        // First the one that somebody waits for.
        let result = enter(self.address);
        let around = self.address & !(PMD_BYTES - 1);
        let end = around.saturating_add(PMD_BYTES).min(self.mapping.end());
        let mut others = (around.max(self.mapping.start())..end).step_by(PAGE_SIZE);
        // One that fails now gets a fault of its own.
        let _ = others.all(|other| enter(other) == bindings::vm_fault_reason_VM_FAULT_NOPAGE);
        Ok(result)
    }
}

/// Handles the fault of a huge page.
///
/// # Safety
///
/// The kernel calls this for a VMA of a `T`.
pub(super) unsafe extern "C" fn huge_fault<T: PfnMapped>(
    raw: *mut bindings::vm_fault,
    order: c_uint,
) -> bindings::vm_fault_t {
    let fallback = bindings::vm_fault_reason_VM_FAULT_FALLBACK;
    // CAST: usize is 64 bits on arm64.
    if order as usize != TABLE_ORDER {
        return fallback;
    }
    // SAFETY: By the contract of this function.
    let Some(fault) = (unsafe { Fault::<T>::from_raw(raw) }) else {
        return fallback;
    };
    fault.enter_huge().unwrap_or(fallback)
}

/// Handles the fault of a page.
///
/// # Safety
///
/// The kernel calls this for a VMA of a `T`.
pub(super) unsafe extern "C" fn fault<T: PfnMapped>(
    raw: *mut bindings::vm_fault,
) -> bindings::vm_fault_t {
    let bus_error = bindings::vm_fault_reason_VM_FAULT_SIGBUS;
    // SAFETY: By the contract of this function.
    let Some(fault) = (unsafe { Fault::<T>::from_raw(raw) }) else {
        return bus_error;
    };
    fault.enter_pages().unwrap_or(bus_error)
}
