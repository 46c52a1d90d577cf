/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/debug/deps/libunicode_ident-00f5d6d4c402bfe5.rmeta: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/unicode-ident-1.0.27/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/unicode-ident-1.0.27/src/tables.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/debug/deps/libunicode_ident-00f5d6d4c402bfe5.rlib: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/unicode-ident-1.0.27/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/unicode-ident-1.0.27/src/tables.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/debug/deps/unicode_ident-00f5d6d4c402bfe5.d: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/unicode-ident-1.0.27/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/unicode-ident-1.0.27/src/tables.rs

/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/unicode-ident-1.0.27/src/lib.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/unicode-ident-1.0.27/src/tables.rs:
