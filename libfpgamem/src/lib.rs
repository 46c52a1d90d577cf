// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers for FPGA accelerators.
