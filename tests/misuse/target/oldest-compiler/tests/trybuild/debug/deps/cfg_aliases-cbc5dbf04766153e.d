/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/debug/deps/libcfg_aliases-cbc5dbf04766153e.rmeta: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/cfg_aliases-0.2.2/src/lib.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/debug/deps/libcfg_aliases-cbc5dbf04766153e.rlib: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/cfg_aliases-0.2.2/src/lib.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/debug/deps/cfg_aliases-cbc5dbf04766153e.d: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/cfg_aliases-0.2.2/src/lib.rs

/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/cfg_aliases-0.2.2/src/lib.rs:
