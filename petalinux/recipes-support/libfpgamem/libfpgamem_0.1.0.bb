# SPDX-License-Identifier: MIT OR Apache-2.0
SUMMARY = "Library for buffers that an FPGA shares, its command and examples"
DESCRIPTION = "libfpgamem for C and C++ with pkg-config and CMake files, the command fpgamem, example programs."
SECTION = "libs"

require libfpgamem.inc

# It writes the man pages and completions of the command.
DEPENDS += "fpgamem-tool-native"

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
    install -d ${D}${mandir}/man1 ${D}${datadir}/bash-completion/completions \
        ${D}${datadir}/zsh/site-functions ${D}${datadir}/fish/vendor_completions.d
    ${STAGING_BINDIR_NATIVE}/fpgamem man ${D}${mandir}/man1
    ${STAGING_BINDIR_NATIVE}/fpgamem completions bash > ${D}${datadir}/bash-completion/completions/fpgamem
    ${STAGING_BINDIR_NATIVE}/fpgamem completions zsh > ${D}${datadir}/zsh/site-functions/_fpgamem
    ${STAGING_BINDIR_NATIVE}/fpgamem completions fish > ${D}${datadir}/fish/vendor_completions.d/fpgamem.fish
}

PACKAGES =+ "\
    fpgamem-tool \
    fpgamem-tool-doc \
    fpgamem-tool-bash-completion \
    fpgamem-tool-fish-completion \
    fpgamem-tool-zsh-completion \
    fpgamem-examples \
"
FILES:fpgamem-tool += "${bindir}/fpgamem"
FILES:fpgamem-tool-doc += "${mandir}/man1/fpgamem*"
FILES:fpgamem-tool-bash-completion += "${datadir}/bash-completion"
FILES:fpgamem-tool-fish-completion += "${datadir}/fish"
FILES:fpgamem-tool-zsh-completion += "${datadir}/zsh"
FILES:fpgamem-examples += "${bindir}/fpgamem-*"
RDEPENDS:fpgamem-tool-bash-completion += "bash-completion"
RRECOMMENDS:fpgamem-tool += "fpgamem-module"
