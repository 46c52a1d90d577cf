# SPDX-License-Identifier: MIT OR Apache-2.0
SUMMARY = "Group that may use the nodes of fpgamem"
DESCRIPTION = "The group fpgamem, and the udev rule that gives it the nodes."
SECTION = "base"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "\
    file://LICENSES/Apache-2.0.txt;md5=86d3f3a95c324c9479bd8986968f4327 \
    file://LICENSES/MIT.txt;md5=0635ec3a6ece67bf657bda470c5947bf \
"

FPGAMEM_SOURCES = "LICENSES"
SRC_URI = "file://70-fpgamem.rules;subdir=fpgamem"

inherit allarch fpgamem_source useradd

S = "${FPGAMEM_UNPACKDIR}/fpgamem"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${nonarch_base_libdir}/udev/rules.d
    install -m 0644 ${S}/70-fpgamem.rules ${D}${nonarch_base_libdir}/udev/rules.d/
}

USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system fpgamem"

FILES:${PN} += "${nonarch_base_libdir}/udev/rules.d/70-fpgamem.rules"
