/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libcfg_if-e115bf8c7e916f15.rmeta: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/cfg-if-1.0.5/src/lib.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/cfg_if-e115bf8c7e916f15.d: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/cfg-if-1.0.5/src/lib.rs

/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/cfg-if-1.0.5/src/lib.rs:
