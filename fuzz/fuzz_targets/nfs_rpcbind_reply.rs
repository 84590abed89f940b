//! See `oracles::nfs::rpcbind_reply`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::nfs::rpcbind_reply(data));
