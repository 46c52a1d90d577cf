# SPDX-License-Identifier: MIT OR Apache-2.0
SUMMARY = "Kernel module that hands out physically contiguous buffers for an FPGA"
DESCRIPTION = "Owns a reserved region of DDR that processors and FPGA share, and hands out blocks of it."
SECTION = "kernel/modules"
LICENSE = "GPL-2.0-only"
LIC_FILES_CHKSUM = "file://../LICENSES/GPL-2.0.txt;md5=b234ee4d69f5fce4486a80fdaf4a4263"

FPGAMEM_SOURCES = "driver LICENSES"

inherit fpgamem_source module-rust

S = "${FPGAMEM_UNPACKDIR}/fpgamem/driver"

EXTRA_OEMAKE += "KDIR=${STAGING_KERNEL_DIR}"

# For drivers of accelerators, beside Module.symvers in the package for developers.
do_install:append() {
    install -d ${D}${includedir}/fpgamem
    install -m 0644 ${S}/include/fpgamem/pe.h ${D}${includedir}/fpgamem/
}

KERNEL_MODULE_AUTOLOAD += "fpgamem"

RDEPENDS:${PN} += "fpgamem-udev"
RPROVIDES:${PN} += "kernel-module-fpgamem"
