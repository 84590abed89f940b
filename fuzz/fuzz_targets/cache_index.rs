//! See `oracles::appliance::cache_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::appliance::cache_index, data));
