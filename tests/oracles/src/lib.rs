//! What must hold for any bytes that come from a network or a disk: one function for each decoder, which takes bytes and
//! panics if something does not hold.
//!
//! `fuzz/` runs them under libFuzzer, which looks for such bytes; `tests/corpus.rs` runs them over the corpus that it
//! found, with every test run. Beyond "no panic": what was decoded is encoded and decoded to the same value, each
//! reply is one an independent decoder takes, and nothing takes more memory than it said.

#![allow(clippy::unwrap_used, reason = "a panic is how an oracle speaks")]

pub mod appliance;
pub mod dosp;
pub mod failover;
pub mod input;
pub mod nfs;
pub mod protocol;
pub mod seeds;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// An oracle: panics if something does not hold for these bytes.
pub type Oracle = fn(&[u8]);

/// An oracle's time for one input, of at most some KiB: measured by the processor's clock, so that a busy machine finds
/// nothing, and long enough for a sanitizer.
const TIME_MAX: Duration = Duration::from_millis(100);

/// Runs an oracle, which may not take long either.
pub fn run(oracle: Oracle, data: &[u8]) {
    let before = processor_time();
    oracle(data);
    let took = processor_time().saturating_sub(before);
    assert!(took < TIME_MAX, "{} bytes took {took:?}", data.len());
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// Every oracle under the name of its target and of its corpus.
pub const TARGETS: &[(&str, Oracle)] = &[
    ("nfs_record", nfs::record_marking),
    ("nfs_rpc", nfs::any_record),
    ("nfs_v3", nfs::v3),
    ("nfs_mount", nfs::mount),
    ("nfs_rpcbind", nfs::rpcbind),
    ("nfs_rpcbind_reply", nfs::rpcbind_reply),
    ("nfs_locks", nfs::locks),
    ("lock_reply", nfs::lock_reply),
    ("lock_ledger", nfs::lock_ledger),
    ("vfs_requests", protocol::requests),
    ("vfs_replies", protocol::replies),
    ("vfs_documents", protocol::documents),
    ("srl", protocol::srl),
    ("metadata", protocol::metadata),
    ("block_digests", protocol::block_digests),
    ("dosp_request", dosp::request),
    ("dosp_reply", dosp::reply),
    ("dosp_datagram", dosp::datagram),
    ("judge_datagram", failover::datagram),
    ("journal_record", appliance::journal_record),
    ("journal_replay", appliance::journal_replay),
    ("directory_snapshot", appliance::directory_snapshot),
    ("cache_index", appliance::cache_index),
    ("handle", appliance::handle),
];
