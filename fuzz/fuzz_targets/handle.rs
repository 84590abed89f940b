//! See `oracles::appliance::handle`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::appliance::handle, data));
