/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libmemmap2-d376158f5267874c.rmeta: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/memmap2-0.9.12/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/memmap2-0.9.12/src/unix.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/memmap2-0.9.12/src/advice.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/memmap2-d376158f5267874c.d: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/memmap2-0.9.12/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/memmap2-0.9.12/src/unix.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/memmap2-0.9.12/src/advice.rs

/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/memmap2-0.9.12/src/lib.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/memmap2-0.9.12/src/unix.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/memmap2-0.9.12/src/advice.rs:
