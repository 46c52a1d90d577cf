# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The sources of a recipe: names of files and folders of the repository, in FPGAMEM_SOURCES.
# They are unpacked to ${FPGAMEM_UNPACKDIR}/fpgamem.

# nooelint: oelint.vars.fileextrapaths,oelint.vars.outofcontext - the sources are outside of the layer
FILESEXTRAPATHS:prepend := "${FPGAMEM_ROOT}:"

# Releases before styhead have no UNPACKDIR and unpack into WORKDIR.
FPGAMEM_UNPACKDIR = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"

FPGAMEM_SOURCES ?= ""
SRC_URI:append = " ${@' '.join('file://%s;subdir=fpgamem' % name for name in d.getVar('FPGAMEM_SOURCES').split())}"

CVE_PRODUCT ?= "fpgamem"
