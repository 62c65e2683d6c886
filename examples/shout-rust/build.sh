#!/bin/sh
# Builds shout.wasm with rustc alone (Debian: rustc libstd-rust-dev-wasm32 lld). With rustup and cargo this does the same:
#   cargo build --release --target wasm32-unknown-unknown
# plugin.toml becomes part of the module. Where rustc has no linker of its own for WASM, LLVM's wasm-ld is taken.
set -eu
cd "$(dirname "$0")"
rustc=${RUSTC:-rustc}
target=wasm32-unknown-unknown
linker=
if ! ls "$("$rustc" --print sysroot)"/lib/rustlib/*/bin/rust-lld >/dev/null 2>&1 && command -v wasm-ld >/dev/null; then
	linker="-C linker=wasm-ld"
fi
# shellcheck disable=SC2086
"$rustc" --edition 2021 --crate-name shout --crate-type cdylib --target $target $linker \
	-C opt-level=s -C lto -C panic=abort -C strip=debuginfo -D warnings -o "${OUT:-shout.wasm}" src/lib.rs
