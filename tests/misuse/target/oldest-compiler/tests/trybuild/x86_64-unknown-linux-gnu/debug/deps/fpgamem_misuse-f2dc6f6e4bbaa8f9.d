/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libfpgamem_misuse-f2dc6f6e4bbaa8f9.rmeta: /tmp/wt/me/tests/misuse/src/lib.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/fpgamem_misuse-f2dc6f6e4bbaa8f9.d: /tmp/wt/me/tests/misuse/src/lib.rs

/tmp/wt/me/tests/misuse/src/lib.rs:
