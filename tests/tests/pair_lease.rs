//! PORT-LEASE at a real storage center: who of two ports is the active one, and that the other changes nothing any more,
//! whoever is started again, killed or slow (FO-11).

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use client::{Center, ClientError, Settings, Source};
use e2e::cluster::client::content_of;
use e2e::cluster::{self, Cluster};
use e2e::daemon::binary;
use e2e::managers::Managers;
use e2e::poll;
use e2e::postgres::Postgres;
use e2e::site::Site;
use e2e::tools::{run, run_ok};
use protocol::id::{CustomerId, ObjectId, Token};
use protocol::name::Name;
use protocol::pair::{Generation, LeaseAnswer, LeaseQuestion, Member, PairName, Stamp};
use protocol::vfs::{Answer, Operation, Request};
use tokio::runtime::Runtime;

const LEASE_MS: u32 = 300;
const LEASE: Duration = Duration::from_millis(LEASE_MS as u64);
/// A lease, and what clocks may differ.
const LEASE_AND_MARGIN: Duration = Duration::from_millis(LEASE_MS as u64 + 10);
/// For an answer of a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// Within which every object manager has heard whose generation is in force: directory managers look five times a second.
const NEWS: Duration = Duration::from_secs(2);

fn pair() -> PairName {
    PairName::parse("site-1").unwrap()
}

/// One port of the pair, as far as the center sees it.
#[derive(Clone)]
struct Port {
    center: Center,
    member: Member,
}

impl Port {
    async fn ask(&self, question: LeaseQuestion) -> LeaseAnswer {
        self.center.port_lease(&pair(), self.member, question).await.unwrap()
    }

    async fn acquire(&self, from: u64, renewals: Option<u64>) -> LeaseAnswer {
        self.ask(LeaseQuestion::Acquire { from: Generation(from), renewals, lease_ms: LEASE_MS }).await
    }

    async fn renew(&self, generation: u64) -> LeaseAnswer {
        self.ask(LeaseQuestion::Renew { generation: Generation(generation), lease_ms: LEASE_MS }).await
    }

    fn activate(&self, generation: u64) {
        self.center.set_stamp(Some(Stamp { pair: pair(), generation: Generation(generation) }));
    }

    async fn mkdir(&self, parent: ObjectId, name: &str) -> Result<(), ClientError> {
        let name = Name::new(name.as_bytes()).unwrap();
        let operation = Operation::CreateFolder { parent, name, metadata: Vec::new() };
        self.center.operate(Request { key: None, operation }).await.map(drop)
    }

    async fn store(&self, token: u8, bytes: &'static [u8]) -> Result<(), ClientError> {
        let source = Source::bytes(Bytes::from_static(bytes));
        self.center.store(Token([token; 16]), &content_of(bytes), source).await.map(drop)
    }

    async fn delete(&self, token: u8, bytes: &[u8]) -> Result<(), ClientError> {
        self.center.delete(&content_of(bytes).fingerprint, Token([token; 16])).await
    }

    async fn root(&self) -> ObjectId {
        let request = Request { key: None, operation: Operation::OpenRoot };
        let Answer::Row(row) = self.center.operate(request).await.unwrap().answer else { panic!("no root") };
        row.id
    }
}

/// The generation that was granted, with a lease.
#[track_caller]
fn granted(answer: LeaseAnswer) -> u64 {
    let LeaseAnswer::Granted { generation, lease_ms: LEASE_MS, .. } = answer else { panic!("{answer:?}") };
    generation.0
}

fn release(generation: u64) -> LeaseQuestion {
    LeaseQuestion::Release { generation: Generation(generation), renewals: None }
}

fn newer(generation: u64) -> LeaseAnswer {
    LeaseAnswer::Superseded { generation: Generation(generation) }
}

#[track_caller]
fn renewals_of(held: LeaseAnswer) -> u64 {
    let LeaseAnswer::Held { renewals, lease_ms: LEASE_MS, .. } = held else { panic!("{held:?}") };
    renewals
}

/// The generation for whose sake something was refused.
fn superseded<T>(done: Result<T, ClientError>) -> Option<u64> {
    match done {
        Err(ClientError::Superseded { generation }) => Some(generation.0),
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    }
}

/// FO-11: a lease is held while it is renewed, also over a crash of the center; then it is taken over, and whoever had it
/// makes, stores and gives up nothing any more.
#[test]
fn a_port_takes_over_when_the_other_renews_no_more() {
    let mut site = Site::start();
    let port = |member| {
        let urls = vec![site.center_url()];
        let settings = Settings::new(urls.clone(), urls, CustomerId(1), site.secret(1));
        Port { center: Center::new(settings).unwrap(), member }
    };
    let (a, b) = (port(Member::A), port(Member::B));
    let runtime = Runtime::new().unwrap();
    let (root, renewals) = runtime.block_on(async {
        assert_eq!(b.ask(LeaseQuestion::Ping).await, LeaseAnswer::InForce { generation: Generation(0) });
        assert_eq!(granted(a.acquire(0, None).await), 1);
        assert_eq!(b.acquire(0, None).await, newer(1));
        a.activate(1);
        let root = a.root().await;
        a.mkdir(root, "before").await.unwrap();
        a.store(1, b"stored before").await.unwrap();

        let first = renewals_of(b.acquire(1, None).await);
        poll::pause(LEASE / 2);
        assert_eq!(granted(a.renew(1).await), 1);
        poll::pause(LEASE_AND_MARGIN - LEASE / 2);
        let second = renewals_of(b.acquire(1, Some(first)).await);
        assert!(second > first, "it was renewed meanwhile");
        (root, second)
    });
    site.center.kill_9();
    site.center.restart();
    runtime.block_on(async {
        assert_eq!(renewals_of(b.acquire(1, None).await), renewals, "nothing of it was lost");
        poll::pause(LEASE_AND_MARGIN);
        assert_eq!(granted(b.acquire(1, Some(renewals)).await), 2);
        assert_eq!(granted(b.acquire(1, Some(renewals)).await), 2, "its answer may have been lost");
        b.activate(2);
        assert_eq!(superseded(a.mkdir(root, "too late").await), Some(2));
        b.mkdir(root, "after").await.unwrap();
        // The object manager has asked, for B's sake; from now on it knows.
        b.store(2, b"stored after").await.unwrap();
        assert_eq!(superseded(a.store(3, b"too late").await), Some(2));
        assert_eq!(superseded(a.delete(1, b"stored before").await), Some(2));
        assert_eq!(a.renew(1).await, newer(2));
        assert_eq!(a.ask(release(1)).await, newer(2));

        assert_eq!(b.ask(release(2)).await, LeaseAnswer::Released);
        assert_eq!(granted(a.acquire(2, None).await), 3, "at once: the lease was given back");
        a.activate(3);
        a.mkdir(root, "again").await.unwrap();
        assert_eq!(superseded(b.mkdir(root, "too late").await), Some(3));
    });

    let config = site.center_config();
    let config = config.to_str().unwrap();
    let command = binary("storage-center");
    let command = command.to_str().unwrap();
    let listed = run_ok(command, &["pair", "list", "--json", "--config", config]);
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    let [site_1] = &listed.as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!(
        (&site_1["pair"], &site_1["generation"], &site_1["held"]),
        (&"site-1".into(), &3.into(), &true.into())
    );
    let told = run_ok(command, &["pair", "release", "site-1", "--id", "1", "--config", config]);
    assert_eq!(String::from_utf8(told).unwrap(), "1\tsite-1\tgeneration 3 of port a\tno lease\n");
    assert_eq!(granted(runtime.block_on(b.acquire(3, None))), 4);
    let unknown = run(command, &["pair", "release", "site-2", "--id", "1", "--config", config]);
    assert_eq!(unknown.status.code(), Some(1));
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(said.contains("the customer has no pair site-2") && said.lines().count() == 1, "{said}");
}

/// FO-11: every object manager of a cluster hears whose generation is in force without being asked by the new active, and
/// goes on refusing the old one while no directory manager is there.
#[test]
fn object_managers_refuse_the_old_active_by_themselves() {
    let settings = cluster::Settings { managers: 2, nodes: 2, ..cluster::Settings::default() };
    let mut cluster = Cluster::start("lease", settings);
    let managers: Vec<_> = cluster.managers.iter().map(|manager| manager.http()).collect();
    let libraries = [0, 1].map(|manager| cluster.library_of(1, vec![managers[manager]]));
    let ports = [0, 1].map(|manager| Port { center: libraries[manager].center(), member: Member::A });
    // A cluster that has just been started, or whose directory is gone, may have to be asked again.
    let do_at = |manager: usize, token: u8| {
        poll::until("an answer", PATIENCE, || {
            let port = ports[manager].clone();
            libraries[manager].run(async move {
                match port.store(token, b"an object of the pair").await {
                    Err(ClientError::Unavailable { .. }) => None,
                    done => Some(superseded(done)),
                }
            })
        })
    };
    let library = cluster.library(1);
    let b = Port { center: library.center(), member: Member::B };
    let a = ports[0].clone();
    libraries[0].run(async move { assert_eq!(granted(a.acquire(0, None).await), 1) });
    ports.iter().for_each(|port| port.activate(1));
    for manager in [0, 1] {
        assert_eq!(do_at(manager, 1), None);
    }
    library.run(async move {
        let renewals = renewals_of(b.acquire(1, None).await);
        tokio::time::sleep(LEASE_AND_MARGIN).await;
        assert_eq!(granted(b.acquire(1, Some(renewals)).await), 2);
    });
    // Asked before that, a manager that knows nothing yet refuses as well, by the directory's word.
    poll::pause(NEWS);
    for manager in [0, 1] {
        assert_eq!(do_at(manager, 2), Some(2));
    }
    cluster.directory.daemon.kill_9();
    for manager in [0, 1] {
        assert_eq!(do_at(manager, 3), Some(2));
    }
    cluster.directory.daemon.restart();
}

/// FO-11: of two directory managers at one PostgreSQL each knows at once what the other has granted, and of many who ask
/// at the same time only one is granted a generation.
#[test]
fn two_directory_managers_grant_each_generation_once() {
    let dir = tempfile::Builder::new().prefix("storage-port-e2e-").tempdir().unwrap();
    let postgres = Postgres::start(dir.path());
    postgres.database("vfs");
    let (host, port) = postgres.host();
    let managers = Managers::start(dir.path(), &format!("host={host} port={port} user=storage dbname=vfs"));
    let ports = [Member::A, Member::B].map(|member| {
        let center = managers.client(usize::from(member == Member::B));
        Port { center, member }
    });
    Runtime::new().unwrap().block_on(async {
        let root = ports[0].root().await;
        for generation in 1..=10 {
            // Neither has a lease: whoever asks first gets the next generation.
            let answers = futures::future::join_all(ports.iter().map(|port| async {
                let (from, lease_ms) = (Generation(generation - 1), 0);
                port.ask(LeaseQuestion::Acquire { from, renewals: None, lease_ms }).await
            }));
            let answers = answers.await;
            let is_granted = |answer: &LeaseAnswer| matches!(answer, LeaseAnswer::Granted { .. });
            let [winner] = (0..2).filter(|index| is_granted(&answers[*index])).collect::<Vec<_>>()[..] else {
                panic!("generation {generation}: {answers:?}")
            };
            assert_eq!(answers[1 - winner], newer(generation));
            let (winner, loser) = (&ports[winner], &ports[1 - winner]);
            winner.activate(generation);
            winner.mkdir(root, &format!("{generation}")).await.unwrap();
            loser.activate(generation - 1);
            assert_eq!(superseded(loser.mkdir(root, "too late").await), Some(generation));
        }
    });
}
