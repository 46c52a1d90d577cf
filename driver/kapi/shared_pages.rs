// SPDX-License-Identifier: GPL-2.0

//! Pages of ordinary memory that user space maps and writes, and of which the kernel reads words.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use kernel::{
    bindings,
    mm::virt::VmaNew,
    page::{Page, PAGE_SIZE},
    prelude::*,
};

/// Words in a page.
const WORDS_PER_PAGE: usize = PAGE_SIZE / core::mem::size_of::<u32>();

/// Pages that hold 32-bit words. User space changes them at any time, so a word that was read means
/// nothing more than that somebody wrote it.
pub(crate) struct SharedPages(KVec<Page>);

impl SharedPages {
    /// `count` pages of zeroes.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory for them.
    pub(crate) fn new(count: usize) -> Result<Self> {
        let mut pages = KVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..count {
            let page = Page::alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO)?;
            pages.push(page, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self(pages))
    }

    /// Length in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len().saturating_mul(PAGE_SIZE)
    }

    /// Number of words.
    pub(crate) fn words(&self) -> usize {
        self.0.len().saturating_mul(WORDS_PER_PAGE)
    }

    /// Maps the first pages into all of `vma`, which holds references on them from then on.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if there are fewer.
    /// - `ENOMEM` if there is no memory for page tables.
    pub(crate) fn map(&self, vma: &VmaNew) -> Result {
        let bytes = vma.end() - vma.start();
        let pages = self.0.get(..bytes / PAGE_SIZE).ok_or(EINVAL)?;
        vma.set_dontexpand();
        let mixed = vma.set_mixedmap();
        for (address, page) in (vma.start()..vma.end()).step_by(PAGE_SIZE).zip(pages) {
            mixed.vm_insert_page(address, page)?;
        }
        Ok(())
    }

    /// Runs `access` with a pointer to a word.
    fn with_word<R>(&self, index: u32, access: impl FnOnce(*mut u32) -> R) -> Option<R> {
        // CAST: usize is 64 bits on arm64.
        let index = index as usize;
        let page = self.0.get(index / WORDS_PER_PAGE)?;
        // SAFETY: The page is allocated, and unmapped below in the reverse order.
        let base = unsafe { bindings::kmap_local_page(page.as_ptr()) };
        // SAFETY: The index is below the number of words in the page.
        let word = unsafe { base.cast::<u32>().add(index % WORDS_PER_PAGE) };
        let result = access(word);
        // SAFETY: Mapped above, and `access` is over.
        unsafe { bindings::kunmap_local(base) };
        Some(result)
    }

    /// Reads a word, once; `None` if there is no such word.
    pub(crate) fn load(&self, index: u32) -> Option<u32> {
        // SAFETY: The pointer is valid and aligned. User space may write at the same time, which a
        // volatile access of one word allows for.
        self.with_word(index, |word| unsafe { word.read_volatile() })
    }

    /// Makes a word 0.
    pub(crate) fn clear(&self, index: u32) {
        // SAFETY: As in `load`.
        let _ = self.with_word(index, |word| unsafe { word.write_volatile(0) });
    }
}
