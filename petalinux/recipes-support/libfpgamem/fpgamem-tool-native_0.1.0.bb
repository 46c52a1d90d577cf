# SPDX-License-Identifier: MIT OR Apache-2.0
SUMMARY = "The command fpgamem for the build machine"
DESCRIPTION = "It writes its man pages and completions there, which an image has from libfpgamem's recipe."
SECTION = "devel"

require libfpgamem.inc

inherit cargo
# nooelint: oelint.var.inheritlast.native - it is the last one, the file above comes before
inherit_defer native

CARGO_BUILD_FLAGS += "--package fpgamem-tool"

do_install() {
    install -d ${D}${bindir}
    install -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/fpgamem ${D}${bindir}/
}
