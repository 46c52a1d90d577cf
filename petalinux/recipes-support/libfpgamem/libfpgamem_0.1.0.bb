# SPDX-License-Identifier: MIT OR Apache-2.0
SUMMARY = "Library for buffers that an FPGA shares, its command and examples"
DESCRIPTION = "libfpgamem for C and C++ with pkg-config and CMake files, the command fpgamem, example programs."
SECTION = "libs"

require libfpgamem.inc

inherit cargo cargo-update-recipe-crates

CARGO_BUILD_FLAGS += "--package fpgamem-capi --package fpgamem-tool --package fpgamem-examples"

do_install() {
    oe_runmake -C ${S}/libfpgamem/capi install DESTDIR=${D} PREFIX=${prefix} LIBDIR=${libdir} \
        INCLUDEDIR=${includedir} PC_PREFIX=${prefix} \
        CARGO_TARGET_DIR=${B}/target TARGET=${RUST_HOST_SYS}
    install -d ${D}${includedir}/fpgamem
    install -m 0644 ${S}/driver/uapi/fpgamem.h ${D}${includedir}/fpgamem/
    install -d ${D}${bindir}
    install -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/fpgamem ${D}${bindir}/
    for program in first quickstart stream replay cnn; do
        install -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/$program ${D}${bindir}/fpgamem-$program
    done
}

PACKAGES =+ "fpgamem-tool fpgamem-examples"
FILES:fpgamem-tool += "${bindir}/fpgamem"
FILES:fpgamem-examples += "${bindir}/fpgamem-*"
RRECOMMENDS:fpgamem-tool += "fpgamem-module"
