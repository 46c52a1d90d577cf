// SPDX-License-Identifier: MIT OR Apache-2.0

//! What safe code must not do does not compile, and the compiler says why. The messages are those of the
//! oldest compiler that is supported: newer ones word them otherwise.

#[test]
fn misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("cases/*.rs");
}
