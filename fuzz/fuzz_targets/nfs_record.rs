//! See `oracles::nfs::record_marking`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::nfs::record_marking, data));
