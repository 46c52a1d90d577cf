# SPDX-License-Identifier: MIT OR Apache-2.0
SUMMARY = "Generator of Rust bindings for C, which the kernel's build runs"
DESCRIPTION = "The command bindgen. It loads libclang while it runs, and needs none to be built."
HOMEPAGE = "https://rust-lang.github.io/rust-bindgen/"
SECTION = "devel"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "file://LICENSE;md5=0b9a98cb3dcdefcceb145324693fda9b"

SRC_URI = "crate://crates.io/bindgen-cli/${PV}"
SRC_URI[bindgen-cli-0.72.1.sha256sum] = "8a408c0fcb20bf7bd4ceaf4bf990e223e3543a04b84d2394f3edeee29a0e87e2"
require bindgen-cli-crates.inc

CVE_PRODUCT = "bindgen"

inherit cargo
inherit_defer native

S = "${CARGO_VENDORING_DIRECTORY}/bindgen-cli-${PV}"
