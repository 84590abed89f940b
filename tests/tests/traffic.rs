//! Who serves a request: a balancer's choice among the object managers of a cluster (Figure 3, 310).

#![allow(clippy::unwrap_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::cluster::client::{Client, stored};
use e2e::cluster::{Cluster, Settings};
use e2e::data;
use e2e::haproxy::Haproxy;
use e2e::poll;
use protocol::digest::Fingerprint;
use protocol::id::Token;

const OBJECTS: u64 = 12;
const OBJECT_BYTES: usize = 150_000;
const CLIENTS: u64 = 6;
const PATIENCE: Duration = Duration::from_secs(60);

/// Clients that fetch, and now and then store, as fast as they can; and what came of it.
struct Load {
    client: Client,
    objects: Vec<(Fingerprint, Vec<u8>)>,
    done: AtomicUsize,
    is_over: AtomicBool,
    /// When each request that failed had begun, and what became of it.
    failed: Mutex<Vec<(Instant, String)>>,
}

impl Load {
    /// Stores the objects that will be fetched.
    fn prepare(client: Client) -> Self {
        let store = |seed| {
            let bytes = data::bytes(seed, OBJECT_BYTES);
            let answer = client.store(0, 1, token(seed), &bytes).unwrap();
            (stored(&answer).unwrap_or_else(|| panic!("{}", answer.summary())).0.fingerprint, bytes)
        };
        let objects = (0..OBJECTS).map(store).collect();
        let (done, is_over, failed) = Default::default();
        Self { client, objects, done, is_over, failed }
    }

    /// Runs while `meanwhile` does.
    fn run<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        self.is_over.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                scope.spawn(move || self.work(number));
            }
            let _over = Over(&self.is_over);
            meanwhile()
        })
    }

    fn work(&self, number: u64) {
        for round in 0.. {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let (object, bytes) = &self.objects[((number + round) % OBJECTS) as usize];
            let begun = Instant::now();
            let outcome = match round % 10 {
                0 => self.client.store(0, 1, token(1_000 + number), bytes).map(|answer| {
                    let is_stored =
                        stored(&answer).is_some_and(|(content, _)| content.fingerprint == *object);
                    (is_stored, answer)
                }),
                _ => self
                    .client
                    .fetch(0, 1, *object)
                    .map(|answer| (answer.status == 200 && answer.body == *bytes, answer)),
            };
            match outcome {
                Ok((true, _)) => _ = self.done.fetch_add(1, Ordering::Relaxed),
                Ok((false, answer)) => self.failed.lock().unwrap().push((begun, answer.summary())),
                Err(error) => self.failed.lock().unwrap().push((begun, error.to_string())),
            }
        }
    }

    /// Waits until so many more requests were served.
    #[track_caller]
    fn wait_for(&self, more: usize) {
        let enough = self.done.load(Ordering::Relaxed) + more;
        poll::until("requests are served", PATIENCE, || {
            (self.done.load(Ordering::Relaxed) >= enough).then_some(())
        });
    }
}

/// Ends the load however the test ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn token(number: u64) -> Token {
    Token((u128::from(number) + 1).to_be_bytes())
}

/// How many requests with this word a manager has written down.
fn served(cluster: &Cluster, manager: usize, operation: &str) -> usize {
    let log = cluster.managers[manager].config().with_file_name("usage.log");
    std::fs::read_to_string(log).unwrap_or_default().matches(&format!("\t{operation}\t")).count()
}

/// Waits until a manager has written down so many more requests of each kind.
#[track_caller]
fn wait_served(cluster: &Cluster, manager: usize, load: &Load) {
    let before = ["fetch", "store"].map(|operation| served(cluster, manager, operation));
    poll::until("a manager fetches and stores", PATIENCE, || {
        load.wait_for(1);
        let now = ["fetch", "store"].map(|operation| served(cluster, manager, operation));
        (now[0] > before[0] && now[1] > before[1]).then_some(())
    });
}

/// SYS-10: up- and downloads go to all object managers behind a balancer. One that is killed takes with it what it was in
/// the middle of, and no request that comes after; one that is stopped takes nothing.
#[test]
fn a_balancer_hides_the_end_of_an_object_manager() {
    let mut cluster = Cluster::start("balance", Settings { nodes: 2, ..Settings::default() });
    for manager in &mut cluster.managers {
        manager.edit_config("[http]\n", "[http]\ndrain_seconds = 2\n");
        manager.daemon.stop();
        manager.daemon.restart();
    }
    cluster.wait_assembled();
    let balancer = Haproxy::before(&cluster, cluster.path());
    let load = Load::prepare(cluster.client_of(vec![balancer.address]));
    load.run(|| {
        wait_served(&cluster, 0, &load);
        wait_served(&cluster, 1, &load);
    });
    assert!(load.failed.lock().unwrap().is_empty(), "{:?}", load.failed.lock().unwrap());

    let killed = load.run(|| {
        load.wait_for(50);
        cluster.managers[0].daemon.kill_9();
        let killed = Instant::now();
        load.wait_for(200);
        cluster.managers[0].daemon.restart();
        wait_served(&cluster, 0, &load);
        killed
    });
    let mut failed = load.failed.lock().unwrap();
    assert!(failed.iter().all(|(begun, _)| *begun < killed), "{failed:?}");
    assert!(failed.len() <= CLIENTS as usize, "{failed:?}");
    failed.clear();
    drop(failed);

    load.run(|| {
        wait_served(&cluster, 1, &load);
        assert!(cluster.managers[1].daemon.stop().success());
        load.wait_for(200);
        cluster.managers[1].daemon.restart();
        wait_served(&cluster, 1, &load);
    });
    assert!(load.failed.lock().unwrap().is_empty(), "{:?}", load.failed.lock().unwrap());
}
