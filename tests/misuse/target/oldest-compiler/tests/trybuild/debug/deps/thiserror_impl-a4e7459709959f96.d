/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/debug/deps/libthiserror_impl-a4e7459709959f96.so: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/ast.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/attr.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/expand.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/fallback.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/fmt.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/generics.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/prop.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/scan_expr.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/unraw.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/valid.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/debug/deps/thiserror_impl-a4e7459709959f96.d: /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/lib.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/ast.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/attr.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/expand.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/fallback.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/fmt.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/generics.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/prop.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/scan_expr.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/unraw.rs /root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/valid.rs

/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/lib.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/ast.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/attr.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/expand.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/fallback.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/fmt.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/generics.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/prop.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/scan_expr.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/unraw.rs:
/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/thiserror-impl-2.0.20/src/valid.rs:

# env-dep:CARGO_PKG_VERSION_PATCH=20
