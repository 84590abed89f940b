//! See `oracles::protocol::documents`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::protocol::documents, data));
