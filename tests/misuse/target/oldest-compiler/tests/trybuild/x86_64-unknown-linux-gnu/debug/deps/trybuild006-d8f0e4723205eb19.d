/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libtrybuild006-d8f0e4723205eb19.rmeta: /tmp/wt/me/tests/misuse/cases/split_keeps_the_whole.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/trybuild006-d8f0e4723205eb19.d: /tmp/wt/me/tests/misuse/cases/split_keeps_the_whole.rs

/tmp/wt/me/tests/misuse/cases/split_keeps_the_whole.rs:
