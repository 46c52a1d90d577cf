# SPDX-License-Identifier: MIT OR Apache-2.0
SUMMARY = "Rust compiler for the kernel, as its project releases it"
DESCRIPTION = "rustc, the host's standard library and the library's source, beside the release's own Rust."
HOMEPAGE = "https://www.rust-lang.org"
SECTION = "devel"
LICENSE = "MIT | Apache-2.0"
# nooelint: oelint.var.licenseremotefile - what is unpacked is in several folders
LIC_FILES_CHKSUM = "\
    file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10 \
    file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302 \
"

RUST_KERNEL_HOST = "${BUILD_ARCH}-unknown-linux-gnu"
RUST_KERNEL_DIST = "https://static.rust-lang.org/dist"
SRC_URI = "\
    ${RUST_KERNEL_DIST}/rustc-${PV}-${RUST_KERNEL_HOST}.tar.xz;name=rustc-${BUILD_ARCH} \
    ${RUST_KERNEL_DIST}/rust-std-${PV}-${RUST_KERNEL_HOST}.tar.xz;name=rust-std-${BUILD_ARCH} \
    ${RUST_KERNEL_DIST}/rust-src-${PV}.tar.xz;name=rust-src \
"
SRC_URI[rustc-x86_64.sha256sum] = "8426a3d170a5879f5682f5fbdd024a1779b3951e7baba685af2d6dc32a6dfc15"
SRC_URI[rustc-aarch64.sha256sum] = "0fe3689eeaed603e5ef24572d11597d3edadaefd2cb181674ad621260f2501d2"
SRC_URI[rust-std-x86_64.sha256sum] = "047ea7098803d3500fa1072e9cee5392697e21525559e4458128a2bf874aa382"
SRC_URI[rust-std-aarch64.sha256sum] = "3a21b271b1ff973b94d69b25e7a39992f9fbcae1ab6d9475844a23e6ad3908ac"
SRC_URI[rust-src.sha256sum] = "67b09138c8db96afc4bbfc69ea771ac9a091fd777698acb43f6dfd9fb7dea363"

CVE_PRODUCT = "rust-lang:rust"

S = "${WORKDIR}/rustc-${PV}-${RUST_KERNEL_HOST}"

inherit_defer native

do_configure[noexec] = "1"
do_compile[noexec] = "1"

# A folder of its own: the release's rustc has the same names.
do_install() {
    install -d ${D}${libdir}/rust-kernel
    for component in \
        ${S}/rustc \
        ${WORKDIR}/rust-std-${PV}-${RUST_KERNEL_HOST}/rust-std-${RUST_KERNEL_HOST} \
        ${WORKDIR}/rust-src-${PV}/rust-src
    do
        cp -R --no-preserve=ownership $component/. ${D}${libdir}/rust-kernel/
    done
    rm -rf ${D}${libdir}/rust-kernel/manifest.in ${D}${libdir}/rust-kernel/share
}
