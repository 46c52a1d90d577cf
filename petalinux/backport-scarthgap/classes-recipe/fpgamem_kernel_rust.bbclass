# SPDX-License-Identifier: MIT OR Apache-2.0
#
# What makes a kernel with Rust, and its modules, find a Rust compiler that is new enough. The
# release's own rust-native, which is 1.75, stays what user space is built with.

KERNEL_RUST_TOOLS = "rust-kernel-bin-native bindgen-cli-native libclang-bin-native"
DEPENDS:append = " ${KERNEL_RUST_TOOLS}"

KERNEL_RUSTC_DIR = "${STAGING_LIBDIR_NATIVE}/rust-kernel"
KERNEL_RUST_REMAP = "--remap-path-prefix=${WORKDIR}=${TARGET_DBGSRC_DIR} --remap-path-prefix=${TMPDIR}/work-shared=${TARGET_DBGSRC_DIR}"
KERNEL_RUST_MAKE = "\
    RUSTC=${KERNEL_RUSTC_DIR}/bin/rustc \
    RUSTDOC=${KERNEL_RUSTC_DIR}/bin/rustdoc \
    BINDGEN=${STAGING_BINDIR_NATIVE}/bindgen \
    KRUSTFLAGS='${KERNEL_RUST_REMAP}' \
"
EXTRA_OEMAKE:append = " ${KERNEL_RUST_MAKE}"

# bindgen loads it while it runs.
export LIBCLANG_PATH = "${STAGING_LIBDIR_NATIVE}/libclang-bin"

# Kbuild takes the names of the host's compiler and of rustc for paths.
CCACHE_DISABLE ?= "1"
