//! See `oracles::nfs::locks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::nfs::locks, data));
