//! Benchmarks over loopback: the same work on each server, in turns, so that a change of the machine's speed meets all
//! of them. Processor seconds of the server are the figure to trust; the wall clock is shared.
//!
//! - [`compare`] is the plain comparison of NFSv3 servers, with [`load`] and [`report`].
//! - [`nfs`] is the front end alone, against its goals and its limits.
//! - [`center`] is the storage center, likewise.
//! - [`cifs`] is the CIFS gateway, the port's own server against Samba.
//! - [`failover`] is the pair under failures, beside keepalived.
//! - [`peers`] starts the other NFS servers.

pub mod center;
pub mod cifs;
pub mod compare;
pub mod failover;
pub mod load;
pub mod nfs;
pub mod peers;
pub mod report;
pub mod vfs;

use std::time::Duration;

use crate::daemon::cpu_seconds;
use crate::poll;

/// Entries of the listed directory.
const ENTRIES: usize = 10_000;

/// The name of one of them.
fn entry(number: usize) -> String {
    format!("entry-{number:05}.data")
}

/// A fixed pseudo-random number for each `number` (a multiplicative hash).
fn spread(number: u32) -> u64 {
    u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

/// Until the processes use no more than a tick in a while.
fn wait_idle(pids: &[u32]) {
    let mut last = f64::MIN;
    let mut quiet = 0;
    poll::until("the server is idle", Duration::from_secs(120), || {
        let used: f64 = pids.iter().map(|pid| cpu_seconds(*pid)).sum();
        quiet = if used - last < 0.011 { quiet + 1 } else { 0 };
        last = used;
        (quiet >= 60).then_some(())
    });
}
