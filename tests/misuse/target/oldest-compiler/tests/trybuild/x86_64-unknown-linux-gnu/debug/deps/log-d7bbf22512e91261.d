/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/liblog-d7bbf22512e91261.rmeta: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/log-0.4.35/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/log-0.4.35/src/macros.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/log-0.4.35/src/serde.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/log-0.4.35/src/__private_api.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/log-d7bbf22512e91261.d: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/log-0.4.35/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/log-0.4.35/src/macros.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/log-0.4.35/src/serde.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/log-0.4.35/src/__private_api.rs

/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/log-0.4.35/src/lib.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/log-0.4.35/src/macros.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/log-0.4.35/src/serde.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/log-0.4.35/src/__private_api.rs:
