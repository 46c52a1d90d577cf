# SPDX-License-Identifier: MIT OR Apache-2.0
SUMMARY = "Tests of the fpgamem driver on its raw calls"
DESCRIPTION = "Programs that expect the device tree of the emulated board, dts/qemu-zcu102.dts."
SECTION = "devel"

require libfpgamem.inc

inherit ptest-cargo

CARGO_BUILD_FLAGS += "--package fpgamem-tests"

# Several tests use all of a pool.
RUST_TEST_ARGS = "--test-threads=1"

# What needs a device tree, a kernel, modules or programs of its own: beginnings of programs' names.
FPGAMEM_TESTS_LEFT_OUT = "bad_device_tree faults_inside killed_replay paddle_large paddle_pe paddle_replay tool"

leave_tests_out() {
    for name in ${FPGAMEM_TESTS_LEFT_OUT}; do
        sed -i "/\/$name[a-z_]*-[0-9a-f]*\$/d" ${CARGO_TEST_BINARIES_FILES}
    done
}
leave_tests_out[doc] = "Takes programs off the list of those that are packaged"
do_compile_ptest_cargo[postfuncs] += "leave_tests_out"

do_install() {
    # Everything is in the ptest package.
    install -d ${D}
}

ALLOW_EMPTY:${PN} = "1"
RDEPENDS:${PN}-ptest += "fpgamem-module"
