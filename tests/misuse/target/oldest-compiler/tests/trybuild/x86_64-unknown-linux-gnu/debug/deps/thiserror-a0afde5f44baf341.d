/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libthiserror-a0afde5f44baf341.rmeta: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/aserror.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/display.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/var.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/private.rs /tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/build/thiserror-d697c1912430c70c/out/private.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/thiserror-a0afde5f44baf341.d: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/aserror.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/display.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/var.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/private.rs /tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/build/thiserror-d697c1912430c70c/out/private.rs

/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/lib.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/aserror.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/display.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/var.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-2.0.20/src/private.rs:
/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/build/thiserror-d697c1912430c70c/out/private.rs:

# env-dep:OUT_DIR=/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/build/thiserror-d697c1912430c70c/out
