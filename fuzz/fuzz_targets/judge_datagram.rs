//! See `oracles::failover::datagram`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::run(oracles::failover::datagram, data));
