# SPDX-License-Identifier: MIT OR Apache-2.0
SUMMARY = "Tests of the fpgamem driver on its raw calls"
DESCRIPTION = "Programs that expect the device tree of the emulated board, dts/qemu-zcu102.dts."
SECTION = "devel"

require libfpgamem.inc

inherit ptest-cargo

CARGO_BUILD_FLAGS += "--package fpgamem-tests"

# Several tests use all of a pool.
RUST_TEST_ARGS = "--test-threads=1"

do_install() {
    # Everything is in the ptest package.
    install -d ${D}
}

ALLOW_EMPTY:${PN} = "1"
RDEPENDS:${PN}-ptest += "fpgamem-module"
