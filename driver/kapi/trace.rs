// SPDX-License-Identifier: GPL-2.0

//! Tracepoints. `events.h` describes their fields; each costs a no-op while it is off.
//!
//! Would use `kernel::declare_trace!`, whose events must be among the bindings of the kernel.

macro_rules! events {
    ($($(#[$attr:meta])* $name:ident as $event:ident($($arg:ident: $type:ty),*);)*) => { $(
        $(#[$attr])*
        #[inline(always)]
        pub(crate) fn $name($($arg: $type),*) {
            #[cfg(CONFIG_TRACEPOINTS)]
            kernel::macros::paste! {
                extern "C" {
                    #[allow(dead_code)]
                    static [< __tracepoint_ $event >]: kernel::bindings::tracepoint;
                    fn [< rust_do_trace_ $event >]($($arg: $type),*);
                }
                // SAFETY: `events.c` defines the tracepoint, and with it its static key.
                let on = unsafe {
                    kernel::jump_label::static_branch_unlikely!(
                        [< __tracepoint_ $event >],
                        kernel::bindings::tracepoint,
                        key
                    )
                };
                if on {
                    // SAFETY: `events.h` declares these arguments, which are plain numbers.
                    unsafe { [< rust_do_trace_ $event >]($($arg),*) };
                }
            }
            #[cfg(not(CONFIG_TRACEPOINTS))]
            let _ = ($($arg),*);
        }
    )* };
}

events! {
    /// A buffer was allocated; `flags` are `BUFFER_*` bits.
    alloc as fpgamem_alloc(phys_addr: u64, bytes: u64, flags: u32);
    /// Blocks of a buffer that is gone are free.
    free as fpgamem_free(phys_addr: u64, bytes: u64);
    /// Blocks of a buffer that is gone are in quarantine.
    quarantine as fpgamem_quarantine(phys_addr: u64, bytes: u64);
    /// A range of a buffer was cleaned, and invalidated too if `invalidate` is set.
    sync as fpgamem_sync(phys_addr: u64, bytes: u64, lines: u64, invalidate: bool);
}
