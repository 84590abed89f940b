//! See `oracles::protocol::srl`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::protocol::srl, data));
