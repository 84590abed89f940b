//! See `oracles::nfs::locks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::nfs::locks(data));
