# SPDX-License-Identifier: MIT OR Apache-2.0
SUMMARY = "Everything that an image needs to use fpgamem"
DESCRIPTION = "The kernel module, the group and its udev rule, and the programs."
SECTION = "base"

PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit packagegroup

RDEPENDS:${PN} = "\
    fpgamem-examples \
    fpgamem-module \
    fpgamem-tool \
    fpgamem-udev \
    libfpgamem \
"
RRECOMMENDS:${PN} = "kernel-module-uio-pdrv-genirq"
