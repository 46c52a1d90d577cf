# SPDX-License-Identifier: MIT OR Apache-2.0
SUMMARY = "Header and example programs for the buffers of fpgamem"
DESCRIPTION = "The C header of the driver's calls, and programs that show how to use its buffers."
SECTION = "libs"

require libfpgamem.inc

inherit cargo cargo-update-recipe-crates

CARGO_BUILD_FLAGS += "--package fpgamem-examples --bins"

do_install() {
    install -d ${D}${bindir} ${D}${includedir}/fpgamem
    for program in quickstart stream replay cnn; do
        install -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/$program ${D}${bindir}/fpgamem-$program
    done
    install -m 0644 ${S}/driver/uapi/fpgamem.h ${D}${includedir}/fpgamem/
}

PACKAGES =+ "fpgamem-examples"
FILES:fpgamem-examples += "${bindir}/fpgamem-*"
RRECOMMENDS:fpgamem-examples += "fpgamem-module"
# Without a shared library the runtime package holds nothing.
ALLOW_EMPTY:${PN} = "1"
