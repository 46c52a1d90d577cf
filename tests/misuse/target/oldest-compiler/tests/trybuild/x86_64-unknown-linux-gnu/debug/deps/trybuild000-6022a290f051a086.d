/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libtrybuild000-6022a290f051a086.rmeta: /tmp/wt/me/tests/misuse/cases/copy_of_a_buffer.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/trybuild000-6022a290f051a086.d: /tmp/wt/me/tests/misuse/cases/copy_of_a_buffer.rs

/tmp/wt/me/tests/misuse/cases/copy_of_a_buffer.rs:
