/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/liboffset_allocator-de0c85201877c581.rmeta: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/offset-allocator-0.2.0/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/offset-allocator-0.2.0/src/ext.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/offset-allocator-0.2.0/src/small_float.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/offset-allocator-0.2.0/src/../README.md

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/offset_allocator-de0c85201877c581.d: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/offset-allocator-0.2.0/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/offset-allocator-0.2.0/src/ext.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/offset-allocator-0.2.0/src/small_float.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/offset-allocator-0.2.0/src/../README.md

/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/offset-allocator-0.2.0/src/lib.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/offset-allocator-0.2.0/src/ext.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/offset-allocator-0.2.0/src/small_float.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/offset-allocator-0.2.0/src/../README.md:
