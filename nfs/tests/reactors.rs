//! Reactors: which thread does what, and what the failure of one connection, or the end, does to the others.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use nfs::filesystem::Caller;
use nfs::settings::Bounds;
use support::probe::{Behaviour, HANDLE, Probe};
use support::{Args, As, Client, NFS, Running, serve_on, serve_with, settings, until};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

/// User whose calls panic.
const PANIC: u32 = 13;
/// User whose calls wait for a permit.
const WAIT: u32 = 14;

#[derive(Default)]
struct Strange {
    permits: Option<Semaphore>,
}

impl Behaviour for Strange {
    async fn before(&self, caller: &Caller) {
        assert_ne!(caller.uid, PANIC, "as this test wants it");
        if let (WAIT, Some(permits)) = (caller.uid, &self.permits) {
            permits.acquire().await.unwrap().forget();
        }
    }
}

fn getattr() -> Args {
    Args::new().opaque(&HANDLE)
}

fn client_as<F>(server: &Running<F>, uid: u32) -> Client {
    let mut client = server.client();
    client.who = As::user(uid, uid);
    client
}

/// All on one reactor: a call in flight of another client is answered, and new clients are served.
#[test]
fn a_call_that_panics_ends_its_own_connection_alone() {
    let probe = Probe(Strange { permits: Some(Semaphore::new(0)) });
    let server = serve_on(probe, nfs::settings::Settings { threads: 1, ..settings(Bounds::default()) });
    let mut waiting = client_as(&server, WAIT);
    let xid = waiting.send(NFS, 1, getattr());
    // This one is answered only after the call before it was taken.
    waiting.call(NFS, 0, Args::new()).results();
    let mut panicking = client_as(&server, PANIC);
    panicking.send(NFS, 1, getattr());
    assert!(panicking.is_closed());
    server.filesystem.0.permits.as_ref().unwrap().add_permits(1);
    let reply = waiting.receive();
    assert_eq!((reply.xid(), reply.status().0), (xid, 0));
    client_as(&server, 0).nfs(1, getattr()).ok();
}

/// All on one reactor, and with calls in flight on both connections.
#[test]
fn a_reset_of_one_client_touches_no_other() {
    let probe = Probe(Strange { permits: Some(Semaphore::new(0)) });
    let server = serve_on(probe, nfs::settings::Settings { threads: 1, ..settings(Bounds::default()) });
    let mut waiting = client_as(&server, WAIT);
    let xids: Vec<_> = (0..10).map(|_| waiting.send(NFS, 1, getattr())).collect();
    waiting.call(NFS, 0, Args::new()).results();
    for _ in 0..50 {
        let mut other = client_as(&server, WAIT);
        (0..10).for_each(|_| _ = other.send(NFS, 1, getattr()));
        other.call(NFS, 0, Args::new()).results();
        socket2::SockRef::from(&other.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    // The calls of the clients that are gone take permits no more.
    until("the server has let go of them", || {
        server.filesystem.0.permits.as_ref().unwrap().add_permits(1);
        waiting.stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        waiting.stream.peek(&mut [0]).is_ok()
    });
    waiting.stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    server.filesystem.0.permits.as_ref().unwrap().add_permits(1000);
    let mut answered: Vec<_> = xids.iter().map(|_| waiting.receive()).collect();
    answered.iter().for_each(|reply| assert_eq!(reply.status().0, 0));
    answered.sort_by_key(support::Reply::xid);
    assert_eq!(answered.iter().map(support::Reply::xid).collect::<Vec<_>>(), xids);
}

#[derive(Default)]
struct Runtimes {
    calls_elsewhere: AtomicUsize,
    work_elsewhere: Arc<AtomicUsize>,
    work: Arc<AtomicUsize>,
}

impl Behaviour for Runtimes {
    fn before(&self, _: &Caller) -> impl Future<Output = ()> + Send {
        let is_reactor = || thread::current().name().is_some_and(|name| name.starts_with("nfs-"));
        async move {
            let is_ours = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
            if !is_ours || !is_reactor() {
                self.calls_elsewhere.fetch_add(1, Ordering::SeqCst);
            }
            let (work, elsewhere) = (Arc::clone(&self.work), Arc::clone(&self.work_elsewhere));
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if is_reactor() {
                    elsewhere.fetch_add(1, Ordering::SeqCst);
                }
                work.fetch_add(1, Ordering::SeqCst);
            });
            // The call goes on where it began, woken from there.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            if !is_reactor() {
                self.calls_elsewhere.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

#[test]
fn calls_run_on_reactors_and_what_they_start_on_the_runtime_of_the_file_system() {
    let server = serve_with(Probe(Runtimes::default()), Bounds::default());
    let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
    for _ in 0..10 {
        clients.iter_mut().for_each(|client| _ = client.nfs(1, getattr()).ok());
    }
    let seen = &server.filesystem.0;
    until("the work that calls started is done", || seen.work.load(Ordering::SeqCst) == 40);
    assert_eq!(seen.calls_elsewhere.load(Ordering::SeqCst), 0);
    assert_eq!(seen.work_elsewhere.load(Ordering::SeqCst), 0);
}

#[derive(Default)]
struct Threads(Mutex<HashMap<u32, Vec<ThreadId>>>);

impl Behaviour for Threads {
    async fn before(&self, caller: &Caller) {
        self.0.lock().unwrap().entry(caller.uid).or_default().push(thread::current().id());
    }
}

#[test]
fn connections_are_spread_evenly_and_stay_where_they_are() {
    let server = serve_with(Probe(Threads::default()), Bounds::default());
    let mut clients: Vec<_> = (0..6).map(|uid| client_as(&server, uid)).collect();
    for _ in 0..10 {
        clients.iter_mut().for_each(|client| _ = client.nfs(1, getattr()).ok());
    }
    let seen = server.filesystem.0.0.lock().unwrap();
    let mut of_thread: HashMap<ThreadId, usize> = HashMap::new();
    for threads in seen.values() {
        assert!(threads.iter().all(|thread| *thread == threads[0]), "a connection changed its thread");
        *of_thread.entry(threads[0]).or_default() += 1;
    }
    assert_eq!(of_thread.values().copied().collect::<Vec<_>>(), [3, 3]);
}

/// PORT-1: the end is bounded, and when it has come nothing uses the file system any more.
#[test]
fn the_end_closes_connections_whose_calls_do_not_end() {
    let bounds = Bounds { shutdown: Duration::from_millis(50), ..Bounds::default() };
    let mut server = serve_with(Probe(Strange { permits: Some(Semaphore::new(0)) }), bounds);
    let mut clients: Vec<_> = (0..4).map(|_| client_as(&server, WAIT)).collect();
    for client in &mut clients {
        client.send(NFS, 1, getattr());
        client.call(NFS, 0, Args::new()).results();
    }
    server.end();
    assert!(clients.iter_mut().all(Client::is_closed));
    assert_eq!(Arc::strong_count(&server.filesystem), 1);
}
