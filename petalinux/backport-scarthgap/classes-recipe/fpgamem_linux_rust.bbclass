# SPDX-License-Identifier: MIT OR Apache-2.0
#
# A kernel with Rust. Later releases know the word "rust" among KERNEL_FEATURES; here it becomes the
# file that it stands for.

inherit fpgamem_kernel_rust

KERNEL_FEATURES:remove = "rust"
KERNEL_FEATURES:append = " features/kernel-rust/kernel-rust.scc"

do_kernel_configme[depends] += "${@' '.join('%s:do_populate_sysroot' % tool for tool in d.getVar('KERNEL_RUST_TOOLS').split())}"

# Says what is missing here and not in the middle of the build.
do_kernel_configme:append() {
    oe_runmake -C ${S} O=${B} rustavailable
}

# Modules outside of the tree read it to learn that there is Rust.
do_shared_workdir:append() {
    cp ${B}/include/config/auto.conf ${STAGING_KERNEL_BUILDDIR}/include/config/
}
