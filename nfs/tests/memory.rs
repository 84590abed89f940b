//! What a call costs in memory. Alone in its process: the allocator counts what every thread does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::alloc::System;
use std::io::{Read, Write};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use nfs::filesystem::Segment;
use nfs::settings::Bounds;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use support::probe::{Behaviour, HANDLE, Probe};
use support::{Args, As, Client, NFS, call_bytes, read_args, serve_with, with_mark};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test at a time.
static ALONE: Mutex<()> = Mutex::new(());
const ROUNDS: usize = 200;
const MIB: usize = 1 << 20;

struct Plain(Bytes);

impl Behaviour for Plain {
    fn read(&self, _: u64, count: u32) -> Vec<Segment> {
        vec![Segment::Bytes(self.0.slice(..count as usize))]
    }
}

/// Sends `batch` of calls and takes their replies, again and again, without memory of the test's own: what was
/// allocated meanwhile, once the connection has what it keeps.
fn allocated(batch: &[u8], reply_bytes: usize) -> Stats {
    let server = serve_with(Probe(Plain(Bytes::from(vec![1; MIB]))), Bounds::default());
    let mut client: Client = server.client();
    let mut replies = vec![0; reply_bytes];
    let mut round = || {
        client.stream.write_all(batch).unwrap();
        client.stream.read_exact(&mut replies).unwrap();
    };
    (0..20).for_each(|_| round());
    let region = Region::new(ALLOCATOR);
    (0..ROUNDS).for_each(|_| round());
    region.change()
}

fn call(procedure: u32, args: Args) -> Vec<u8> {
    let who = As::User { uid: 1000, gid: 100, groups: (0..16).collect() };
    with_mark(&call_bytes(1, NFS, procedure, &who, &args.bytes()))
}

/// GETATTR, LOOKUP and ACCESS that the file system answers at once, one in flight and 64.
#[test]
fn a_small_call_answered_at_once_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let handle = || Args::new().opaque(&HANDLE);
    let (header, attributes, post_op) = (4 + 24 + 4, 84, 88);
    let calls = [
        ("GETATTR", call(1, handle()), header + attributes),
        ("LOOKUP", call(3, handle().opaque(b"a name")), header + 4 + HANDLE.len() + 2 * post_op),
        ("ACCESS", call(4, handle().u32(0x3f)), header + post_op + 4),
    ];
    for (name, call, reply_bytes) in calls {
        for in_flight in [1, 64] {
            let stats = allocated(&call.repeat(in_flight), in_flight * reply_bytes);
            let count = stats.allocations + stats.reallocations;
            // The test's harness may start a thread meanwhile.
            assert!(count < ROUNDS / 20, "{name}, {in_flight} in flight: {count} in {ROUNDS} rounds");
        }
    }
}

/// The data of a WRITE of 1 MiB lies once in memory: in the buffer in which it was received.
#[test]
fn a_large_write_is_not_copied() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let args = Args::new().opaque(&HANDLE).u64(0).u32(MIB as u32).u32(0).opaque(&vec![7; MIB]);
    let stats = allocated(&call(7, args), 4 + 24 + 4 + 4 + 88 + 16);
    let each = stats.bytes_allocated / ROUNDS;
    assert!(each < MIB + MIB / 8, "{each} bytes allocated for each WRITE of 1 MiB");
}

/// The data of a READ in memory goes to the socket from where it lies.
#[test]
fn a_large_read_is_not_copied() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let stats = allocated(&call(6, read_args(&HANDLE, 0, MIB as u32)), 4 + 24 + 4 + 88 + 12 + MIB);
    let each = stats.bytes_allocated / ROUNDS;
    assert!(each < 4096, "{each} bytes allocated for each READ of 1 MiB");
}
