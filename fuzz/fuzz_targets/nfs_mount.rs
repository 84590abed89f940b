//! See `oracles::nfs::mount`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::nfs::mount, data));
