/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libtrybuild004-5ea0e4263ba17756.rmeta: /tmp/wt/me/tests/misuse/cases/read_while_the_device_owns.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/trybuild004-5ea0e4263ba17756.d: /tmp/wt/me/tests/misuse/cases/read_while_the_device_owns.rs

/tmp/wt/me/tests/misuse/cases/read_while_the_device_owns.rs:
