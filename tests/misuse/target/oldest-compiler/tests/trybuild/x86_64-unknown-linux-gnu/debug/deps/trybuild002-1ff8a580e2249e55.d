/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libtrybuild002-1ff8a580e2249e55.rmeta: /tmp/wt/me/tests/misuse/cases/hand_over_twice.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/trybuild002-1ff8a580e2249e55.d: /tmp/wt/me/tests/misuse/cases/hand_over_twice.rs

/tmp/wt/me/tests/misuse/cases/hand_over_twice.rs:
