//! Two mirrors on one machine, over real TLS, with a number in memory in place of the storage center's.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use protocol::digest::Content;
use protocol::id::{CustomerId, ObjectId, Timestamp};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::journal::{self, Base, FileKey, Lsn};

const SOON: Duration = Duration::from_secs(20);
const FILE: FileKey = FileKey { customer: CustomerId(1), file: ObjectId(100) };
const BASE: Base = Base { content: Content::EMPTY, version: 1 };

/// The number that all ports of a test share.
#[derive(Clone, Default)]
struct Number {
    number: Arc<AtomicU64>,
    /// It is raised, and who asked for that does not hear of it.
    is_answer_lost: Arc<AtomicBool>,
}

impl Register for Number {
    async fn read(&self) -> Result<u64, CenterError> {
        Ok(self.number.load(Ordering::SeqCst))
    }

    async fn raise(&self, than: u64) -> Result<u64, CenterError> {
        self.number.fetch_max(than, Ordering::SeqCst);
        let raised = self.number.fetch_add(1, Ordering::SeqCst) + 1;
        match self.is_answer_lost.load(Ordering::SeqCst) {
            true => Err(CenterError::Unavailable("no answer".into())),
            false => Ok(raised),
        }
    }
}

/// The pair's authority, another one, and what they signed.
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Self {
        let made = Self(TempDir::new().unwrap());
        for authority in ["authority", "impostor"] {
            made.openssl(&format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={authority} \
                 -keyout {authority}.key -out {authority}.pem"
            ));
        }
        for (file, name, authority) in [
            ("a", "a.pair", "authority"),
            ("b", "b.pair", "authority"),
            ("other", "b.other", "authority"),
            ("impostor-b", "b.pair", "impostor"),
        ] {
            made.openssl(&format!(
                "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -addext \
                 subjectAltName=DNS:{name} -keyout {file}.key -out {file}.csr"
            ));
            made.openssl(&format!(
                "x509 -req -in {file}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days 2 \
                 -copy_extensions copy -out {file}.pem"
            ));
        }
        made
    }

    fn openssl(&self, arguments: &str) {
        let words = arguments.split_whitespace();
        let done = Command::new("openssl").args(words).current_dir(self.0.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// One of the two ports, as far as it mirrors.
struct Side {
    dir: TempDir,
    pair: Pair,
    listener: Option<TcpListener>,
    register: Number,
    running: Option<Running>,
}

struct Running {
    mirror: Arc<Mirror<Number>>,
    journal: Journal,
    role: Arc<Role>,
    safety: watch::Receiver<Safety>,
    task: JoinHandle<()>,
}

/// Two ports that are started by the test; `files` are what they show.
async fn two(certificates: &Certificates, files: [&str; 2]) -> [Side; 2] {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let (a, b) = (bind().await.unwrap(), bind().await.unwrap());
    let [at_a, at_b] = [&a, &b].map(|listener| listener.local_addr().unwrap());
    let register = Number::default();
    let side = |member, listener, listen: SocketAddr, peer: SocketAddr, file: &str| {
        let path = |name: &str| certificates.0.path().join(name);
        let pair = Pair {
            name: "pair".into(),
            member,
            key_file: path("unused"),
            listen,
            peer,
            certificate_file: path(&format!("{file}.pem")),
            certificate_key_file: path(&format!("{file}.key")),
            ca_file: path("authority.pem"),
            when_alone: WhenAlone::WriteThrough,
            acknowledge_ms: NonZeroU64::new(300).unwrap(),
        };
        let dir = TempDir::new().unwrap();
        Side { dir, pair, listener: Some(listener), register: register.clone(), running: None }
    };
    [side(Member::A, a, at_a, at_b, files[0]), side(Member::B, b, at_b, at_a, files[1])]
}

/// Two ports, of which the first one serves and the other one mirrors it.
async fn mirrored_pair() -> (Certificates, [Side; 2]) {
    let certificates = Certificates::new();
    let mut sides = two(&certificates, ["a", "b"]).await;
    for side in &mut sides {
        side.start().await;
    }
    sides[0].activate(1).await;
    sides[0].wait("mirrored", mirrored).await;
    (certificates, sides)
}

impl Side {
    async fn start(&mut self) {
        let (journal, _) = Journal::open(self.journal()).unwrap();
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(self.pair.listen).await.unwrap(),
        };
        let (role, safety) = (Arc::<Role>::default(), watch::Sender::new(Safety::default()));
        let followed = safety.subscribe();
        let own_ledger = Arc::new(LockLedger::new(self.dir.path().join("lock_clients")));
        let ledger = Arc::new(SharedLedger::new(Arc::clone(&own_ledger), safety.subscribe(), SOON));
        let mirror = Mirror::new(
            Settings::from(&self.pair),
            Parts {
                identity: Identity::load(&self.pair).unwrap(),
                journal: journal.clone(),
                role: Arc::clone(&role),
                safety,
                register: self.register.clone(),
                mark: Mark::new(self.dir.path().join("whole")),
                own_ledger,
                ledger,
            },
        );
        let mirror = Arc::new(mirror.unwrap());
        let running = Arc::clone(&mirror);
        let task = tokio::spawn(async move { running.run(listener, || async {}).await });
        self.running = Some(Running { mirror, journal, role, safety: followed, task });
    }

    fn journal(&self) -> journal::Settings {
        journal::Settings::new(self.dir.path().join("journal"), 64 << 20)
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    async fn stop(&mut self) {
        let Running { mirror, journal, role: _, safety: _, task } = self.running.take().unwrap();
        task.abort();
        assert!(task.await.is_err());
        drop((mirror, journal));
        // What is under way for the disk goes on, and holds the journal until it is done.
        let begun = std::time::Instant::now();
        while Journal::open(self.journal()).is_err() {
            assert!(begun.elapsed() < SOON, "the journal is not given up");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn activate(&self, generation: u64) {
        let Running { mirror, role, .. } = self.running();
        mirror.take(|| role.activate(generation)).await.unwrap().unwrap();
    }

    async fn write(&self, offset: u64, bytes: &'static [u8]) -> Lsn {
        let Running { journal, .. } = self.running();
        journal.write(FILE, BASE, offset, Bytes::from_static(bytes), Timestamp(1)).await.unwrap()
    }

    async fn wait(&self, what: &str, is_so: impl FnMut(&Safety) -> bool) {
        let waited = timeout(SOON, safety::until(&self.running().safety, is_so)).await;
        assert!(waited.is_ok(), "{what}: {:?}", *self.running().safety.borrow());
    }

    /// Waits until this number is on its disk.
    async fn wait_for_mark(&self, number: u64) {
        let mark = Mark::new(self.dir.path().join("whole"));
        let begun = std::time::Instant::now();
        while mark.load().unwrap() != number {
            assert!(begun.elapsed() < SOON, "{} instead of {number}", mark.load().unwrap());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until it knows whether it is new in the pair.
    async fn wait_until_found_out(&self) {
        timeout(SOON, self.running().mirror.find_out_if_new()).await.unwrap();
    }

    fn size(&self) -> Option<u64> {
        self.running().journal.view(FILE).map(|view| view.size)
    }
}

fn mirrored(safety: &Safety) -> bool {
    safety.peer && !safety.center
}

fn alone(safety: &Safety) -> bool {
    safety.is_decided && !safety.peer && safety.center
}

/// FO-2: what counts as kept is on both disks; a restart of either side loses none of it, and the other way round it
/// goes as well.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_on_both() {
    let (_certificates, [mut a, mut b]) = mirrored_pair().await;
    let lsn = a.write(0, b"bytes").await;
    a.wait("kept", |safety| safety.is_kept(lsn)).await;
    assert_eq!(b.size(), Some(5));
    b.stop().await;
    a.wait("alone", alone).await;
    a.write(5, b"more").await;
    b.start().await;
    assert_eq!(b.size(), Some(5), "it was on the disk");
    a.wait("mirrored again", mirrored).await;
    assert_eq!(b.size(), Some(9));

    a.stop().await;
    b.activate(2).await;
    assert_eq!(b.size(), Some(9), "whole, so it goes on with it");
    b.wait("alone", alone).await;
    b.write(9, b"!").await;
    a.start().await;
    b.wait("mirrored", mirrored).await;
    assert_eq!(a.size(), Some(10));
}

/// FO-2, FO-11: a mirror that was left behind is emptied before its port serves: what it lacks is at the center.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_was_left_behind_is_not_used() {
    let (_certificates, [mut a, mut b]) = mirrored_pair().await;
    a.write(0, b"old").await;
    a.wait("kept", |safety| safety.is_kept(Lsn(2))).await;
    b.stop().await;
    a.wait("alone", alone).await;
    a.stop().await;
    b.start().await;
    assert_eq!(b.size(), Some(3));
    b.activate(2).await;
    assert_eq!(b.size(), None);
    b.write(0, b"new one").await;
    a.start().await;
    b.wait("mirrored", mirrored).await;
    assert_eq!(a.size(), Some(7), "and the first port has the new one's");
}

/// FO-2: a port with a new disk that comes up first does not take over: what was acknowledged may be on the other one alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_with_a_new_disk_waits_for_the_other_s_journal() {
    let (_certificates, [mut a, mut b]) = mirrored_pair().await;
    let lsn = a.write(0, b"bytes").await;
    a.wait("kept", |safety| safety.is_kept(lsn)).await;
    assert!(a.running().mirror.is_caught_up() && b.running().mirror.is_caught_up());
    for side in [&mut a, &mut b] {
        side.stop().await;
    }
    b.dir = TempDir::new().unwrap();
    for _ in 0..2 {
        b.start().await;
        b.wait_until_found_out().await;
        assert!(!b.running().mirror.is_caught_up(), "nor after a restart");
        b.stop().await;
    }
    b.start().await;
    a.start().await;
    assert!(a.running().mirror.is_caught_up(), "it has a number of its own");
    a.activate(2).await;
    let lsn = a.write(5, b"more").await;
    a.wait("kept", |safety| safety.is_kept(lsn)).await;
    assert_eq!((a.size(), b.size()), (Some(9), Some(9)));
    assert!(mirrored(&a.running().safety.borrow()) && b.running().mirror.is_caught_up());
    b.stop().await;
    b.start().await;
    assert!(b.running().mirror.is_caught_up(), "from now on");
}

/// FO-2: the same where the other port never comes back, and the operator says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_with_a_new_disk_serves_when_it_is_told_to() {
    let (_certificates, [mut a, mut b]) = mirrored_pair().await;
    for side in [&mut a, &mut b] {
        side.stop().await;
    }
    b.dir = TempDir::new().unwrap();
    b.start().await;
    b.activate(2).await;
    assert!(b.running().mirror.is_caught_up());
    b.wait("alone", alone).await;
    b.write(0, b"new").await;
    b.stop().await;
    b.start().await;
    assert!(b.running().mirror.is_caught_up(), "its own journal is whole");
}

/// FO-2: in a new pair either port may be the first to serve, and a new disk is known as such from then on.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_new_pair_either_port_may_serve_first() {
    let certificates = Certificates::new();
    let [mut a, mut b] = two(&certificates, ["a", "b"]).await;
    for side in [&mut a, &mut b] {
        side.start().await;
        side.wait_until_found_out().await;
        assert!(side.running().mirror.is_caught_up());
    }
    b.activate(1).await;
    assert_eq!(b.register.read().await.unwrap(), 1);
    b.wait("mirrored", mirrored).await;
    assert_eq!(b.register.read().await.unwrap(), 1, "it was not alone");
}

/// FO-2: the center was told that a port goes on alone, and its answer was lost: when the other port is back, nobody takes a
/// journal for whole, or not, by a number that is not the center's.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_of_the_center_costs_no_journal() {
    let (_certificates, [mut a, mut b]) = mirrored_pair().await;
    a.register.is_answer_lost.store(true, Ordering::SeqCst);
    b.stop().await;
    let begun = std::time::Instant::now();
    while a.register.read().await.unwrap() == 1 {
        assert!(begun.elapsed() < SOON, "it does not try to go on alone");
        sleep(Duration::from_millis(5)).await;
    }
    b.start().await;
    let decided = safety::until(&a.running().safety, |safety| safety.is_decided);
    assert!(timeout(Duration::from_secs(1), decided).await.is_err(), "the numbers differ");
    a.register.is_answer_lost.store(false, Ordering::SeqCst);
    a.wait("mirrored again", mirrored).await;
    let lsn = a.write(0, b"bytes").await;
    a.wait("kept", |safety| safety.is_kept(lsn)).await;
    a.stop().await;
    b.activate(2).await;
    assert_eq!(b.size(), Some(5));
}

/// FO-2, VFS-22: where a center took over from another one the number leaps, and nobody went alone: what is whole stays so,
/// on both ports, and on one that serves alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_between_centers_costs_no_journal() {
    let (_certificates, [mut a, mut b]) = mirrored_pair().await;
    let lsn = a.write(0, b"bytes").await;
    a.wait("kept", |safety| safety.is_kept(lsn)).await;
    a.register.number.store(1_000_000, Ordering::SeqCst);
    a.wait_for_mark(1_000_000).await;
    b.wait_for_mark(1_000_000).await;
    assert!(mirrored(&a.running().safety.borrow()), "all the while");
    a.stop().await;
    b.activate(2).await;
    assert_eq!(b.size(), Some(5), "it is whole");

    b.wait("alone", alone).await;
    b.write(5, b"more").await;
    b.register.number.store(2_000_000, Ordering::SeqCst);
    b.wait_for_mark(2_000_000).await;
    b.stop().await;
    b.start().await;
    b.activate(3).await;
    assert_eq!(b.size(), Some(9), "its own is whole");
    b.stop().await;
    a.start().await;
    a.activate(4).await;
    assert_eq!(a.size(), None, "and that of the port that was left behind is not");
}

/// FO-11: who has heard of a newer generation takes nothing of an older one, and tells it so.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_generation_is_refused() {
    let certificates = Certificates::new();
    let [mut a, mut b] = two(&certificates, ["a", "b"]).await;
    a.start().await;
    b.start().await;
    b.running().role.hear_of(5);
    let mut follow = a.running().role.follow();
    a.activate(1).await;
    while a.running().role.refused_by().is_none() {
        timeout(SOON, follow.changed()).await.unwrap();
    }
    assert_eq!((a.running().role.serving(), a.running().role.refused_by()), (None, Some(5)));
    assert!(!a.running().safety.borrow().is_kept(Lsn(0)));
}

/// FO-6: nobody but the other port of this pair is spoken with, in either direction.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused() {
    let certificates = Certificates::new();
    for stranger in ["impostor-b", "other"] {
        let [mut a, mut b] = two(&certificates, ["a", stranger]).await;
        a.start().await;
        b.start().await;
        a.activate(1).await;
        a.write(0, b"secret").await;
        a.wait("alone", alone).await;
        assert_eq!(b.size(), None, "{stranger} gets nothing");
        a.running().role.deactivate();
        b.activate(2).await;
        b.wait("alone", alone).await;
        assert!(a.size().is_some(), "{stranger} changes nothing");
    }
}

/// FO-2: a port that takes connections and answers nothing is waited for no longer than was configured.
#[tokio::test(flavor = "multi_thread")]
async fn a_hung_port_is_left_behind() {
    let certificates = Certificates::new();
    let [mut a, mut b] = two(&certificates, ["a", "b"]).await;
    let (listener, identity) = (b.listener.take().unwrap(), Identity::load(&b.pair).unwrap());
    let hung = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = identity.accept(stream).await.unwrap();
        assert!(matches!(
            wire::receive(&mut stream).await.unwrap(),
            wire::Message::Hello { generation: 1, .. }
        ));
        wire::send(&mut stream, &wire::Message::Welcome).await.unwrap();
        loop {
            // It says that it has everything, once, and nothing more.
            if let wire::Message::Whole { .. } = wire::receive(&mut stream).await.unwrap() {
                wire::send(&mut stream, &wire::Message::IsWhole(Lsn(0))).await.unwrap();
                break;
            }
        }
        (stream, listener)
    });
    a.start().await;
    a.activate(1).await;
    a.wait("mirrored", mirrored).await;
    let _open = hung.await.unwrap();
    let lsn = a.write(0, b"bytes").await;
    a.wait("alone", |safety| alone(safety) && safety.is_kept(lsn)).await;
    let why = a.running().mirror.lost_because();
    assert!(why.is_some_and(|why| why.starts_with("no acknowledgement in")), "status says why");
}

/// FO-2: however long the other port may take to acknowledge, a pair without anything to write stays one.
#[tokio::test(flavor = "multi_thread")]
async fn a_patient_pair_stays_together_while_nothing_is_written() {
    let certificates = Certificates::new();
    let mut sides = two(&certificates, ["a", "b"]).await;
    for side in &mut sides {
        // A quarter of it, the pause between pings, is longer than the shortest silence that is borne.
        side.pair.acknowledge_ms = NonZeroU64::new(10_000).unwrap();
        side.start().await;
    }
    let a = &sides[0];
    a.activate(1).await;
    a.wait("mirrored", mirrored).await;
    let longer = SILENCE_TIME + Duration::from_secs(1);
    let torn = timeout(longer, safety::until(&a.running().safety, |safety| !mirrored(safety)));
    assert!(torn.await.is_err(), "{:?}", a.running().mirror.lost_because());
}

/// FO-2: the list of clients with locks is on both ports before a client gets a lock.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_clients_with_locks_is_on_both() {
    use nfs::nsm::ledger::{Client, Ledger, Record, Remembered};

    let (_certificates, [a, b]) = mirrored_pair().await;
    let client = Client { address: [192, 0, 2, 1].into(), name: b"web1"[..].into() };
    let record = Record { state: 5, clients: vec![Remembered { client, local: [192, 0, 2, 9].into() }] };
    let (ledger, stored) = (Arc::clone(&a.running().mirror.ledger), record.clone());
    tokio::task::spawn_blocking(move || ledger.store(&stored)).await.unwrap().unwrap();
    assert_eq!(b.running().mirror.ledger.load().unwrap(), record);
}
