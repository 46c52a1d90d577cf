// SPDX-License-Identifier: GPL-2.0

//! Misc devices with what `rust/kernel/miscdevice.rs` lacks: a module that an open file pins, a
//! parent, a mode, and data of the device.
//!
//! C headers: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)

use core::{marker::PhantomData, mem::MaybeUninit};
use kernel::{
    bindings, container_of,
    device::{Bound, Device},
    error::{from_result, to_result},
    ffi::{c_int, c_long, c_uint, c_ulong},
    mm::virt::VmaNew,
    prelude::*,
    seq_file::SeqFile,
    str::CString,
    sync::{aref::ARef, Arc},
    types::{ForeignOwnable, Opaque},
};

/// What an open file of a misc device does.
pub(crate) trait OpenFile: Send + Sync + Sized + 'static {
    /// What the device knows; shared by all its files.
    type Device: Send + Sync + 'static;

    /// The operations of its files.
    fn file_operations() -> &'static FileOperations<Self>;

    /// A file is being opened.
    fn open(device: Arc<Self::Device>) -> Result<Pin<KBox<Self>>>;

    /// The file is being mapped. Called with the mmap lock held for writing.
    fn mmap(&self, vma: &VmaNew) -> Result;

    /// Carries out the command; `arg` is what user space passed.
    fn ioctl(&self, command: u32, arg: usize) -> Result;

    /// Writes what `/proc/PID/fdinfo/FD` shows.
    fn show_fdinfo(&self, seq: &SeqFile);
}

/// `struct file_operations` for files of type `T`.
#[repr(transparent)]
pub(crate) struct FileOperations<T> {
    inner: bindings::file_operations,
    _file: PhantomData<fn(T)>,
}

// SAFETY: Function pointers and the module's own address, never written.
unsafe impl<T> Sync for FileOperations<T> {}

impl<T: OpenFile> FileOperations<T> {
    /// The table, for a `static`. A file that is open, or mapped, pins `owner`.
    pub(crate) const fn new(owner: &ThisModule) -> Self {
        // SAFETY: All zeroes is a valid value: every operation is optional.
        let mut inner: bindings::file_operations = unsafe { MaybeUninit::zeroed().assume_init() };
        inner.owner = owner.as_ptr();
        inner.open = Some(Self::open);
        inner.release = Some(Self::release);
        inner.mmap = Some(Self::mmap);
        inner.unlocked_ioctl = Some(Self::ioctl);
        #[cfg(CONFIG_COMPAT)]
        {
            inner.compat_ioctl = Some(bindings::compat_ptr_ioctl);
        }
        inner.show_fdinfo = Some(Self::show_fdinfo);
        // Long mappings get addresses that are congruent to their offset modulo a huge page.
        #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
        {
            inner.get_unmapped_area = Some(bindings::thp_get_unmapped_area);
        }
        Self {
            inner,
            _file: PhantomData,
        }
    }

    /// # Safety
    ///
    /// The kernel calls this for a file of a registered [`Registration<T>`].
    unsafe extern "C" fn open(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The file is being opened, its private data is ours.
        let misc = unsafe { (*file).private_data }.cast::<bindings::miscdevice>();
        let misc = Opaque::cast_from(misc).cast_mut();
        // SAFETY: `misc_open` put the registered device there, which lies in a `Registration<T>`.
        let registration = unsafe { container_of!(misc, Registration<T>, misc) };
        // SAFETY: `misc_open` keeps the device registered during this call.
        let registration = unsafe { &*registration };
        match T::open(registration.device.clone()) {
            Ok(open_file) => {
                // SAFETY: As above. `release` takes this back.
                unsafe { (*file).private_data = open_file.into_foreign() };
                0
            }
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// The kernel calls this once for a file that `open` succeeded for.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: Nobody else uses the file any more.
        let private = unsafe { (*file).private_data };
        // SAFETY: `open` put it there, and nothing borrows it any more.
        drop(unsafe { Pin::<KBox<T>>::from_foreign(private) });
        0
    }

    /// The open file behind `file`.
    ///
    /// # Safety
    ///
    /// `open` succeeded for `file`, and `release` is not called during 'a.
    unsafe fn borrow<'a>(file: *mut bindings::file) -> &'a T {
        // SAFETY: The private data does not change between `open` and `release`.
        let private = unsafe { (*file).private_data };
        // SAFETY: `open` put it there, and the caller vouches that it stays.
        unsafe { Pin::<KBox<T>>::borrow(private) }.get_ref()
    }

    /// # Safety
    ///
    /// The kernel calls this for an open file and a VMA that is being set up.
    unsafe extern "C" fn mmap(
        file: *mut bindings::file,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: The file stays open during this call.
        let open_file = unsafe { Self::borrow(file) };
        // SAFETY: The caller passes a VMA in its initial set-up.
        let vma = unsafe { VmaNew::from_raw(vma) };
        from_result(|| open_file.mmap(vma).map(|()| 0))
    }

    /// # Safety
    ///
    /// The kernel calls this for an open file.
    unsafe extern "C" fn ioctl(file: *mut bindings::file, command: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: The file stays open during this call.
        let open_file = unsafe { Self::borrow(file) };
        match open_file.ioctl(command, arg) {
            Ok(()) => 0,
            // CAST: an errno is small.
            Err(error) => error.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// The kernel calls this for an open file and a `seq_file` to write to.
    unsafe extern "C" fn show_fdinfo(seq: *mut bindings::seq_file, file: *mut bindings::file) {
        // SAFETY: The file stays open during this call.
        let open_file = unsafe { Self::borrow(file) };
        // SAFETY: The caller passes a valid `seq_file` that is ours during this call.
        let seq = unsafe { SeqFile::from_raw(seq) };
        open_file.show_fdinfo(seq);
    }
}

/// A registered misc device.
///
/// # Invariants
///
/// `misc` is registered from initialization to drop, `name` is its name and `parent` its parent.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: OpenFile> {
    #[pin]
    misc: Opaque<bindings::miscdevice>,
    device: Arc<T::Device>,
    name: CString,
    parent: ARef<Device>,
}

// SAFETY: `misc_deregister` may be called from any task.
unsafe impl<T: OpenFile> Send for Registration<T> {}
// SAFETY: Shared access reads what does not change.
unsafe impl<T: OpenFile> Sync for Registration<T> {}

impl<T: OpenFile> Registration<T> {
    /// Makes the node `/dev/NAME` with access rights `mode`, below `parent` in sysfs.
    pub(crate) fn new<'a>(
        parent: &'a Device<Bound>,
        name: CString,
        mode: u16,
        device: Arc<T::Device>,
    ) -> impl PinInit<Self, Error> + 'a {
        let name_ptr = name.as_char_ptr();
        let parent: ARef<Device> = parent.into();
        let parent_ptr: *const Device = &*parent;
        let operations: *const FileOperations<T> = T::file_operations();
        // INVARIANT: `misc` is initialized last, so a node that can be opened finds `device`.
        try_pin_init!(Self {
            device,
            name,
            parent,
            misc <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                // SAFETY: All zeroes is a valid value.
                let mut misc: bindings::miscdevice =
                    unsafe { MaybeUninit::zeroed().assume_init() };
                misc.minor = bindings::MISC_DYNAMIC_MINOR as c_int;
                misc.name = name_ptr;
                misc.mode = mode;
                // CAST: `Device` is a transparent wrapper of `struct device`.
                misc.parent = parent_ptr.cast_mut().cast();
                misc.fops = operations.cast();
                // SAFETY: The initializer may write the slot.
                unsafe { slot.write(misc) };
                // SAFETY: The slot is pinned and deregistered on drop. The name lies on the heap
                // and the operations are static.
                to_result(unsafe { bindings::misc_register(slot) })
            }),
        })
    }
}

#[pinned_drop]
impl<T: OpenFile> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered, by the type invariant.
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}
