/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libtrybuild001-c2820362df47cb72.rmeta: /tmp/wt/me/tests/misuse/cases/elements_with_references.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/trybuild001-c2820362df47cb72.d: /tmp/wt/me/tests/misuse/cases/elements_with_references.rs

/tmp/wt/me/tests/misuse/cases/elements_with_references.rs:
