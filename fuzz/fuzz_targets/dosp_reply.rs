//! See `oracles::dosp::reply`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::dosp::reply, data));
