/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libtrybuild003-8f67c6f51ffae7a7.rmeta: /tmp/wt/me/tests/misuse/cases/hand_over_while_borrowed.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/trybuild003-8f67c6f51ffae7a7.d: /tmp/wt/me/tests/misuse/cases/hand_over_while_borrowed.rs

/tmp/wt/me/tests/misuse/cases/hand_over_while_borrowed.rs:
