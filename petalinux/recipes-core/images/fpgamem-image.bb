# SPDX-License-Identifier: MIT OR Apache-2.0
SUMMARY = "Small image with fpgamem, to try it on a board"
DESCRIPTION = "What a board needs to boot, the kernel module, the programs and an SSH server."
SECTION = "images"
LICENSE = "MIT"
CVE_PRODUCT = ""

inherit core-image

IMAGE_FEATURES += "ssh-server-dropbear"
IMAGE_INSTALL += "packagegroup-fpgamem"
