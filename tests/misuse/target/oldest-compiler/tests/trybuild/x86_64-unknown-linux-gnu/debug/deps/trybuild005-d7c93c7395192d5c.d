/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libtrybuild005-d7c93c7395192d5c.rmeta: /tmp/wt/me/tests/misuse/cases/slice_of_what_the_device_owns.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/trybuild005-d7c93c7395192d5c.d: /tmp/wt/me/tests/misuse/cases/slice_of_what_the_device_owns.rs

/tmp/wt/me/tests/misuse/cases/slice_of_what_the_device_owns.rs:
