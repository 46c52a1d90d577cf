# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Modules in Rust. Yocto 6.0 has a class of this name, so that one recipe serves both.

inherit module
# nooelint: oelint.bbclass.underscores - the name is the other release's
inherit fpgamem_kernel_rust

python () {
    if 'rust' not in (d.getVar('KERNEL_FEATURES') or '').split():
        raise bb.parse.SkipRecipe("'rust' is not in KERNEL_FEATURES")
}
