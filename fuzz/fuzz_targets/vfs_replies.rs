//! See `oracles::protocol::replies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::protocol::replies, data));
