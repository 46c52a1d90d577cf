/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libtrybuild009-7497aa6da7c35bb8.rmeta: /tmp/wt/me/tests/misuse/cases/view_after_taking_back.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/trybuild009-7497aa6da7c35bb8.d: /tmp/wt/me/tests/misuse/cases/view_after_taking_back.rs

/tmp/wt/me/tests/misuse/cases/view_after_taking_back.rs:
