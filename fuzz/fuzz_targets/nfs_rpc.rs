//! See `oracles::nfs::rpc`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::nfs::rpc, data));
