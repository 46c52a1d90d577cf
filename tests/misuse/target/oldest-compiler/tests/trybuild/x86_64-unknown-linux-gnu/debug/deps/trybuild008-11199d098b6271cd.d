/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libtrybuild008-11199d098b6271cd.rmeta: /tmp/wt/me/tests/misuse/cases/take_back_without_a_promise.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/trybuild008-11199d098b6271cd.d: /tmp/wt/me/tests/misuse/cases/take_back_without_a_promise.rs

/tmp/wt/me/tests/misuse/cases/take_back_without_a_promise.rs:
