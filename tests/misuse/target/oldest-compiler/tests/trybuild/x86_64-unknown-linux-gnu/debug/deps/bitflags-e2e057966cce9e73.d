/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libbitflags-e2e057966cce9e73.rmeta: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/iter.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/parser.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/traits.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/public.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/internal.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/external.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/bitflags-e2e057966cce9e73.d: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/iter.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/parser.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/traits.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/public.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/internal.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/external.rs

/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/lib.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/iter.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/parser.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/traits.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/public.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/internal.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/bitflags-2.13.2/src/external.rs:
