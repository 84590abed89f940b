//! See `oracles::appliance::journal_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::appliance::journal_record, data));
