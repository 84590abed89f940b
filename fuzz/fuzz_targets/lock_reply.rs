//! See `oracles::nfs::lock_reply`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::nfs::lock_reply, data));
