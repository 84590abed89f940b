//! See `oracles::appliance::journal_replay`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::appliance::journal_replay, data));
