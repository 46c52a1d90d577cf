/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libtrybuild007-75228b66c6f51fbb.rmeta: /tmp/wt/me/tests/misuse/cases/sync_while_borrowed.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/trybuild007-75228b66c6f51fbb.d: /tmp/wt/me/tests/misuse/cases/sync_while_borrowed.rs

/tmp/wt/me/tests/misuse/cases/sync_while_borrowed.rs:
