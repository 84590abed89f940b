//! One reactor, several clients: the bulk load of one does not starve another (PORT-1).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nfs::filesystem::Segment;
use nfs::settings::{Bounds, Settings};
use support::probe::{Behaviour, HANDLE, Probe};
use support::{Args, As, Client, NFS, call_bytes, read_args, serve_on, settings, with_mark};

const MIB: u32 = 1 << 20;
/// 99 of 100 LOOKUPs take no longer, beside three clients that take all they can. A turn of each takes less than a
/// millisecond; without turns a LOOKUP waits for as long as one of them keeps the thread. The rest is the machine's.
const PATIENCE: Duration = Duration::from_millis(100);
const LOOKUPS: usize = 500;

/// Held by the test that runs: several loads at once would measure each other.
static ALONE: Mutex<()> = Mutex::new(());

struct Cached(Arc<File>);

impl Behaviour for Cached {
    fn read(&self, offset: u64, len: u32) -> Vec<Segment> {
        vec![Segment::File { file: Arc::clone(&self.0), offset: offset % u64::from(MIB), len }]
    }
}

fn cached() -> Probe<Cached> {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&vec![7; 2 * MIB as usize], 0).unwrap();
    Probe(Cached(file.into()))
}

/// Sends batches of a call and throws the replies away, until told to stop; counts the bytes both ways.
fn load(mut client: Client, call: &[u8], in_flight: usize, moved: &AtomicU64, stop: &AtomicBool) {
    let mut sender = client.stream.try_clone().unwrap();
    let batch = call.repeat(in_flight);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) && sender.write_all(&batch).is_ok() {
                moved.fetch_add(batch.len() as u64, Ordering::Relaxed);
            }
            let _ = sender.shutdown(std::net::Shutdown::Both);
        });
        let mut replies = vec![0; 4 << 20];
        while let Ok(count @ 1..) = client.stream.read(&mut replies) {
            moved.fetch_add(count as u64, Ordering::Relaxed);
        }
    });
}

fn lookups_beside(call: &[u8], in_flight: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = serve_on(cached(), Settings { threads: 1, ..settings(Bounds::default()) });
    let (stop, moved) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let client = server.client();
            scope.spawn(|| load(client, call, in_flight, &moved, &stop));
        }
        let mut client = server.client();
        support::until("the load runs", || moved.load(Ordering::Relaxed) > 64 << 20);
        let before = moved.load(Ordering::Relaxed);
        for _ in 0..LOOKUPS {
            let begin = Instant::now();
            client.nfs(3, Args::new().opaque(&HANDLE).opaque(b"name")).ok();
            times.push(begin.elapsed());
        }
        assert!(moved.load(Ordering::Relaxed) > before, "the load went on meanwhile");
        stop.store(true, Ordering::Relaxed);
    });
    times.sort();
    let p99 = times[LOOKUPS * 99 / 100];
    println!("LOOKUP: median {:?}, 99 of 100 within {p99:?}", times[LOOKUPS / 2]);
    assert!(p99 < PATIENCE, "{p99:?}");
}

fn record(procedure: u32, args: Args) -> Vec<u8> {
    with_mark(&call_bytes(1, NFS, procedure, &As::root(), &args.bytes()))
}

#[test]
fn lookups_do_not_starve_beside_clients_that_read_as_fast_as_they_can() {
    lookups_beside(&record(6, read_args(&HANDLE, 0, MIB)), 8);
}

#[test]
fn lookups_do_not_starve_beside_clients_that_write_as_fast_as_they_can() {
    let args = Args::new().opaque(&HANDLE).u64(0).u32(MIB).u32(0).opaque(&vec![7; MIB as usize]);
    lookups_beside(&record(7, args), 1);
}

#[test]
fn lookups_do_not_starve_beside_clients_that_send_small_calls_without_end() {
    lookups_beside(&record(1, Args::new().opaque(&HANDLE)), 1000);
}
