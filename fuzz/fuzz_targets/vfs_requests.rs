//! See `oracles::protocol::requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::protocol::requests, data));
