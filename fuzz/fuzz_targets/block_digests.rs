//! See `oracles::protocol::block_digests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::protocol::block_digests, data));
