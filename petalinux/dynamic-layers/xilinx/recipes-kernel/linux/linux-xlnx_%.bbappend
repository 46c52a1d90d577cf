# SPDX-License-Identifier: MIT OR Apache-2.0
FILESEXTRAPATHS:prepend := "${THISDIR}/files:"

# Only where Rust is switched on. The folder is for kernels whose own metadata lack the feature.
FPGAMEM_KERNEL_RUST = "${@bb.utils.contains_any('KERNEL_FEATURES', 'rust features/kernel-rust/kernel-rust.scc', '1', '', d)}"
FPGAMEM_KERNEL_URI = "\
    file://fpgamem.cfg \
    file://fpgamem-kmeta;type=kmeta;name=fpgamem-kmeta;destsuffix=fpgamem-kmeta \
"
SRC_URI:append = " ${@d.getVar('FPGAMEM_KERNEL_URI') if d.getVar('FPGAMEM_KERNEL_RUST') else ''}"

# Registers of the accelerator for user space: the module binds only to what its parameter names.
FPGAMEM_KERNEL_UIO = "${@'uio_pdrv_genirq' if d.getVar('FPGAMEM_KERNEL_RUST') else ''}"
KERNEL_MODULE_AUTOLOAD:append = " ${FPGAMEM_KERNEL_UIO}"
KERNEL_MODULE_PROBECONF:append = " ${FPGAMEM_KERNEL_UIO}"
module_conf_uio_pdrv_genirq = "options uio_pdrv_genirq of_id=generic-uio"
