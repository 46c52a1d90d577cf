# SPDX-License-Identifier: MIT OR Apache-2.0
FILESEXTRAPATHS:prepend := "${FPGAMEM_ROOT}/xtask/kernel:"

# Without Rust: a class that the recipe has anyway.
inherit_defer ${@bb.utils.contains('KERNEL_FEATURES', 'rust', 'fpgamem_linux_rust', 'kernel-arch', d)}

# Rust 1.95, which rust-kernel-bin is, refuses a file of this kernel without it.
SRC_URI:append = " ${@bb.utils.contains_any('KERNEL_FEATURES', 'rust features/kernel-rust/kernel-rust.scc', 'file://rust-irq-static.patch', '', d)}"
