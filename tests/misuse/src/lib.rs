// SPDX-License-Identifier: MIT OR Apache-2.0

//! Nothing: the programs in `cases/` are what counts.
