//! See `oracles::nfs::rpcbind`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::nfs::rpcbind, data));
