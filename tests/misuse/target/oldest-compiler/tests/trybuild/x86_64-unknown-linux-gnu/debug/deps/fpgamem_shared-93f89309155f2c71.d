/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libfpgamem_shared-93f89309155f2c71.rmeta: /tmp/wt/me/driver/shared/lib.rs /tmp/wt/me/driver/shared/abi.rs /tmp/wt/me/driver/shared/block_map.rs /tmp/wt/me/driver/shared/paddle_abi.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/fpgamem_shared-93f89309155f2c71.d: /tmp/wt/me/driver/shared/lib.rs /tmp/wt/me/driver/shared/abi.rs /tmp/wt/me/driver/shared/block_map.rs /tmp/wt/me/driver/shared/paddle_abi.rs

/tmp/wt/me/driver/shared/lib.rs:
/tmp/wt/me/driver/shared/abi.rs:
/tmp/wt/me/driver/shared/block_map.rs:
/tmp/wt/me/driver/shared/paddle_abi.rs:
