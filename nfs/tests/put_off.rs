//! Long replies that take their time hold up nothing else of their connection (PORT-1).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use nfs::filesystem::Segment;
use nfs::settings::Bounds;
use support::probe::{Behaviour, HANDLE, Probe};
use support::{Args, Client, NFS, Running, read_args, read_data, serve_with, until};
use tokio::sync::watch;

const MIB: u32 = 1 << 20;
/// What lies from here on comes when the test lets it.
const FAR: u64 = 1 << 30;

#[derive(Default)]
struct Distance {
    has_come: watch::Sender<bool>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

impl Behaviour for Arc<Distance> {
    async fn before_read(&self, offset: u64) {
        if offset >= FAR {
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_under_way.fetch_max(now, Ordering::SeqCst);
            self.has_come.subscribe().wait_for(|has_come| *has_come).await.unwrap();
            self.under_way.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn read(&self, offset: u64, len: u32) -> Vec<Segment> {
        vec![Segment::Bytes(Bytes::from(vec![(offset / FAR) as u8; len as usize]))]
    }
}

fn serve_far(bounds: Bounds) -> (Running<Probe<Arc<Distance>>>, Arc<Distance>) {
    let distance = Arc::<Distance>::default();
    (serve_with(Probe(Arc::clone(&distance)), bounds), distance)
}

fn send_far(client: &mut Client, reads: usize) -> Vec<u32> {
    (0..reads).map(|_| client.send(NFS, 6, read_args(&HANDLE, FAR, MIB))).collect()
}

fn receive_all(client: &mut Client, mut xids: Vec<u32>) {
    while !xids.is_empty() {
        let reply = client.receive();
        let place = xids.iter().position(|xid| *xid == reply.xid()).unwrap();
        xids.swap_remove(place);
    }
}

/// A large file that comes slowly from the center stops neither names, nor what is cached, nor writes.
#[test]
fn reads_that_wait_hold_up_no_other_call() {
    let (server, distance) = serve_far(Bounds::default());
    let mut client = server.client();
    let far = send_far(&mut client, 100);
    for _ in 0..300 {
        client.nfs(1, Args::new().opaque(&HANDLE)).ok();
    }
    let (near, _) = read_data(&client.nfs(6, read_args(&HANDLE, 0, 64 << 10)));
    assert_eq!(near, vec![0; 64 << 10]);
    client.write(&HANDLE, 0, &vec![7; MIB as usize]);
    assert_eq!(distance.under_way.load(Ordering::SeqCst), 4, "as much as there is room for");
    distance.has_come.send_replace(true);
    receive_all(&mut client, far);
    assert_eq!(distance.most_under_way.load(Ordering::SeqCst), 4);
}

/// The edge between what is short and what is a large transfer.
#[test]
fn a_read_of_64_kib_is_short_and_a_longer_one_is_not() {
    for (len, passes) in [(64 << 10, true), ((64 << 10) + 1, false)] {
        let (server, distance) = serve_far(Bounds::default());
        let mut client = server.client();
        let far = send_far(&mut client, 4);
        until("all are under way", || distance.under_way.load(Ordering::SeqCst) == 4);
        let near = client.send(NFS, 6, read_args(&HANDLE, 0, len));
        let null = client.send(NFS, 0, Args::new());
        let first: Vec<u32> = (0..1 + usize::from(passes)).map(|_| client.receive().xid()).collect();
        assert_eq!(first, if passes { vec![near, null] } else { vec![null] });
        distance.has_come.send_replace(true);
        let rest = if passes { far } else { [far, vec![near]].concat() };
        receive_all(&mut client, rest);
    }
}

/// What waits has bounds, of the connection and of all together, and one past either nothing more is received.
#[test]
fn calls_that_are_put_off_have_a_bound() {
    let of_one = || Bounds { calls_per_connection: 8, ..Bounds::default() };
    let of_all = || Bounds { calls_put_off: 3, ..Bounds::default() };
    let cases = [(of_one(), 7, true), (of_one(), 8, false), (of_all(), 7, true), (of_all(), 8, false)];
    for (bounds, reads, passes) in cases {
        let (server, distance) = serve_far(bounds);
        let mut client = server.client();
        let far = send_far(&mut client, reads);
        until("as many as there is room for are under way", || {
            distance.under_way.load(Ordering::SeqCst) == 4
        });
        let null = client.send(NFS, 0, Args::new());
        if passes {
            assert_eq!(client.receive().xid(), null);
        }
        distance.has_come.send_replace(true);
        if passes {
            receive_all(&mut client, far);
        } else {
            let first = client.receive().xid();
            assert!(far.contains(&first), "a place had to be free first");
            let rest = far.into_iter().filter(|xid| *xid != first).chain([null]);
            receive_all(&mut client, rest.collect());
        }
    }
}

/// When the memory of all connections is taken, short calls go on at each, and long replies have their turns.
#[test]
fn short_calls_go_on_when_all_memory_is_taken() {
    let (server, distance) = serve_far(Bounds { bytes_in_total: 2 * MIB as usize, ..Bounds::default() });
    let mut clients = [server.client(), server.client(), server.client()];
    let far: Vec<_> = clients.iter_mut().map(|client| send_far(client, 20)).collect();
    until("all memory is taken", || distance.under_way.load(Ordering::SeqCst) == 2);
    for client in &mut clients {
        client.nfs(1, Args::new().opaque(&HANDLE)).ok();
    }
    distance.has_come.send_replace(true);
    // All at once: a reply that nobody reads keeps its memory.
    std::thread::scope(|scope| {
        for (client, far) in clients.iter_mut().zip(far) {
            scope.spawn(|| receive_all(client, far));
        }
    });
    assert_eq!(distance.most_under_way.load(Ordering::SeqCst), 2);
}

/// A client that sends no more gets all the same what it asked for, and then the end.
#[test]
fn what_was_put_off_is_answered_after_a_half_close() {
    let (server, distance) = serve_far(Bounds::default());
    let mut client = server.client();
    let far = send_far(&mut client, 20);
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    distance.has_come.send_replace(true);
    receive_all(&mut client, far);
    assert!(client.is_closed());
}
