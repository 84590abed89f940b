//! See `oracles::nfs::any_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::nfs::any_record, data));
