//! See `oracles::dosp::request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::dosp::request, data));
