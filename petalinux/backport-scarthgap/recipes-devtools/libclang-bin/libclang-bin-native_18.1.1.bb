# SPDX-License-Identifier: MIT OR Apache-2.0
SUMMARY = "libclang, with which bindgen reads the kernel's headers"
DESCRIPTION = "The shared library out of Python's package libclang; the kernel brings the headers itself."
HOMEPAGE = "https://clang.llvm.org"
SECTION = "devel"
LICENSE = "Apache-2.0-with-LLVM-exception"
LIC_FILES_CHKSUM = "file://libclang-${PV}.dist-info/LICENSE.TXT;md5=ff42885ed2ab98f1ecb8c1fc41205343"

PYPI_PACKAGE = "libclang"
PYPI_ARCHIVE_NAME = "libclang-${PV}-py2.py3-none-manylinux2010_x86_64.whl"
# A wheel is a ZIP archive, and lies in another folder of the index than sources do.
PYPI_SRC_URI = "${@pypi_src_uri(d).replace('/source/', '/py2.py3/').split(';')[0]};downloadfilename=libclang-${PV}.zip;subdir=libclang"
SRC_URI[sha256sum] = "c533091d8a3bbf7460a00cb6c1a71da93bffe148f172c7d03b1c31fbf8aa2a0b"

CVE_PRODUCT = "llvm:clang"

inherit pypi
inherit_defer native

S = "${WORKDIR}/libclang"

COMPATIBLE_HOST = "x86_64.*-linux"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${libdir}/libclang-bin
    install -m 0755 ${S}/libclang-${PV}.data/platlib/clang/native/libclang.so ${D}${libdir}/libclang-bin/
}
