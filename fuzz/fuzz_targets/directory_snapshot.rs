//! See `oracles::appliance::directory_snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::appliance::directory_snapshot, data));
