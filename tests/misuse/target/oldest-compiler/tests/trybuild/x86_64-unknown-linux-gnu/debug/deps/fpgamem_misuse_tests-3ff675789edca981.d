/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libfpgamem_misuse_tests-3ff675789edca981.rmeta: main.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/fpgamem_misuse_tests-3ff675789edca981.d: main.rs

main.rs:
