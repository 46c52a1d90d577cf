// SPDX-License-Identifier: MIT OR Apache-2.0

//! Build, test and run fpgamem.

fn main() {}
