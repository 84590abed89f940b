//! See `oracles::nfs::v3`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::nfs::v3, data));
