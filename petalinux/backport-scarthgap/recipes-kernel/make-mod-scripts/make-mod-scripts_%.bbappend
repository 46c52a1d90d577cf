# SPDX-License-Identifier: MIT OR Apache-2.0
# It also builds the crates that modules link against. Without Rust: a class that it has anyway.
inherit_defer ${@bb.utils.contains('KERNEL_FEATURES', 'rust', 'fpgamem_kernel_rust', 'kernel-arch', d)}
