# SPDX-License-Identifier: MIT OR Apache-2.0
# Where EXTRA_DT_INCLUDE_FILES and EXTRA_DT_FILES find fpgamem.dtsi and the overlays.
FILESEXTRAPATHS:prepend := "${FPGAMEM_ROOT}/dts:"
