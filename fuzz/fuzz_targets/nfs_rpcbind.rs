//! See `oracles::nfs::rpcbind`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::nfs::rpcbind(data));
