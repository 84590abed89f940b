//! See `oracles::appliance::directory_snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::appliance::directory_snapshot(data));
